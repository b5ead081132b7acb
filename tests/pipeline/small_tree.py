"""How the pipeline tests name and run a small tree of the synthetic world."""

from __future__ import annotations

from pathlib import Path

PROMPTS = ["A person balances on a surfboard", "A person carries a surfboard"]
AUGPROMPTS = ["original", ", full body photo", ", face only"]
STAGES = ("images", "segment", "humans", "keypoints", "filter", "calibrate", "aggregate")
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
    options = {f"--{f}": str(root / f.split("_")[0]) for f in ("results_dir", "imports_dir")}
    common = [word for pair in options.items() for word in pair]
    heeded = stage in (*STAGES, "view", "truth", "evaluate", "testset", "ablate", "report", "score")
    workers = ["--workers", "1"] if heeded and "--workers" not in extra else []
    return [stage, *common, *workers, *own.get(stage, []), *extra]


def files(root: Path) -> dict[str, bytes]:
    """Content of every result below `root`, by relative path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "results").rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }
