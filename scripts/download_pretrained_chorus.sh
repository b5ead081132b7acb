#!/bin/sh
# Fetches the results that the release's authors published for the 14 quantitative categories, checks
# them, and stores them as aggregations in the results tree:
#     sh scripts/download_pretrained_chorus.sh [--body SMPL_NEUTRAL.pkl] [--categories surfboard tie ...]
# then, for instance,
#     python scripts/evaluation/evaluate_pap.py --profile paper --body SMPL_NEUTRAL.pkl
# The files go to imports/published (CHORUS_IMPORTS); a rerun fetches only what is missing. They are
# under the release's licence, CC BY-NC-SA 4.0 (see NOTICE). Needs gdown: pip install '.[paper]'.
set -eu
. "$(dirname "$0")/environment.sh"
exec "$PYTHON" -m chorus.cli import_published "$@"
