"""Diffusion pipelines: loading, the published sampler, seeds, memory, the safety checker."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler
from tiny_diffusion import SIDE, save_tiny_pipeline

from chorus.errors import BadInput, Unavailable
from chorus.generation import diffusion
from chorus.generation.diffusion import check, load, precision, published
from chorus.generation.diffusion_settings import DiffusionSettings
from chorus.generation.protocols import ImageRequest
from chorus.records.keys import SampleKey

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")
IMPORTS = Path("imports")
QUICK = DiffusionSettings(num_inference_steps=3)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


def model(folder, settings=QUICK, name="diffusers"):
    return load(name, str(folder), IMPORTS, "cpu", settings)


def requests(count=3, augprompt="original", text="A person sits on a chair"):
    keys = [SampleKey("m", "chair", text, augprompt, index) for index in range(count)]
    return [ImageRequest(key, text, 100 + key.index) for key in keys]


def pixels(made):
    return np.stack([image.pixels for image in made])


def count_unet_calls(made_by):
    calls = []
    made_by._pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def test_the_published_sampler_and_settings(tiny):
    paper = model(tiny, DiffusionSettings(), "stable-diffusion-v1-4")
    scheduler = paper._pipeline.scheduler
    assert type(scheduler) is PNDMScheduler
    assert (
        dict(scheduler.config).items()
        >= {
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            "skip_prk_steps": True,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "prediction_type": "epsilon",
            "timestep_spacing": "leading",
        }.items()
    )
    assert paper._arguments == {
        "num_inference_steps": 50,
        "guidance_scale": 7.5,
        "height": 512,
        "width": 512,
    }


def test_fifty_steps_of_plms_ask_the_network_51_times(tiny):
    settings = DiffusionSettings(height=SIDE, width=SIDE)
    paper = model(tiny, settings, "stable-diffusion-v1-4")
    calls = count_unet_calls(paper)
    (image,) = paper.generate(requests(1))
    assert len(calls) == 51
    assert image.pixels.shape == (SIDE, SIDE, 3) and image.pixels.dtype == np.uint8
    assert image.sampling["sampler"] == "PNDMScheduler"
    assert image.sampling["num_inference_steps"] == 50


def test_published_settings_give_way_to_what_is_asked_for():
    asked = DiffusionSettings(sampler="dpm-solver++", num_inference_steps=20, guidance_scale=0.0)
    found = published(asked)
    assert (found.num_inference_steps, found.guidance_scale) == (20, 0.0)
    assert (found.height, found.width, found.sampler) == (512, 512, "dpm-solver++")


@pytest.mark.parametrize(
    ("sampler", "class_name", "calls"),
    [
        ("plms", "PNDMScheduler", 5),
        ("ddim", "DDIMScheduler", 4),
        ("dpm-solver++", "DPMSolverMultistepScheduler", 4),
        ("unipc", "UniPCMultistepScheduler", 4),
        ("euler", "EulerDiscreteScheduler", 4),
        ("euler-ancestral", "EulerAncestralDiscreteScheduler", 4),
        ("heun", "HeunDiscreteScheduler", 7),
        ("lcm", "LCMScheduler", 4),
    ],
)
def test_every_sampler_runs_in_few_steps(tiny, sampler, class_name, calls):
    made_by = model(tiny, DiffusionSettings(sampler=sampler, num_inference_steps=4))
    counted = count_unet_calls(made_by)
    (image,) = made_by.generate(requests(1))
    assert len(counted) == calls
    assert image.sampling["sampler"] == class_name
    assert made_by._pipeline.scheduler.config.beta_start == 0.00085  # the model's own schedule


def test_a_sampler_of_another_kind_of_model_is_refused():
    from diffusers import FlowMatchEulerDiscreteScheduler

    from chorus.generation.diffusion_samplers import sampler

    with pytest.raises(BadInput, match=r"ddim does not fit.*FlowMatchEulerDiscreteScheduler"):
        sampler("ddim", FlowMatchEulerDiscreteScheduler())


@pytest.mark.parametrize("sampler", ["plms", "euler-ancestral"])
def test_an_image_depends_on_its_request_alone(tiny, sampler):
    made_by = model(tiny, DiffusionSettings(sampler=sampler, num_inference_steps=3))
    asked = requests(3)
    together = pixels(made_by.generate(asked)).astype(int)
    singly = pixels([next(iter(made_by.generate([one]))) for one in asked])
    reversed_ = pixels(made_by.generate(asked[::-1]))[::-1]
    for other in (singly, reversed_):  # rounding of the kernels for other batch sizes is left
        assert np.abs(together - other).max() <= 1 and (together != other).mean() < 0.002
    assert min(np.abs(together[0] - together[n]).mean() for n in (1, 2)) > 10


def test_the_weights_and_the_text_matter(tiny, tmp_path):
    other = save_tiny_pipeline(tmp_path / "other", seed=1)
    one, two = (pixels(model(folder).generate(requests(1))) for folder in (tiny, other))
    three = pixels(model(tiny).generate(requests(1, text="Two dogs")))
    assert not np.array_equal(one, two) and not np.array_equal(one, three)


def test_guidance_size_and_negative_prompt_reach_the_pipeline(tiny):
    plain = pixels(model(tiny).generate(requests(2)))
    for settings in (
        DiffusionSettings(num_inference_steps=3, guidance_scale=1.0),
        DiffusionSettings(num_inference_steps=3, negative_prompt="blurred"),
    ):
        assert not np.array_equal(plain, pixels(model(tiny, settings).generate(requests(2))))
    wide = model(tiny, DiffusionSettings(num_inference_steps=1, height=16, width=48))
    (image,) = wide.generate(requests(1))
    assert image.pixels.shape == (16, 48, 3)
    assert (image.sampling["height"], image.sampling["width"]) == (16, 48)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("not enough memory: 1")]
)
def test_out_of_memory_halves_the_batch_and_changes_no_image(tiny, caplog, error):
    made_by = model(tiny)
    whole = pixels(made_by.generate(requests(5)))
    sizes = fail_above(made_by, 2, error)
    with caplog.at_level(logging.WARNING, "chorus"):
        made = pixels(made_by.generate(requests(5)))
        again = pixels(made_by.generate(requests(5)))
    np.testing.assert_array_equal(made, whole)
    np.testing.assert_array_equal(again, whole)
    assert sizes == [5, 2, 2, 1, 2, 2, 1]  # the smaller size stays
    assert [r.message for r in caplog.records] == [
        "out of memory with 5 images at once; going on with 2."
    ]


def test_one_image_that_does_not_fit_ends_in_a_sentence(tiny):
    made_by = model(tiny)
    fail_above(made_by, 0, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(Unavailable, match=r"one image does not fit.*--diffusion\.height"):
        list(made_by.generate(requests(3)))


def test_other_errors_are_not_taken_for_memory(tiny):
    made_by = model(tiny)
    sizes = fail_above(made_by, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(made_by.generate(requests(3)))
    assert sizes == [3]


def fail_above(made_by, limit, error):
    """Make the pipeline raise for more than `limit` images; returns the sizes it was asked for."""
    pipeline, sizes = made_by._pipeline, []

    def pretend(**arguments):
        sizes.append(len(arguments["prompt"]))
        if sizes[-1] > limit:
            raise error
        return pipeline(**arguments)

    made_by._pipeline = pretend
    pretend.scheduler, pretend.dtype = pipeline.scheduler, pipeline.dtype
    return sizes


def test_the_safety_checker_refuses_and_can_be_turned_off(tmp_path, caplog):
    folder = save_tiny_pipeline(tmp_path / "strict", flags=True)
    with caplog.at_level(logging.WARNING, "chorus"):
        made = list(model(folder).generate(requests(2)))
    assert [(m.pixels, m.refused) for m in made] == [(None, "safety checker")] * 2
    (told,) = [record for record in caplog.records if record.name.startswith("chorus")]
    assert "--diffusion.no_safety_checker" in told.message
    free = DiffusionSettings(num_inference_steps=3, safety_checker=False)
    assert pixels(model(folder, free).generate(requests(2))).std() > 0
    mild = save_tiny_pipeline(tmp_path / "mild", flags=False)
    assert pixels(model(mild).generate(requests(2))).std() > 0


def test_numbers_that_are_none_are_no_black_image(tiny):
    made_by = model(tiny)
    made_by._pipeline.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(BadInput, match=r"NaN.*--diffusion\.dtype"):
        list(made_by.generate(requests(1)))


def test_precision():
    auto, half = DiffusionSettings(), DiffusionSettings(dtype="float16")
    assert precision("diffusers", auto, "cpu") == (torch.float32, None)
    assert precision("stable-diffusion-v1-4", auto, "cpu") == (torch.float32, None)
    assert precision("stable-diffusion-v1-4", auto, "cuda:1") == (torch.float32, torch.float16)
    assert precision("diffusers", auto, "cuda") == (torch.bfloat16, None)
    assert precision("stable-diffusion-v1-4", half, "cuda") == (torch.float16, None)


def test_low_precision_and_autocast_run(tiny, monkeypatch):
    exact = pixels(model(tiny).generate(requests(1))).astype(int)
    low = DiffusionSettings(num_inference_steps=3, dtype="bfloat16")
    (image,) = model(tiny, low).generate(requests(1))
    assert image.sampling["dtype"] == "bfloat16"
    monkeypatch.setattr(diffusion, "precision", lambda *_: (torch.float32, torch.bfloat16))
    (under_autocast,) = model(tiny).generate(requests(1))
    assert under_autocast.sampling["dtype"] == "bfloat16"
    difference = np.abs(under_autocast.pixels - exact)
    assert difference.max() > 0 and difference.mean() < 10


def test_fused_projections_and_compilation_only_on_request(tiny, monkeypatch):
    from diffusers import UNet2DConditionModel

    asked = []
    for name in ("fuse_qkv_projections", "compile_repeated_blocks"):
        monkeypatch.setattr(UNet2DConditionModel, name, lambda self, name=name: asked.append(name))
    model(tiny)
    assert asked == []
    model(tiny, DiffusionSettings(compile=True, fuse_qkv=True))
    assert asked == ["fuse_qkv_projections", "compile_repeated_blocks"]


@pytest.mark.parametrize("option", ["compile", "fuse_qkv"])
def test_acceleration_that_a_model_does_not_know(tiny, monkeypatch, option):
    from diffusers import UNet2DConditionModel

    def refuse(self):
        raise ValueError("has no such blocks")

    for name in ("fuse_qkv_projections", "compile_repeated_blocks"):
        monkeypatch.setattr(UNet2DConditionModel, name, refuse)
    with pytest.raises(BadInput, match=rf"{option} is not possible on StableDiff.*no such blocks"):
        model(tiny, DiffusionSettings(**{option: True}))


def test_fused_projections_change_nothing_to_speak_of(tiny):
    plain = pixels(model(tiny).generate(requests(2))).astype(int)
    fused = DiffusionSettings(num_inference_steps=3, fuse_qkv=True)
    assert np.abs(pixels(model(tiny, fused).generate(requests(2))) - plain).max() <= 1


def test_nothing_is_shown_on_the_terminal(tiny, capfd):
    capfd.readouterr()
    list(model(tiny).generate(requests(1)))
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("package", ["diffusers", "transformers"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(Unavailable, match=rf"package {package}.*\[generation\]"):
        check("diffusers", "", IMPORTS)


def test_a_folder_or_file_that_is_no_pipeline(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    for source in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(BadInput, match=r"is not a diffusers pipeline: model_index\.json"):
            check("diffusers", str(source), IMPORTS)


def test_a_pipeline_for_something_else(tiny, tmp_path):
    folder = save_tiny_pipeline(tmp_path / "odd")
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "DanceDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput, match=r"odd .*linked to DanceDiffusionPipeline"):
        model(folder)


def test_half_written_weights(tmp_path):
    folder = save_tiny_pipeline(tmp_path / "half")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5000])
    with pytest.raises(BadInput, match=r"unet/diffusion_pytorch_model\.safetensors is damaged"):
        model(folder)


@pytest.mark.parametrize("name", ["diffusers", "stable-diffusion-v1-4"])
def test_weights_of_another_network_name_the_first_key(tmp_path, name):
    folder = save_tiny_pipeline(tmp_path / "other")
    path = folder / "unet" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "in_channels": 9}))
    with pytest.raises(BadInput, match=r"other/unet holds.*conv_in\.weight.*\[8, 9, 3, 3\]|needs"):
        model(folder, name=name)


def test_a_folder_that_is_not_there():
    with pytest.raises(Unavailable, match=r"the folder \./nowhere is not there"):
        model("./nowhere")


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"guidance_scale": -1.0}, "guidance_scale"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"perp_neg": float("inf")}, "perp_neg"),
        ({"height": 100}, "height"),
        ({"width": 0}, "width"),
    ],
)
def test_settings_that_make_no_sense(wrong, option):
    with pytest.raises(BadInput, match=rf"--diffusion\.{option} .* found"):
        DiffusionSettings(**wrong)


def test_settings_that_only_change_the_speed_are_not_the_images():
    fast = DiffusionSettings(compile=True, fuse_qkv=True)
    assert fast.of_the_image == DiffusionSettings().of_the_image
    assert DiffusionSettings(perp_neg=1.0).of_the_image != fast.of_the_image
