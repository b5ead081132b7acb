"""Makes animals.jpg of animals.md: the five free quadrupeds, and pictures of their pasture.

python docs/images/make_animals.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from chorus.animals.keypoints import CATEGORIES
from chorus.animals.pasture.drawing import draw_scene, line_up
from chorus.animals.pasture.scenes import LABELLED, WEB, sample_scene
from chorus.animals.pictures import draw_keypoints

WIDTH = 1600
SEEDS = {"horse": 104, "cow": 106, "sheep": 102, "giraffe": 113, "bear": 104}


def main() -> None:
    """The line-up above, a row of pictures with their keypoints below."""
    tiles = []
    for category in CATEGORIES:
        settings = WEB if category in ("sheep", "giraffe") else LABELLED
        drawn = draw_scene(sample_scene(category, SEEDS[category], settings))
        joints = np.column_stack([drawn.keypoints, drawn.visible])
        tiles.append(draw_keypoints(drawn.image, joints))
    page = np.vstack([line_up(WIDTH), np.hstack(tiles)])
    Image.fromarray(page).save(Path(__file__).with_name("animals.jpg"), quality=88, optimize=True)


if __name__ == "__main__":
    main()
