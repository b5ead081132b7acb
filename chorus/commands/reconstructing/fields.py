"""The distributions that a reconstruction takes: those of a category's interactions."""

from __future__ import annotations

import numpy as np

from chorus.commands.touching.chosen import Aggregated
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.records.aggregations import WHOLE
from chorus.records.keys import TOTAL


def fields_of(
    found: list[Aggregated], category: str, prompts: tuple[str, ...] = ()
) -> list[Distribution]:
    """The distributions of a category's prompts, or of those named, without the empty ones; the
    total if there are no others. BadInput if all are empty."""
    own = [each for each in found if each.category == category]
    chosen = [e for e in own if e.prompt != TOTAL and (not prompts or e.prompt in prompts)]
    fields = [each.load(WHOLE) for each in chosen or own]
    filled = [field for field in fields if np.any(field.probability)]
    if not filled:
        raise BadInput(
            f"{category}: its distributions are zero everywhere, so they say nothing of where it "
            "is; aggregate samples that were retained."
        )
    return filled


def total_of(found: list[Aggregated], category: str) -> list[Distribution]:
    """The distribution of all of a category's prompts together, none if there is none or it is
    empty."""
    own = [each.load(WHOLE) for each in found if (each.category, each.prompt) == (category, TOTAL)]
    return [field for field in own if field.probability.any()]
