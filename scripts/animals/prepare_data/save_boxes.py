"""Boxes of web images from a COCO file (--detections): `chorus animals save_boxes`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from release_options import VALUE, run

PUBLISHED = ("--category", "horse")
WITHOUT_EFFECT = {"--config-file": VALUE}

if __name__ == "__main__":
    sys.exit(run("save_boxes", PUBLISHED, WITHOUT_EFFECT))
