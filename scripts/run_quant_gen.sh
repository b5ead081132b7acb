#!/bin/sh
# Images of the 14 quantitative categories:
#     sh scripts/run_quant_gen.sh [NUM_BATCH_PER_AUGPROMPT] [BATCH_SIZE]   # default: the paper's, 6
# CHORUS_PROFILE chooses the models. For profile synthetic the prompts are those its world knows,
# written to <results>/prompts/synthetic. A rerun goes on where the last one stopped.
set -eu
. "$(dirname "$0")/environment.sh"
tab=$(printf '\t')
prompts=prompts/chorus
if [ "${CHORUS_PROFILE:-synthetic}" = synthetic ]; then
    prompts=${CHORUS_RESULTS:-results}/prompts/synthetic
fi
listed=$("$PYTHON" scripts/quantitative_categories.py)
while IFS=$tab read -r batches category; do
    if [ "$prompts" != prompts/chorus ]; then
        "$PYTHON" scripts/generation/generate_prompts.py \
            --skip_done --save_dir "$prompts" --categories "$category" </dev/null
    fi
    "$PYTHON" scripts/generation/generate_images.py \
        --skip_done \
        --num_batch_per_augprompt "${1:-$batches}" \
        --batch_size "${2:-6}" \
        --prompt_dir "$prompts" \
        --categories "$category" </dev/null
done <<CATEGORIES
$listed
CATEGORIES
