"""Names of categories as other programs spell them: LVIS's underscores, Objects365's capitals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from chorus.errors import BadInput, shown
from chorus.perception.coco_images import integer_of
from chorus.vocabulary import COCO

_COCO = {name: name for name, _ in COCO}


def category_numbers(records: Sequence[Any], used: Collection[Any], where: str) -> dict[str, int]:
    """Category numbers by name, of the records of a COCO file's categories.

    A name that is one of COCO's but for capitals, underscores and blanks around it is COCO's. Of
    two of one name, one that no annotation is of (Roboflow lists the whole set so) is left out.
    used: numbers of the categories that annotations are of. BadInput, naming `where`, for records
    without number or name, and if two that are used have one number or mean one name.
    """
    given: list[tuple[str, int]] = []
    for at, record in enumerate(records):
        number = integer_of(record, "id", where, "category", at)
        name = record.get("name")
        if not isinstance(name, str) or not name.strip():
            raise BadInput(
                f"{where}: category {number} has the name {shown(name)}; each needs its own."
            )
        given.append((usual_name(name), number))
    twice = [
        number for number, count in Counter(number for _, number in given).items() if count > 1
    ]
    if twice:
        raise BadInput(f"{where}: two categories have the id {twice[0]}.")
    categories: dict[str, int] = {}
    for name, number in given:
        if name in categories and number in used and categories[name] in used:
            raise BadInput(
                f"{where}: categories {categories[name]} and {number} are both called "
                f"{shown(name)} (but for capitals and underscores), and both have annotations; "
                "each needs its own name, or merge them."
            )
        if name not in categories or number in used:
            categories[name] = number
    return categories


def usual_name(name: str) -> str:
    """COCO's own spelling of a name that differs from it by capitals, underscores and blanks around
    it; any other without these blanks."""
    return _COCO.get(plain(name), name.strip())


def plain(name: str) -> str:
    """What names are compared by where their spelling may differ."""
    return " ".join(name.replace("_", " ").casefold().split())
