"""Train the shape network: `chorus animals train_shape` as published."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from release_options import FLAG, VALUE, run

PUBLISHED = ("--category", "horse", "--order", "parent last", "--limit_loss_wt", "0")
WITHOUT_EFFECT = {
    "--kp_anno": FLAG,
    "--sfm_anno": FLAG,
    "--mask_anno": FLAG,
    "--n_data_workers": VALUE,
    "--tight_crop": FLAG,
    "--display_port": VALUE,
    "--display_visuals": FLAG,
    "--display_freq": VALUE,
    "--plot_scalars": FLAG,
    "--print_scalars": FLAG,
    "--print_freq": VALUE,
    "--train_with_masks": FLAG,
}

if __name__ == "__main__":
    sys.exit(run("train_shape", PUBLISHED, WITHOUT_EFFECT))
