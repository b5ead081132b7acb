#!/bin/sh
# Images for the three surfboard interactions of the demo:
#     sh scripts/demo_surfboard_gen.sh [NUM_BATCH_PER_AUGPROMPT] [BATCH_SIZE]        # default 20 6
# CHORUS_PROFILE chooses the models. A rerun goes on where the last one stopped.
set -eu
. "$(dirname "$0")/environment.sh"
"$PYTHON" scripts/generation/generate_images.py \
    --skip_done \
    --num_batch_per_augprompt "${1:-20}" \
    --batch_size "${2:-6}" \
    --prompt_dir prompts/demo \
    --categories surfboard-demo
