"""Category names: COCO's 80 classes, open vocabulary, and the paper's quantitative categories.

Here `lvis` and `open` accept any noun and only `coco` is a closed list: the names of LVIS v0.5 come
with the network that predicts them, which refuses others (`chorus.perception.detectron`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from chorus.errors import BadInput, unknown_name

PERSON = "person"
"""The label of persons in every vocabulary."""

Mode = Literal["coco", "lvis", "open"]

# COCO numbers its classes 1 to 90 and leaves gaps; a class's place in this tuple is the contiguous
# id that networks predict, the number beside it is the id in COCO's own annotation files.
COCO: tuple[tuple[str, int], ...] = (
    (PERSON, 1),
    ("bicycle", 2),
    ("car", 3),
    ("motorcycle", 4),
    ("airplane", 5),
    ("bus", 6),
    ("train", 7),
    ("truck", 8),
    ("boat", 9),
    ("traffic light", 10),
    ("fire hydrant", 11),
    ("stop sign", 13),
    ("parking meter", 14),
    ("bench", 15),
    ("bird", 16),
    ("cat", 17),
    ("dog", 18),
    ("horse", 19),
    ("sheep", 20),
    ("cow", 21),
    ("elephant", 22),
    ("bear", 23),
    ("zebra", 24),
    ("giraffe", 25),
    ("backpack", 27),
    ("umbrella", 28),
    ("handbag", 31),
    ("tie", 32),
    ("suitcase", 33),
    ("frisbee", 34),
    ("skis", 35),
    ("snowboard", 36),
    ("sports ball", 37),
    ("kite", 38),
    ("baseball bat", 39),
    ("baseball glove", 40),
    ("skateboard", 41),
    ("surfboard", 42),
    ("tennis racket", 43),
    ("bottle", 44),
    ("wine glass", 46),
    ("cup", 47),
    ("fork", 48),
    ("knife", 49),
    ("spoon", 50),
    ("bowl", 51),
    ("banana", 52),
    ("apple", 53),
    ("sandwich", 54),
    ("orange", 55),
    ("broccoli", 56),
    ("carrot", 57),
    ("hot dog", 58),
    ("pizza", 59),
    ("donut", 60),
    ("cake", 61),
    ("chair", 62),
    ("couch", 63),
    ("potted plant", 64),
    ("bed", 65),
    ("dining table", 67),
    ("toilet", 70),
    ("tv", 72),
    ("laptop", 73),
    ("mouse", 74),
    ("remote", 75),
    ("keyboard", 76),
    ("cell phone", 77),
    ("microwave", 78),
    ("oven", 79),
    ("toaster", 80),
    ("sink", 81),
    ("refrigerator", 82),
    ("book", 84),
    ("clock", 85),
    ("vase", 86),
    ("scissors", 87),
    ("teddy bear", 88),
    ("hair drier", 89),
    ("toothbrush", 90),
)
COCO_NAMES: tuple[str, ...] = tuple(name for name, _ in COCO)

# method.md 2: batches per augprompt of the paper's quantitative run, by category.
QUANTITATIVE_CATEGORIES: Mapping[str, int] = MappingProxyType(
    {
        "motorcycle": 30,
        "bench": 20,
        "backpack": 16,
        "handbag": 45,
        "tie": 24,
        "frisbee": 55,
        "skis": 22,
        "snowboard": 15,
        "sports ball": 18,
        "baseball glove": 18,
        "skateboard": 24,
        "surfboard": 35,
        "tennis racket": 24,
        "cell phone": 32,
    }
)

# method.md 1: the categories for which the paper has prompts.
PAPER_CATEGORIES: tuple[str, ...] = (
    "backpack",
    "baseball glove",
    "bed",
    "bench",
    "bicycle",
    "cell phone",
    "chair",
    "frisbee",
    "handbag",
    "hat",
    "laptop",
    "motorcycle",
    "scarf",
    "skateboard",
    "skis",
    "snowboard",
    "soccer ball",
    "sports ball",
    "sunglasses",
    "surfboard",
    "sweater",
    "tennis racket",
    "tie",
    "umbrella",
)

_DEMO = "-demo"  # method.md 1: keeps the demo's results apart from the category's own
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Category:
    """A category as the user names it, and what detectors call it.

    name is the one on disk (`surfboard-demo`), label the detector's word (`surfboard`); coco_id is
    COCO's annotation id (1..90) and coco_index the contiguous id (0..79), None outside COCO.
    """

    name: str
    label: str
    coco_id: int | None = None
    coco_index: int | None = None


def strip_demo(name: str) -> str:
    """The detector's word for a category: `surfboard` for `surfboard-demo` (method.md 1)."""
    return name.removesuffix(_DEMO)


def resolve_category(name: str, mode: Mode = "coco") -> Category:
    """The category of a name; `<category>-demo` means the same objects as `<category>`.

    In mode `coco` the label must be one of COCO's 80 names; `lvis` and `open` take any noun. Raises
    BadInput for an unknown COCO name (with near ones), for `person`, which is not an object, and
    for text that cannot be a noun.
    """
    label = strip_demo(name)
    if mode not in ("coco", "lvis", "open"):
        raise unknown_name("mode", mode, ("coco", "lvis", "open"))
    if (
        not any(char.isalnum() for char in label)
        or not label.isprintable()
        or label != label.strip()
        or len(label) > _LONGEST_NAME
    ):
        raise BadInput(
            f"{name[:_LONGEST_NAME]!r} is not a category: expected a noun such as 'surfboard', at "
            f"most {_LONGEST_NAME} printable characters without blanks around it."
        )
    if label == PERSON:
        raise BadInput(
            "'person' is not an object category: it is what the objects are placed around."
        )
    if label in COCO_NAMES:
        index = COCO_NAMES.index(label)
        return Category(name, label, COCO[index][1], index)
    if mode == "coco":
        objects = (known for known in COCO_NAMES if known != PERSON)
        raise BadInput(
            f"{unknown_name('COCO category', label, objects)} Categories outside COCO need `--mode "
            "lvis`, or a segmenter with an open vocabulary, which takes any noun: `--segmenter "
            "open-vocabulary`."
        )
    return Category(name, label)
