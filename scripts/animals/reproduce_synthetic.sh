#!/bin/sh
# The experiment of animals3d on the synthetic pasture: labels alone, all pseudo-labels, selected
# ones. Every step goes on where it was stopped; figures are printed as they come.
#
#   sh scripts/animals/reproduce_synthetic.sh [folder] [category]
#
# STEPS and SHAPE_STEPS set the lengths of the trainings, SIDE the crops' side (a multiple of 64),
# LABELLED, WEB and TEST the sizes of the sets, SELECTED how many pseudo-labels are selected.
set -eu
cd "$(dirname "$0")/../.."
ROOT=${1:-animals}
CATEGORY=${2:-horse}
SIDE=${SIDE:-128}
STEPS=${STEPS:-1000}
SHAPE_STEPS=${SHAPE_STEPS:-1500}
SELECTED=${SELECTED:-300}
PYTHON=${PYTHON:-python}

animals() {
    task=$1
    shift
    "$PYTHON" -m chorus.cli animals "$task" --category "$CATEGORY" --root "$ROOT" "$@"
}

shape() {
    name=$1
    shift
    animals train_shape --name "$name" --img_size "$SIDE" --num_iter "$SHAPE_STEPS" \
        --iter_save 500 --warmup_deform_iter $((SHAPE_STEPS / 5)) --learning_rate 3e-4 "$@"
    animals evaluate_shape --name "$name" --img_size "$SIDE"
}

animals pasture --labelled "${LABELLED:-150}" --web "${WEB:-1000}" --test "${TEST:-200}"
for each in "$CATEGORY 14" "second 15"; do
    name=${each% *}
    animals train_keypoints --name "$name" --seed "${each#* }" --iter "$STEPS" --val_freq 250 \
        --input_res "$SIDE" --output_res $((SIDE / 4)) --batch_size 16 --lr 1e-3 --thres_use 0.1
    animals evaluate_keypoints --name "$name" --input_res "$SIDE"
done
animals generate_pl --input_res "$SIDE"
animals generate_pl --input_res "$SIDE" --is_aux --weights second
animals generate_pl_mt --input_res "$SIDE"

shape "$CATEGORY"
animals generate_pl_3d --img_size "$SIDE"
for criterion in kpconf cf_mt cf_cm cf_cm_sq; do
    animals select --filter "$criterion" --selection_num "$SELECTED" --against truth
done

shape all --use_web_images --web_images_num 1000
for criterion in kpconf cf_mt cf_cm cf_cm_sq; do
    shape "$criterion" --use_web_images --filter "$criterion" --web_images_num "$SELECTED"
done
