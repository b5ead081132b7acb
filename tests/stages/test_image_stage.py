"""The image stage: real models, file formats, what files say of themselves, refused images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chorus.cli import main
from chorus.errors import BadInput
from chorus.generation.image_files import SUFFIXES, description, encode
from chorus.records.image_files import read_image
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))
from tiny_diffusion import save_tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")
PROMPT = "A person sits on a chair"
FORMATS = list(SUFFIXES)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "chair.txt").write_text(PROMPT + "\n")
    (tmp_path / "augprompts.txt").write_text("AUGPROMPT_COMMON\noriginal\n, back view\n")
    return tmp_path


def images(root, model, *extra, batch=3, batches=1) -> int:
    return main(
        [
            *("images", "--profile", "modern", "--device", "cpu"),
            *("--results_dir", str(root / "results"), "--prompt_dir", str(root / "prompts")),
            *("--augprompts_path", str(root / "augprompts.txt"), "--batch_size", str(batch)),
            *("--num_batch_per_augprompt", str(batches), "--image_model", f"diffusers:{model}"),
            *("--diffusion.num_inference_steps", "2", *extra),
        ]
    )


def shard(augprompt="original") -> ShardKey:
    return ShardKey("modern", "chair", PROMPT, augprompt)


def table(root, augprompt="original"):
    return read_table(ResultsTree(root / "results").table("images", shard(augprompt)), "images")


def decoded(root, index, augprompt="original"):
    row = table(root, augprompt).rows[index]
    key = SampleKey(*shard(augprompt), index)
    return read_image(ResultsTree(root / "results"), key, row).pixels


def files(root) -> dict[str, bytes]:
    found = sorted(path for path in (root / "results" / "images").rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_a_real_pipeline_makes_images_that_say_how(root, tiny, capsys):
    assert images(root, tiny) == 0
    assert "6 done" in capsys.readouterr().out
    found = table(root, ", back view")
    assert found.settings["image_model"] == f"diffusers:{tiny}"
    assert found.settings["diffusion"]["num_inference_steps"] == 2
    assert "body" not in found.settings
    row = found.rows[1]
    assert (row["file"], row["width"], row["height"]) == ("000001.jpg", 32, 32)
    assert row["text"] == f"{PROMPT}, back view"
    path = ResultsTree(root / "results").image(SampleKey(*shard(", back view"), 1), ".jpg")
    said = description(path)
    assert said["prompt"] == row["text"] and said["seed"] == row["seed"]
    assert said["model"] == f"diffusers:{tiny}" and said["weights"] == str(tiny)
    assert said["sampler"] == "EulerDiscreteScheduler" and said["num_inference_steps"] == 2
    assert not (root / "results" / "synthetic_truth").exists()


def test_repeated_and_extended_runs_leave_the_same_bytes(root, tiny):
    assert images(root, tiny) == 0
    made = files(root)
    assert images(root, tiny, "--overwrite") == 0
    assert files(root) == made
    assert images(root, tiny, batches=2) == 0
    extended = files(root)
    assert len(table(root).rows) == 6
    pictures = {name: data for name, data in made.items() if name.endswith(".jpg")}
    assert pictures.items() <= extended.items()


def test_other_diffusion_settings_are_stale_but_other_speed_is_not(root, tiny, capsys):
    assert images(root, tiny) == 0
    before = files(root)
    assert images(root, tiny, "--diffusion.guidance_scale", "3") == 2
    assert "diffusion.guidance_scale: None, now 3.0" in capsys.readouterr().err
    assert images(root, tiny, "--image_format", "png") == 2
    assert "image_format: 'jpeg', now 'png'" in capsys.readouterr().err
    assert images(root, tiny, "--diffusion.fuse_qkv") == 0
    assert files(root) == before


@pytest.mark.parametrize("image_format", FORMATS)
def test_formats_are_read_back_and_replace_each_other(root, tiny, image_format):
    assert images(root, tiny, "--image_format", "png") == 0
    exact = decoded(root, 2).astype(int)
    assert images(root, tiny, "--image_format", image_format, "--overwrite") == 0
    found = decoded(root, 2)
    if image_format == "png":
        np.testing.assert_array_equal(found, exact)
    assert np.abs(found - exact).mean() < 25  # noise is the worst case of lossy formats
    suffixes = {path.suffix for path in (root / "results/images").rglob("0*.*")}
    assert suffixes == {SUFFIXES[image_format]}


def test_refused_images_are_skipped_rows(root, tmp_path, capsys):
    strict = save_tiny_pipeline(tmp_path / "strict", flags=True)
    assert images(root, strict) == 0
    printed = capsys.readouterr()
    assert "0 done, 6 refused (6 safety checker)" in printed.out
    row = table(root).rows[0]
    assert (row["status"], row["reason"], row["file"]) == ("skipped", "safety checker", None)
    assert not list((root / "results" / "images").rglob("*.jpg"))
    assert images(root, strict) == 0
    assert "6 already there" in capsys.readouterr().out
    assert images(root, strict, "--diffusion.no_safety_checker", "--overwrite") == 0
    assert table(root).rows[0]["status"] == DONE


def test_an_unknown_model_is_named(root, capsys):
    assert images(root, "x", "--image_model", "stable-difusion-v1-4") == 2
    assert "did you mean 'stable-diffusion-v1-4'" in capsys.readouterr().err


def test_a_folder_without_a_pipeline(root, tmp_path, capsys):
    assert images(root, tmp_path) == 2
    assert "model_index.json is not there" in capsys.readouterr().err


SMOOTH = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (64, 48, 3))


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_file_holds_pixels_and_description(tmp_path, image_format):
    about = {
        "prompt": "Ein Mann hält “Ski”, 人",
        "seed": 2**62,
        "guidance_scale": 7.5,
        "none": None,
    }
    data = encode(SMOOTH, image_format, about)
    assert data == encode(SMOOTH, image_format, about)
    path = tmp_path / f"image{SUFFIXES[image_format]}"
    path.write_bytes(data)
    assert description(path) == about
    with Image.open(path) as image:
        assert image.format == image_format.upper()
        assert np.abs(np.asarray(image).astype(int) - SMOOTH).max() <= 4


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_no_image(tmp_path, image_format, kept):
    rng = np.random.default_rng(0)
    data = encode(rng.integers(0, 256, (64, 48, 3), np.uint8), image_format, {"prompt": "p"})
    tree = ResultsTree(tmp_path)
    path = tree.image(SampleKey(*shard(), 0), SUFFIXES[image_format])
    path.parent.mkdir(parents=True)
    row = {"status": DONE, "reason": "", "file": path.name, "width": 48, "height": 64}
    key = SampleKey(*shard(), 0)
    path.write_bytes(data)
    assert read_image(tree, key, row).pixels.shape == (64, 48, 3)
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(BadInput, match="is not a whole image; delete it and run images"):
        read_image(tree, key, row)


def test_a_file_that_says_nothing(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="does not say how it was made"):
        description(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match="cannot be read as an image"):
        description(tmp_path / "b.png")


def test_an_unknown_prompt_is_told_with_the_nearest(root, tiny, capsys):
    assert images(root, tiny, "--prompts", "A person sit on a chair") == 2
    told = capsys.readouterr().err
    assert "unknown prompt in" in told and f"did you mean {PROMPT!r}?" in told
    assert images(root, tiny, "--prompts", PROMPT, "nonsense") == 2
    assert f"'nonsense'; known: {PROMPT}." in capsys.readouterr().err
    assert not (root / "results").exists()


def test_a_file_is_no_folder_of_prompts(root, capsys):
    path = root / "prompts" / "chair.txt"
    assert main(["images", "--prompt_dir", str(path), "--results_dir", str(root / "results")]) == 2
    assert f"--prompt_dir {path} is not a folder; name the folder" in capsys.readouterr().err


def test_what_is_wrong_with_all_prompts_of_a_category_is_told_once(root, capsys):
    (root / "prompts" / "ukulele.txt").write_text("A man holds a ukulele\nA man plays a ukulele\n")
    arguments = ["--prompt_dir", str(root / "prompts"), "--results_dir", str(root / "results")]
    assert main(["images", "--categories", "ukulele", *arguments]) == 2
    assert capsys.readouterr().err.count("unknown category of the synthetic world") == 1
