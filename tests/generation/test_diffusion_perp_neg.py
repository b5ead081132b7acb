"""Perp-Neg: the combination by hand, and in a pipeline's own loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_diffusion import save_tiny_pipeline

from chorus.errors import BadInput
from chorus.generation.augprompts import AUGPROMPTS
from chorus.generation.diffusion import load
from chorus.generation.diffusion_settings import DiffusionSettings
from chorus.generation.perp_neg import combine, guided, opposing_prompts, perpendicular
from chorus.generation.protocols import ImageRequest
from chorus.records.keys import SampleKey

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")
PROMPT = "A person sits on a chair"


@pytest.fixture(scope="session", params=[False, True], ids=["sd", "xl"])
def folder(request, tmp_path_factory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("tiny"), xl=request.param)


def direction(*values) -> torch.Tensor:
    """One sample of one channel, (1, 1, 1, n)."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


def one_negative(positive, negative, weight):
    return combine(positive, negative[None], torch.tensor([[weight]])).flatten().tolist()


def test_a_parallel_negative_contributes_nothing():
    positive = direction(1, 2, 2)
    assert one_negative(positive, 3 * positive, 5.0) == pytest.approx([1, 2, 2])
    assert one_negative(positive, -3 * positive, 5.0) == pytest.approx([1, 2, 2])


def test_an_orthogonal_negative_is_subtracted_in_full():
    assert one_negative(direction(1, 0), direction(0, 2), 1.0) == pytest.approx([1, -2])
    assert one_negative(direction(1, 0), direction(0, 2), 0.5) == pytest.approx([1, -1])


def test_of_an_oblique_negative_only_the_perpendicular_part_counts():
    # (3, 1) along (2, 0) is (3, 0); what is perpendicular is (0, 1).
    assert one_negative(direction(2, 0), direction(3, 1), 2.0) == pytest.approx([2, -2])


def test_several_negatives_add_up_for_each_sample_by_itself():
    positive = torch.cat([direction(1, 0, 0), direction(0, 1, 0)])
    negatives = torch.stack(
        [
            torch.cat([direction(5, 1, 0), direction(1, 5, 0)]),
            torch.cat([direction(0, 0, 1), direction(0, 0, 1)]),
        ]
    )
    weights = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    found = combine(positive, negatives, weights).reshape(2, 3)
    assert found.tolist() == [[1, -1, -3], [-2, 1, 0]]


def test_a_prompt_without_a_direction_leaves_the_negative_whole():
    assert one_negative(direction(0, 0), direction(1, 2), 1.0) == pytest.approx([-1, -2])


@given(st.integers(0, 2**32 - 1))
def test_what_is_perpendicular_has_no_part_along_the_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    vectors, reference = torch.randn((2, 3, 4, 5, 5), generator=generator, dtype=torch.float64)
    found = perpendicular(vectors, reference)
    torch.testing.assert_close((found * reference).sum((1, 2, 3)), torch.zeros(3).double())
    torch.testing.assert_close(perpendicular(found, reference), found)


def test_views_and_their_opposites():
    assert opposing_prompts(PROMPT, ", seen from back") == [
        (f"{PROMPT}, front view", 1.0),
        (f"{PROMPT}, side view", 0.5),
    ]
    asked = {augprompt for augprompt in AUGPROMPTS if opposing_prompts(PROMPT, augprompt)}
    assert asked == {
        ", side view",
        ", back view",
        ", top view",
        ", bottom view",
        ", seen from side",
        ", seen from back",
    }
    for augprompt in asked:  # no view is its own opposite
        assert f"{PROMPT}{augprompt}" not in dict(opposing_prompts(PROMPT, augprompt))


def requests(augprompt, count=2):
    text = PROMPT if augprompt == "original" else PROMPT + augprompt
    return [
        ImageRequest(SampleKey("m", "chair", PROMPT, augprompt, n), text, n) for n in range(count)
    ]


def pictures(folder, **settings):
    """A model of these settings, as a function from requests to pixels."""
    settings = DiffusionSettings(num_inference_steps=3, **settings)
    model = load("diffusers", str(folder), Path("imports"), "cpu", settings)
    return lambda asked: np.stack([i.pixels for i in model.generate(asked)]).astype(int)


def test_the_weight_changes_views_and_nothing_else(folder):
    plain, guided_, strongly = (pictures(folder, perp_neg=weight) for weight in (0.0, 1.0, 4.0))
    for augprompt, changes in ((", back view", True), ("original", False), (", selfie", False)):
        asked = requests(augprompt)
        assert (not np.array_equal(plain(asked), guided_(asked))) == changes, augprompt
    back = requests(", back view")
    assert not np.array_equal(guided_(back), strongly(back))


def test_a_batch_of_several_views_is_that_of_each(folder):
    asked = [*requests(", back view", 1), *requests("original", 1), *requests(", top view", 1)]
    made = pictures(folder, perp_neg=2.0)
    singly = np.concatenate([made([one]) for one in asked])
    assert np.abs(made(asked) - singly).max() <= 1


def test_the_network_sees_the_combination(folder):
    """One call of the guided UNet against the formula, written out on its plain answers."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder)
    xl = "XL" in type(pipeline).__name__
    torch.manual_seed(3)
    latents, time = torch.randn(2, 4, 16, 16), torch.tensor(500)
    sizes = torch.full((2, 6), 32.0)

    def embedded(texts):
        found = pipeline.encode_prompt(
            texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return found[0], found[2] if xl else None

    def answer(batch, texts):
        condition, pooled = embedded(texts)
        more = {"text_embeds": pooled, "time_ids": sizes[:1].expand(len(batch), 6)}
        return pipeline.unet(
            batch,
            time,
            encoder_hidden_states=condition,
            added_cond_kwargs=more if xl else None,
            return_dict=False,
        )[0]

    with torch.no_grad():
        twice = torch.cat([latents, latents])
        texts = ["", "", "a chair, back view", "a dog"]
        plain = answer(twice, texts)
        negative = answer(latents[:1], ["a chair, front view"])
        with guided(pipeline, [[("a chair, front view", 0.5)], []], 3.0):
            found = answer(twice, texts)
        after = answer(twice, texts)
    e, n = (plain[2] - plain[0]).flatten(), (negative[0] - plain[0]).flatten()
    expected = plain[0].flatten() + e - 1.5 * (n - (n @ e) / (e @ e) * e)
    torch.testing.assert_close(found[2].flatten(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[[0, 1, 3]], plain[[0, 1, 3]])
    torch.testing.assert_close(after, plain)  # the hook is gone


def test_without_guidance_there_is_a_sentence(folder):
    with pytest.raises(BadInput, match=r"perp_neg needs classifier-free guidance.*found 1\.0"):
        pictures(folder, perp_neg=1.0, guidance_scale=1.0)


def test_a_model_without_a_unet_is_refused():
    from chorus.generation.diffusion import DiffusionModel

    class FluxLike:
        def __call__(self, prompt, generator, output_type, guidance_scale=3.5):
            """Never called."""

    with pytest.raises(BadInput, match=r"with a UNet.*not on FluxLike"):
        DiffusionModel(FluxLike(), DiffusionSettings(perp_neg=1.0), "flux", "cpu")
