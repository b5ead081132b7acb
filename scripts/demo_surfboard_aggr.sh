#!/bin/sh
# From the demo's images to 3D distributions, drawn into results_demo/:
#     sh scripts/demo_surfboard_aggr.sh
# CHORUS_PROFILE chooses the models. A rerun goes on where the last one stopped.
set -eu
. "$(dirname "$0")/environment.sh"
stage() {
    script=$1
    shift
    "$PYTHON" "scripts/aggregation/$script.py" --skip_done --categories surfboard-demo "$@"
}
stage predict_segmentations --mode coco
stage predict_humans
stage predict_keypoints
stage filter_dataset
set -- 'qual:demo'
if [ "${CHORUS_PROFILE:-synthetic}" != paper ]; then
    "$PYTHON" -m chorus.cli refine --skip_done --categories surfboard-demo
    set -- 'qual:evidence-demo' 'qual:demo' # the page opens with the first and can switch
fi
stage predict_perspective
stage aggregate --eval_mode qual --aggr_setting_names "$@"
"$PYTHON" -m chorus.cli view \
    --categories surfboard-demo --aggr_setting_names "$@" --save_dir results_demo
