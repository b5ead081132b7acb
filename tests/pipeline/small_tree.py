"""How the pipeline tests name and run a small tree of the synthetic world."""

from __future__ import annotations

import importlib
from dataclasses import fields
from pathlib import Path

from chorus.cli import COMMANDS

PROMPTS = ["A person balances on a surfboard", "A person carries a surfboard"]
AUGPROMPTS = ["original", ", full body photo", ", face only"]
STAGES = (
    *("images", "segment", "humans", "keypoints", "filter", "refine", "quality", "calibrate"),
    "aggregate",
)
AGGREGATION = "filter(3)-aggr(quant%3Afull)"


def command(root: Path, stage: str, *extra: str) -> list[str]:
    """The arguments that run a stage on the tree below `root`."""
    own = {
        "images": [
            *("--num_batch_per_augprompt", "1", "--batch_size", "3"),
            *("--prompt_dir", str(root / "prompts")),
            *("--augprompts_path", str(root / "augprompts.txt")),
        ],
        "prompts": ["--save_dir", str(root / "prompts")],
    }
    if stage == "aggregate" and "--aggr_setting_names" not in extra:
        own["aggregate"] = ["--aggr_setting_names", "quant:full"]
    common = {"results_dir": root / "results", "imports_dir": root / "imports", "workers": 1}
    words = [stage]
    for name, value in common.items():
        if name in heeded(stage) and f"--{name}" not in extra:
            words += [f"--{name}", str(value)]
    return [*words, *own.get(stage, []), *extra]


def heeded(stage: str) -> set[str]:
    """Names of the options of a command; all that there are for one that does not exist."""
    if stage not in COMMANDS:
        return {"results_dir", "imports_dir", "workers"}
    module = importlib.import_module(COMMANDS[stage][0])
    return {field.name for field in fields(module.Options)}


def files(root: Path) -> dict[str, bytes]:
    """Content of every result below `root`, by relative path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "results").rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }
