"""The whole pipeline on networks of the real libraries, in the real formats, with random weights.

What they answer means nothing; that every stage loads its weights and uses them does.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_tree import heeded

import chorus
from chorus.cli import main
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_settings, read_table
from chorus.settings import PROFILES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

PROMPT = "A person carries a surfboard"
IMAGES = 4
STAGES = ("images", "segment", "humans", "keypoints", "filter", "refine", "calibrate", "aggregate")
OUTPUTS = {
    "images": "images",
    "segment": "segmentations",
    "humans": "humans",
    "keypoints": "human_kps",
}
MODEL_OPTIONS = {
    "images": "image_model",
    "segment": "segmenter",
    "humans": "human_model",
    "keypoints": "keypoint_model",
}
CHAINS = {
    "paper": {
        "images": "stable-diffusion-v1-4:{diffusion}",
        "segment": "mask2former:{mask2former}",
        "humans": "frankmocap-eft:{spin}",
        "keypoints": "vitpose:{vitpose}",
    },
    "modern": {
        "images": "diffusers:{diffusion}",
        "segment": "open-vocabulary:{dino}+{sam}",
        "humans": "hmr2:{hmr2}",
        "keypoints": "vitpose:{vitpose}",
    },
}
"""What each stage of a profile runs on; in braces the kinds of checkpoints. The two networks of the
paper that run on packages of their own builds (detectron2, mmpose) are stood in for."""

DETECTED, LOST = "paper", "modern"  # with retained samples, and without
OF_CHECKPOINTS = [
    (profile, stage, kind)
    for profile, chain in CHAINS.items()
    for stage, model in chain.items()
    for kind in re.findall(r"{(\w+)}", model)
]


class Run:
    """Runs stages of one profile on one tree."""

    def __init__(self, root: Path, profile: str, checkpoints: Callable, imports: Path):
        self.root, self.profile = root, profile
        self._checkpoints, self._imports = checkpoints, imports

    def model(self, stage: str, **of: tuple[int, str]) -> str:
        """NAME:SOURCE of a stage; `of` gives another seed, and a copy, of a kind of checkpoint."""
        model = CHAINS[self.profile][stage]
        kinds = re.findall(r"{(\w+)}", model)
        return model.format(**{kind: self._checkpoints(kind, *of.get(kind, ())) for kind in kinds})

    def __call__(self, stage: str, *extra: str, model: str = "") -> int:
        """The exit status of a stage."""
        common = {"results_dir": self.root / "results", "imports_dir": self._imports}
        common |= {"device": "cpu", "workers": 1}
        arguments = [stage, "--profile", self.profile]
        for name in common.keys() & heeded(stage):
            arguments += [f"--{name}", str(common[name])]
        if stage in MODEL_OPTIONS:
            arguments += [f"--{MODEL_OPTIONS[stage]}", model or self.model(stage)]
        if stage == "images":
            arguments += ["--prompt_dir", str(self.root / "prompts")]
            arguments += ["--augprompts_path", str(self.root / "augprompts.txt")]
            arguments += ["--num_batch_per_augprompt", "2", "--batch_size", str(IMAGES // 2)]
            arguments += ["--diffusion.num_inference_steps", "2"]
            arguments += ["--diffusion.height", "64", "--diffusion.width", "64"]
        if stage == "segment":
            arguments += ["--threshold", "0.2"]
        if stage == "aggregate":  # bodies and keypoints of random networks contradict each other
            arguments += ["--aggr_setting_names", "quant:full"]
        return main([*arguments, *extra])

    def table(self, name: str) -> Path:
        """The path of a table of the only shard."""
        shard = ShardKey(PROFILES[self.profile].model_key, "surfboard", PROMPT, "original")
        return ResultsTree(self.root / "results").table(name, shard)

    def rows(self, name: str) -> dict[int, dict]:
        """The rows of a table of the only shard; of images their pixels as well."""
        rows = read_table(self.table(name), name).rows
        if name == "images":
            folder = self.table(name).with_suffix("")
            rows = {
                index: {**row, "pixels": cv2.imread(str(folder / row["file"])).tolist()}
                for index, row in rows.items()
            }
        return rows

    def copy(self, root: Path) -> Run:
        """The same on a copy of the tree."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Run(root, self.profile, self._checkpoints, self._imports)


@pytest.fixture(scope="session")
def profiles(tmp_path_factory, checkpoints, imports) -> dict[str, Run]:
    """Trees of both profiles, made by all stages up to the filter."""
    runs = {}
    for profile in CHAINS:
        root = tmp_path_factory.mktemp(profile)
        (root / "prompts").mkdir()
        (root / "prompts" / "surfboard.txt").write_text(PROMPT + "\n")
        (root / "augprompts.txt").write_text("AUGPROMPT_COMMON\noriginal\n")
        runs[profile] = run = Run(root, profile, checkpoints, imports)
        for stage in STAGES[:5]:
            assert run(stage) == 0, (profile, stage)
    return runs


@pytest.fixture
def run(profiles, request, tmp_path) -> Run:
    """A copy of a profile's tree that a test may change."""
    return profiles[request.param].copy(tmp_path)


@pytest.mark.parametrize(
    ("run", "stage", "kind"), OF_CHECKPOINTS, ids=map("-".join, OF_CHECKPOINTS), indirect=["run"]
)
def test_outputs_are_those_of_the_weights(run, stage, kind, capsys):
    name, option = OUTPUTS[stage], MODEL_OPTIONS[stage]
    first, other = run.model(stage), run.model(stage, **{kind: (1, "")})
    before = run.rows(name)
    assert [row["status"] for row in before.values()] == [DONE] * IMAGES
    assert read_settings(run.table(name))[option] == first

    capsys.readouterr()
    assert run(stage, model=other) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and f"{option}: '{first}', now '{other}'" in told
    assert "--overwrite" in told and run.rows(name) == before

    assert run(stage, "--overwrite", model=other) == 0
    changed = run.rows(name)
    assert [row["status"] for row in changed.values()] == [DONE] * IMAGES
    assert all(changed[index] != before[index] for index in before)
    assert read_settings(run.table(name))[option] == other

    assert run(stage, "--overwrite", model=run.model(stage, **{kind: (0, "copy")})) == 0
    assert run.rows(name) == before


def distribution(run: Run) -> chorus.Distribution:
    """The total distribution of a tree."""
    folder = run.root / "results/aggregations" / PROFILES[run.profile].model_key / "surfboard"
    (path,) = (folder / "total-aggregation").rglob("all.npz")
    return chorus.Distribution.load(path)


@pytest.mark.parametrize("run", list(CHAINS), indirect=True)
def test_from_prompt_to_distribution(run, profiles, capsys):
    """Both image models, body regressors and the keypoints, on the masks of Mask2Former."""
    found = []
    for seed in (0, 1):
        model = profiles[DETECTED].model("segment", mask2former=(seed, ""))
        assert run("segment", "--overwrite", model=model) == 0
        for stage in STAGES[2:]:
            assert run(stage, "--overwrite") == 0
        rows = run.rows("filtered")
        assert [row["verdicts"][2] for row in rows.values()] == ["retained"] * IMAGES
        found.append(distribution(run))
        assert found[-1].counts.samples.sum() == IMAGES
        seen = found[-1].probability[found[-1].counts.image.sum(axis=0) > 0]
        assert 0 <= seen.min() < seen.max() <= 1
    assert np.abs(found[0].probability - found[1].probability).max() > 0.1
    capsys.readouterr()
    assert run("verify") == 0
    assert "no problem" in capsys.readouterr().out


@pytest.mark.parametrize("run", [LOST], indirect=True)
def test_without_a_retained_sample(run, capsys):
    reasons = Counter(row["verdicts"][2] for row in run.rows("filtered").values())
    assert "retained" not in reasons
    capsys.readouterr()
    assert run("calibrate") == 0
    assert f"0 done, {IMAGES} not retained" in capsys.readouterr().out
    assert run("aggregate") == 1
    printed = capsys.readouterr()
    assert "surfboard: no sample is retained by filter 3 (" in printed.err
    assert all(f"{count} {reason}" in printed.err for reason, count in reasons.items())
    assert "0 aggregations done" in printed.out
    assert run("status") == run("verify") == 0
    assert run("view") == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("run", [DETECTED], indirect=True)
def test_without_a_detection(run, capsys):
    assert run("segment", "--overwrite", "--threshold", "1") == 0
    for stage in STAGES[2:7]:
        assert run(stage, "--overwrite") == 0
    assert all(row["persons"] == [] for row in run.rows("human_kps").values())
    assert run("aggregate", "--filter_setting_nums", "15") == 1
    assert f"filter 15 ({IMAGES} no human)" in capsys.readouterr().err


def cut_off(path: Path, place: Path) -> Path:
    """A copy of a checkpoint, at `place`, whose files of weights end in the middle."""
    if path.is_file():
        place.write_bytes(path.read_bytes())
        files = [place]
    else:
        files = list(Path(shutil.copytree(path, place)).rglob("*.safetensors"))
    for file in files:
        os.truncate(file, file.stat().st_size // 2)
    return place


@pytest.mark.parametrize("run", [DETECTED], indirect=True)
@pytest.mark.parametrize(
    ("stage", "model", "sentence"),
    [
        ("images", "diffusers:{nowhere}", "the folder .*nowhere is not there; give a folder"),
        ("images", "diffusers:{vitpose}", "is not a diffusers pipeline: model_index.json"),
        ("images", "diffusers:{half_diffusion}", r"\w+\.safetensors is damaged: it has \d+ bytes"),
        ("images", "stable-diffusion-v1-4", "HF_HUB_OFFLINE forbids to fetch it; unset"),
        ("segment", "mask2former:{nowhere}", "the folder .*nowhere is not there; give a folder"),
        ("segment", "mask2former:{vitpose}", r"another network: Mask2Former\w+ needs model\.pixel"),
        ("segment", "mask2former:{half_mask2former}", "damaged: .* copy or save the folder again"),
        ("segment", "open-vocabulary:{sam}+{sam}", "unknown model type 'sam'; known: grounding-"),
        ("segment", "open-vocabulary:{dino}+{half_sam}", r"model\.safetensors is damaged"),
        ("segment", "pointrend-r50", "needs the package detectron2|download_off_the_shelf.sh"),
        ("humans", "frankmocap-eft", "Fetch it with: sh scripts/download_off_the_shelf.sh frank"),
        ("humans", "frankmocap-eft:{nowhere}", "there is no such file; give a checkpoint of"),
        ("humans", "frankmocap-eft:{hmr2}", "has no 'model' with the weights of a network"),
        ("humans", "hmr2:{spin}", "has no 'state_dict' with the weights of a network"),
        ("humans", "hmr2:{half_hmr2}", r"has \d+ bytes, and is damaged, cut short"),
        ("keypoints", "vitpose:{sam}", r"another network: VitPose\w+ needs backbone\.embeddings"),
        ("keypoints", "vitpose:{half_vitpose}", r"model\.safetensors is damaged"),
        ("keypoints", "vitpose:owner/name", "HF_HUB_OFFLINE forbids to fetch it; unset"),
        ("keypoints", "hrnet-w48-dark", "needs the package mmpose|download_off_the_shelf.sh"),
    ],
)
def test_bad_weights_end_in_one_sentence(run, checkpoints, tmp_path, capfd, stage, model, sentence):
    paths = {}
    for kind in re.findall(r"{(\w+)}", model):
        if kind.startswith("half_"):
            paths[kind] = cut_off(checkpoints(kind.removeprefix("half_")), tmp_path / kind)
        else:
            paths[kind] = tmp_path / kind if kind == "nowhere" else checkpoints(kind)
    before = run.table(OUTPUTS[stage]).read_bytes()
    capfd.readouterr()
    assert run(stage, "--overwrite", model=model.format(**paths)) == 2
    told = capfd.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    assert re.search(sentence, told), told
    assert run.table(OUTPUTS[stage]).read_bytes() == before


@pytest.mark.parametrize("run", [DETECTED], indirect=True)
def test_a_category_that_coco_does_not_know(run, capsys):
    name = run.table("images").parents[1]
    shutil.move(name, name.with_name("scarf"))
    assert run("segment") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: unknown COCO category 'scarf'; did you mean")
    assert "`--mode lvis`" in told and "`--segmenter open-vocabulary`" in told
