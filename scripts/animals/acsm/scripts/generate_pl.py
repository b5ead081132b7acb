"""Keypoints of fitted shapes: `chorus animals generate_pl_3d` as published."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from release_options import FLAG, VALUE, run

PUBLISHED = ("--category", "horse", "--order", "parent last")
WITHOUT_EFFECT = {
    "--kp_anno": FLAG,
    "--sfm_anno": FLAG,
    "--mask_anno": FLAG,
    "--n_data_workers": VALUE,
}

if __name__ == "__main__":
    sys.exit(run("generate_pl_3d", PUBLISHED, WITHOUT_EFFECT))
