"""The body parts found in a category's samples, as its aggregations record them (method.md 9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from chorus.errors import BadInput
from chorus.records.aggregations import read_record
from chorus.records.gathering import Retained
from chorus.records.staleness import difference

if TYPE_CHECKING:
    from chorus.occupancy.presets import DiscoverySettings


def discovered(
    folders: Sequence[Path],
    settings: dict,
    discovery: DiscoverySettings,
    samples: Mapping[str, Retained],
    touched: Callable[[Retained], Bool[np.ndarray, "24 S"]],
) -> dict[str, Any]:
    """What is found in the samples of a category's prompts, in JSON's types.

    Taken from the first of the aggregations in `folders` that records it for exactly these samples
    and these settings; otherwise found anew in what `touched` tells of the samples of a prompt.
    """
    digests = {prompt: gathered.digest() for prompt, gathered in samples.items()}
    made_from = _digest(json.dumps(digests, sort_keys=True))
    for folder in folders:
        try:
            record = read_record(folder)
        except BadInput:  # not aggregated yet, or damaged: no reason not to begin anew
            continue
        said = record.get("discovery") or {}
        if said.get("made_from") == made_from and not difference(record["settings"], settings):
            return said
    from chorus.occupancy.part_discovery import discover, joined_prompts

    by_prompt = {prompt: touched(gathered) for prompt, gathered in samples.items()}
    found = discover(np.concatenate(list(by_prompt.values()), axis=1), discovery)
    return {
        "made_from": made_from,
        "samples": found.samples,
        "parts": [{**asdict(one), "segments": list(one.segments)} for one in found.parts],
        "joined_prompts": [list(group) for group in joined_prompts(by_prompt, discovery)],
    }


def with_parts(digest: str, discovery: dict[str, Any]) -> str:
    """A fingerprint of samples and of the parts that they are counted for."""
    parts = [[one["name"], one["segments"]] for one in discovery["parts"]]
    return _digest(f"{digest} {json.dumps(parts)}")


def told(category: str, discovery: dict[str, Any]) -> str:
    """One line on what was found in a category's samples, from what `discovered` gives."""
    parts = [
        f"{one['name']} ({', '.join(one['segments'])}; "
        f"{'' if one['stable'] else 'unstable: '}stability {one['stability']:.2f}, "
        f"{one['samples']} samples)"
        for one in discovery["parts"]
    ]
    count = f"{len(parts)} body part{'' if len(parts) == 1 else 's'} found"
    joined = [" joined with ".join(map(repr, group)) for group in discovery["joined_prompts"]]
    found = (
        f"{count}: {', '.join(parts)}" if parts else f"{count}, as nothing is touched often enough"
    )
    return "; ".join([f"{category}: {found}", *joined])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
