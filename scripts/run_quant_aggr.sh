#!/bin/sh
# From the quantitative categories' images to their distributions, quant:full and, but for profile
# paper, quant:evidence:
#     sh scripts/run_quant_aggr.sh
# Works on those of the 14 categories that have images. For profile synthetic it also makes the test
# set; else see scripts/evaluation/extend_eft.py. Then evaluate_pap.py and report_pap.py give the
# table. CHORUS_PROFILE chooses the models. A rerun goes on where the last one stopped. With
# CHORUS_SHARD=i/n only the i-th of n parts is made, up to its cameras (scripts/run_quant.sbatch).
set -eu
. "$(dirname "$0")/environment.sh"
present=$("$PYTHON" scripts/quantitative_categories.py present)
set --
while IFS= read -r category; do
    if [ -n "$category" ]; then set -- "$@" "$category"; fi
done <<CATEGORIES
$present
CATEGORIES
if [ $# -eq 0 ]; then
    echo "no images of the quantitative categories; run scripts/run_quant_gen.sh first" >&2
    exit 2
fi
# By the paper's recipe, and with refined persons and the evidence estimator beside it.
presets='quant:full quant:evidence'
if [ "${CHORUS_PROFILE:-synthetic}" = paper ]; then presets='quant:full'; fi
for stage in \
    predict_segmentations predict_humans predict_keypoints filter_dataset refine predict_perspective
do
    case $stage in
    refine) # ours: the release has no such script
        if [ "$presets" = quant:full ]; then continue; fi
        script="-m chorus.cli $stage"
        ;;
    *) script="scripts/aggregation/$stage.py" ;;
    esac
    # shellcheck disable=SC2086 # words of $script are words
    if [ -n "${CHORUS_SHARD:-}" ]; then
        # Other parts may not have come as far: a category that is listed must be there.
        "$PYTHON" $script --skip_done
    else
        "$PYTHON" $script --skip_done --categories "$@"
    fi
done
if [ -n "${CHORUS_SHARD:-}" ]; then
    echo "part $CHORUS_SHARD is calibrated; once all parts are, run this again without CHORUS_SHARD"
    exit 0
fi
# Status 1: a category had nothing to aggregate; the others go on, and this script ends with it.
status=0
# shellcheck disable=SC2086 # words of $presets are presets
"$PYTHON" scripts/aggregation/aggregate.py --skip_done --eval_mode quant \
    --aggr_setting_names $presets --categories "$@" || status=$?
if [ "$status" -gt 1 ]; then exit "$status"; fi
if [ "${CHORUS_PROFILE:-synthetic}" = synthetic ]; then
    "$PYTHON" -m chorus.cli testset --skip_done --categories "$@"
fi
exit "$status"
