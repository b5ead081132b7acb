#!/bin/sh
# Fetches the networks of other people that the profiles `paper`, `modern` and `pocket` use:
#     sh scripts/download_off_the_shelf.sh                      # lists them: size, licence, source
#     sh scripts/download_off_the_shelf.sh paper                # all of a profile
#     sh scripts/download_off_the_shelf.sh vitpose hmr2 ...     # single models or files
# Files go to imports (CHORUS_IMPORTS), repositories of the Hugging Face hub to its cache (HF_HOME).
# A rerun goes on where an interrupted download stopped, and leaves alone what is there and whole.
# Each network has a licence of its own (see NOTICE). SMPL needs a registration (see INSTALL.md).
set -eu
. "$(dirname "$0")/environment.sh"
exec "$PYTHON" -m chorus.cli download "$@"
