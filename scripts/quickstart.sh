#!/bin/sh
# The whole pipeline on the embedded synthetic world, on any CPU machine:
#     sh scripts/quickstart.sh [NUM_BATCH_PER_AUGPROMPT] [BATCH_SIZE]        # default 2 6
# Makes .venv if needed (PYTHON=... uses that Python as it is instead), generates, aggregates, draws.
set -eu
if [ -z "${PYTHON:-}" ]; then
    sh "$(dirname "$0")/setup_venv.sh"
    PYTHON=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/python
fi
. "$(dirname "$0")/environment.sh"
CHORUS_PROFILE=synthetic
export CHORUS_PROFILE PYTHON

started=$(date +%s)
sh scripts/demo_surfboard_gen.sh "${1:-${QUICKSTART_BATCHES:-2}}" "${2:-6}"
sh scripts/demo_surfboard_aggr.sh
echo "done in $(($(date +%s) - started)) s; open $(pwd)/results_demo/index.html in a browser"
