"""`chorus ask "a person carries a surfboard"`: the nearest prompt's contacts, in numbers and as a
picture.

Nearness is of strings (`commands.touching.nearest`), without any language model: the sentence has
to name the object and, if one interaction is meant, the verb.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from chorus.body.loading import load_body
from chorus.commands import touch
from chorus.commands.touching.chosen import aggregated, chosen_kind
from chorus.commands.touching.nearest import named_objects, nearest_cluster, ranked
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.records.aggregations import read_record
from chorus.settings import AggregationOptions, BodyOptions


@dataclass(frozen=True)
class Options(BodyOptions, AggregationOptions):
    """Answer a sentence with the nearest prompt's contacts."""

    sentence: Positional[str] = dataclasses.field(kw_only=True)
    """What somebody does with an object, or an object alone: "a person carries a surfboard"."""
    out: Path = Path("touch")
    """Folder to write the answer's files into; files of the same names are replaced."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """The answer: `chorus touch` of the nearest prompt, and of the cluster if a part is named."""
    found = aggregated(options, chosen_kind(options))
    named = named_objects(options.sentence, {each.category for each in found})
    by_name = {each.name: each for each in found if each.category in named}
    order = ranked(options.sentence, {name: each.text for name, each in by_name.items()})
    near = ", ".join(f"{by_name[name].text!r} ({score:.2f})" for name, score in order[:3])
    which = by_name[order[0][0]]
    part = nearest_cluster(options.sentence, read_record(which.folder)["parts"])
    asked = options.carried_to(touch.Options, part=part)
    body = load_body(options.body, options.imports_dir)
    answer = touch.write_maps(asked, [which], body, progress)
    answer.text = f"{options.sentence!r} is nearest to {near}; cluster {part}.\n\n{answer.text}"
    answer.line = answer.line.replace("touch:", "ask:", 1)
    return answer
