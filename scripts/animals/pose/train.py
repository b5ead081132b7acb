"""Train the keypoint network: `chorus animals train_keypoints` as published."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from release_options import VALUE, run

PUBLISHED = ("--placement", "published")
WITHOUT_EFFECT = {"--num_workers": VALUE, "--save_dir": VALUE}

if __name__ == "__main__":
    sys.exit(run("train_keypoints", PUBLISHED, WITHOUT_EFFECT))
