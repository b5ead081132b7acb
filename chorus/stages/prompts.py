"""`chorus prompts`: categories → prompt files (SPEC 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chorus.errors import BadInput
from chorus.generation.prompts import (
    prompt_file,
    read_prompts,
    template_prompts,
    write_prompts,
)
from chorus.settings import RunOptions
from chorus.stages import adapters
from chorus.stages.report import Progress, Report
from chorus.vocabulary import strip_demo


@dataclass(frozen=True)
class Options(RunOptions):
    """Write a prompt file, <save_dir>/<category>.txt, for every category."""

    save_dir: Path = Path("prompts/demo")
    """Folder of the prompt files."""
    num_prompts: int | None = None
    """At most so many prompts for a category; all that the provider offers if left out."""


def run(options: Options, progress: Progress = None) -> Report:
    """Write the missing prompt files; an existing file is kept unless --overwrite is given."""
    del progress  # a moment's work
    name = options.models.prompts
    if name != "synthetic":
        raise adapters.missing(name, options.profile)
    from chorus.synthetic.interactions import known_prompts

    if not options.categories:
        raise BadInput("prompts needs --categories, for instance --categories surfboard.")
    if options.num_prompts is not None and options.num_prompts < 1:
        raise BadInput(f"--num_prompts must be at least 1, found {options.num_prompts}.")
    written = kept = 0
    problems: list[str] = []
    for category in options.categories:
        path = prompt_file(options.save_dir, category)
        if path.is_file() and options.skip_done and not options.overwrite:
            read_prompts(path)  # a malformed file shall be heard of now
            kept += 1
            continue
        try:
            known = known_prompts(strip_demo(category))
            write_prompts(path, template_prompts(category, known, options.num_prompts))
            written += 1
        except BadInput as error:
            if len(options.categories) == 1:
                raise
            problems.append(str(error))
    already = f", {kept} already there" if kept else ""
    line = f"prompts: {written} files written{already} → {options.save_dir}"
    return Report(line, problems, ok=not problems)
