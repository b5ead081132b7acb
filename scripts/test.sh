#!/bin/sh
# Runs the tests in .venv, which is made first if needed:
#     sh scripts/test.sh [pytest arguments]
set -eu
sh "$(dirname "$0")/setup_venv.sh" dev
cd "$(dirname "$0")/.."
exec .venv/bin/python -m pytest "$@"
