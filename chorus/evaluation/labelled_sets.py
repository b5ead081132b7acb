"""The test sets: where their tables and photographs lie, which command makes each, reading them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chorus.errors import BadInput, unknown_name
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.vocabulary import strip_demo

if TYPE_CHECKING:
    import numpy as np

SYNTHETIC, COCO_EFT = "synthetic", "coco-eft-val"
"""The synthetic world's own test images, and extended COCO-EFT; also their tables' model keys."""

MADE_BY = {SYNTHETIC: "testset", COCO_EFT: "extend_eft"}
"""The command that makes each of these. All other test sets are photographs of one's own, under
the name that `chorus import --as test_set` gave them."""


def usual_set(profile: str) -> str:
    """The test set of a profile: the synthetic world's for its own, else extended COCO-EFT."""
    return SYNTHETIC if profile == "synthetic" else COCO_EFT


def check_known(tree: ResultsTree, test_set: str) -> None:
    """BadInput, with the names there are, for a test set that nobody made or could make."""
    known = {*MADE_BY, *tree.model_keys("test_set")}
    if test_set not in known:
        error = unknown_name("test set", test_set, known)
        listed = "" if "known:" in str(error) else f" Known: {', '.join(sorted(known))}."
        raise BadInput(
            f"{error}{listed} `chorus import --as test_set NAME` makes one of your photographs."
        )


def shard_of(test_set: str, category: str) -> ShardKey:
    """The table of a category's test images; `<category>-demo` is tested as `<category>`."""
    return ShardKey(test_set, strip_demo(category), "test", "original")


def table_of(tree: ResultsTree, test_set: str, category: str) -> Path:
    """The file of a category's test images; BadInput, naming the command, if there is none."""
    check_known(tree, test_set)
    path = tree.table("test_set", shard_of(test_set, category))
    if not path.is_file():
        tool = MADE_BY.get(test_set, f"import --as test_set {test_set}")
        raise BadInput(
            f"{category}: {test_set} has no test images of it ({path} is missing); run chorus "
            f"{tool} first."
        )
    return path


def image_folder(
    tested_on: str, table: Path, imports_dir: Path, coco_images: Path | None = None
) -> Path:
    """The folder of a test set's images: beside its table, or COCO's for extended COCO-EFT."""
    if tested_on != COCO_EFT:
        return table.with_suffix("")
    return coco_images or imports_dir / "COCO" / "images" / "val2014"


def read_photograph(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The image (H, W, 3) uint8; BadInput if it is missing, damaged or of another size than its
    mask's `shape` (H, W)."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; fetch or make it again.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} is damaged ({error}); fetch or make it again.") from error
    if pixels.shape[:2] != shape:
        raise BadInput(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels, the test set's mask "
            f"{shape[1]} x {shape[0]}; fetch or make it again."
        )
    return pixels
