"""The registry of models: everything that is known of each in one entry.

To add a model, write its adapter (a file in `generation`, `perception` or `synthetic` with the
method of its kind's protocol and two functions, `check` and `load`) and one entry in `MODELS`; a
package that is not yet among setup.py's extras belongs there too. Options, `chorus doctor`,
`chorus download` and the sentences about missing weights all take what they say from here.

`load(name, source, imports_dir, device, ...)` makes the adapter, and `check(name, source,
imports_dir)`, which the synthetic world's do without, raises Unavailable at once if a package or
weight is missing. `source` is what stands after the colon in NAME:SOURCE (a folder, a file, or a
repository of the Hugging Face hub), or "".

Sizes and checksums of weights are those that the publishers' pages, file names or servers state;
what is empty is not published. Files of the hub are checked by its own client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chorus.errors import Unavailable, unknown_name
from chorus.models.weights import Weight

Kind = Literal["image_model", "segmenter", "human_model", "keypoint_model"]
"""What a model does: the name of the option that chooses it, and of the field of `Profile`."""

SYNTHETIC = "synthetic"
"""The name of the synthetic world's model of every kind."""

IMPORTED = "imported"
"""What the settings of an imported table call its model."""


@dataclass(frozen=True)
class Model:
    """One model."""

    kind: Kind
    name: str
    about: str
    """What it is, for people."""
    module: str
    """Where its `check` and `load` are."""
    source: str = ""
    """What may stand after its name and a colon, for people; empty if nothing may."""
    weights: Mapping[str, Weight] = field(default_factory=dict)
    """The weights that its name alone stands for."""
    built: tuple[str, ...] = ()
    """Packages that pip alone does not install; the first is what
    scripts/install_published_networks.sh builds."""
    lvis: tuple[str, ...] = ()
    """Of a segmenter: its weights that --mode lvis reads beside those that SOURCE replaces."""
    threshold: float | None = None
    """Of a segmenter: the score below which instances are dropped, as its authors use it."""
    open_vocabulary: bool = False
    """Of a segmenter: whether it takes any noun, whatever --mode says."""
    persons_only: bool = False
    """Of a segmenter: whether it finds persons and no objects."""

    @property
    def form(self) -> str:
        """How it is typed: NAME, or NAME[:SOURCE]."""
        return f"{self.name}[:{self.source}]" if self.source else self.name


_PIPELINE = (
    "model_index.json",
    "*/*.json",
    "*/*.txt",
    "*/diffusion_pytorch_model*.safetensors",
    "*/model*.safetensors",
)
_DETECTRON = "https://dl.fbaipublicfiles.com/detectron2"
_MMPOSE = "https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco"
_HMR2_RUN = "logs/train/multiruns/hmr2/0"

_BLAZEPOSE = {
    name: Weight(
        about=f"BlazePose's {about}, out of the wheel (36 MB) of mediapipe 0.10.14",
        licence="Apache-2.0",
        destination=f"blazepose/{file}",
        wheel="mediapipe==0.10.14",
        member=f"mediapipe/modules/{folder}/{file}",
        size=size,
        sha256=sha256,
        page="https://github.com/google-ai-edge/mediapipe",
    )
    for name, about, folder, file, size, sha256 in (
        (
            "blazepose-detector",
            "detector of persons",
            "pose_detection",
            "pose_detection.tflite",
            2_959_046,
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        ),
        (
            "blazepose-landmarks",
            "33 landmarks and mask of a person",
            "pose_landmark",
            "pose_landmark_full.tflite",
            6_440_512,
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        ),
    )
}

HAND_MODEL = "mediapipe-hands"
"""What finds hands in photographs (`chorus hands PHOTO`)."""

HAND_WEIGHTS = {
    name: Weight(
        about=f"MediaPipe's {about}, out of the wheel (36 MB) of mediapipe 0.10.14",
        licence="Apache-2.0",
        destination=f"mediapipe_hands/{folder}_full.tflite",
        wheel="mediapipe==0.10.14",
        member=f"mediapipe/modules/{folder}/{folder}_full.tflite",
        size=size,
        sha256=sha256,
        page="https://github.com/google-ai-edge/mediapipe",
    )
    for name, about, folder, size, sha256 in (
        (
            "mediapipe-palms",
            "detector of palms",
            "palm_detection",
            2_339_846,
            "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        ),
        (
            "mediapipe-hand-landmarks",
            "21 landmarks of a hand",
            "hand_landmark",
            5_478_917,
            "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        ),
    )
}
"""Of the model of hands in photographs."""

BODY_WEIGHTS: dict[str, Weight] = {
    "smpl-extra-joints": Weight(
        about="J_regressor_extra of SPIN: 9 joints beside SMPL's 24",
        licence="part of SPIN's data (code BSD-3-Clause), made for SMPL: its licence binds the use",
        destination="smpl/J_regressor_extra.npy",
        url="https://visiondata.cis.upenn.edu/spin/data.tar.gz",
        member="data/J_regressor_extra.npy",
        size=14_960_640,
        page="https://github.com/nkolot/SPIN",
    ),
    "smpl": Weight(
        about="SMPL, neutral body",
        licence="of the Max Planck Society: research, non-commercial, after registration",
        destination="smpl/SMPL_NEUTRAL.npz",
        page="https://smpl.is.tue.mpg.de",
    ),
}
"""Bodies and what belongs to them; no network of ours."""

_ENTRIES = (
    Model(
        "image_model",
        SYNTHETIC,
        "the synthetic world's renderer",
        "chorus.synthetic.look.image_model",
    ),
    Model(
        "image_model",
        "stable-diffusion-v1-4",
        "Stable Diffusion v1-4 with the published sampler",
        "chorus.generation.diffusion",
        source="SOURCE",
        weights={
            "stable-diffusion-v1-4": Weight(
                about="Stable Diffusion v1-4, the paper's image model",
                licence="CreativeML OpenRAIL-M (commercial use permitted, listed uses are not)",
                repository="CompVis/stable-diffusion-v1-4",
                files=_PIPELINE,
                page="https://huggingface.co/CompVis/stable-diffusion-v1-4",
            ),
        },
    ),
    Model(
        "image_model",
        "diffusers",
        "any text-to-image pipeline: a folder, or owner/name on the hub",
        "chorus.generation.diffusion",
        source="SOURCE",
        weights={
            "stable-diffusion-xl": Weight(
                about="Stable Diffusion XL 1.0, the image model of profile modern",
                licence="CreativeML Open RAIL++-M (commercial use permitted, listed uses are not)",
                repository="stabilityai/stable-diffusion-xl-base-1.0",
                files=(
                    "model_index.json",
                    *(
                        f"{part}/{end}"
                        for part in ("scheduler", "text_encoder*", "tokenizer*", "unet", "vae")
                        for end in ("*.json", "*.txt", "diffusion_pytorch_model.safetensors")
                    ),
                    "text_encoder*/model.safetensors",
                ),
                page="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0",
            ),
        },
    ),
    Model(
        "segmenter",
        SYNTHETIC,
        "the synthetic world's masks, with noise",
        "chorus.synthetic.perceive.segmenter",
        threshold=0.8,
    ),
    Model(
        "segmenter",
        "pointrend-r50",
        "PointRend on COCO; with --mode lvis Mask R-CNN on LVIS v0.5",
        "chorus.perception.detectron",
        source="FILE",
        built=("detectron2", "torchvision"),
        lvis=("mask-rcnn-x101-lvis",),
        threshold=0.8,  # method.md 3
        weights={
            "pointrend-r50": Weight(
                about="PointRend R50-FPN 3x, trained on COCO",
                licence="CC BY-SA 3.0 (as detectron2's model zoo; its code is Apache-2.0)",
                destination="detectron2/pointrend_rcnn_R_50_FPN_3x_coco/model_final_edd263.pkl",
                url=f"{_DETECTRON}/PointRend/InstanceSegmentation/"
                "pointrend_rcnn_R_50_FPN_3x_coco/164955410/model_final_edd263.pkl",
                page="https://github.com/facebookresearch/detectron2/tree/main/projects/PointRend",
            ),
            "mask-rcnn-x101-lvis": Weight(
                about="Mask R-CNN X101-32x8d FPN 1x, trained on LVIS v0.5 (--mode lvis)",
                licence="CC BY-SA 3.0 (detectron2's model zoo; its code is Apache-2.0)",
                destination="detectron2/mask_rcnn_X_101_32x8d_FPN_1x_lvis/model_final_5e3439.pkl",
                url=f"{_DETECTRON}/LVISv0.5-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_1x/"
                "144219108/model_final_5e3439.pkl",
                page="https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md",
            ),
        },
    ),
    Model(
        "segmenter",
        "open-vocabulary",
        "any noun: Grounding DINO and Segment Anything",
        "chorus.perception.open_vocabulary",
        source="DETECTOR+MASKMODEL",
        threshold=0.35,
        open_vocabulary=True,
        weights={
            "grounding-dino-base": Weight(
                about="Grounding DINO base: finds any noun",
                licence="Apache-2.0",
                repository="IDEA-Research/grounding-dino-base",
                page="https://huggingface.co/IDEA-Research/grounding-dino-base",
            ),
            "sam-vit-large": Weight(
                about="Segment Anything ViT-L: draws the masks; 1.25 GB",
                licence="Apache-2.0",
                repository="facebook/sam-vit-large",
                page="https://huggingface.co/facebook/sam-vit-large",
            ),
        },
    ),
    Model(
        "segmenter",
        "mask2former",
        "COCO's classes by Mask2Former",
        "chorus.perception.mask2former",
        source="SOURCE",
        threshold=0.5,
        weights={
            "mask2former-swin-large": Weight(
                about="Mask2Former Swin-L, instances, trained on COCO",
                licence="CC BY-NC 4.0 (Mask2Former's model zoo: no commercial use; its code is "
                "MIT)",
                repository="facebook/mask2former-swin-large-coco-instance",
                page="https://huggingface.co/facebook/mask2former-swin-large-coco-instance",
            ),
        },
    ),
    Model(
        "segmenter",
        "blazepose",
        "persons alone, by BlazePose on a CPU; objects must come from elsewhere",
        "chorus.perception.blazepose_segmenter",
        threshold=0.5,
        weights=_BLAZEPOSE,
        persons_only=True,
    ),
    Model(
        "human_model",
        SYNTHETIC,
        "the synthetic world's poses, with noise",
        "chorus.synthetic.perceive.human_regressor",
    ),
    Model(
        "human_model",
        "frankmocap-eft",
        "FrankMocap's regressor with the weights of EFT",
        "chorus.perception.frankmocap",
        source="FILE",
        weights={
            "frankmocap-eft": Weight(
                about="FrankMocap's body regressor (ResNet-50) trained with EFT fits",
                licence="CC BY-NC 4.0 (no commercial use)",
                destination="frankmocap/2020_05_31-00_50_43-best-51.749683916568756.pt",
                url="https://dl.fbaipublicfiles.com/eft/"
                "2020_05_31-00_50_43-best-51.749683916568756.pt",
                page="https://github.com/facebookresearch/frankmocap/blob/main/docs/INSTALL.md",
            ),
            "smpl-extra-joints": BODY_WEIGHTS["smpl-extra-joints"],
        },
    ),
    Model(
        "human_model",
        "hmr2",
        "HMR 2.0 of 4D-Humans",
        "chorus.perception.hmr2",
        source="FILE",
        weights={
            "hmr2": Weight(
                about="HMR 2.0 of 4D-Humans (ViT-H); its archive has about 2.5 GB",
                licence="MIT (4D-Humans); trained on data for research, poses are SMPL's",
                destination="hmr2/epoch=35-step=1000000.ckpt",
                url="https://www.cs.utexas.edu/~pavlakos/4dhumans/hmr2_data.tar.gz",
                member=f"{_HMR2_RUN}/checkpoints/epoch=35-step=1000000.ckpt",
                page="https://github.com/shubham-goel/4D-Humans",
            ),
        },
    ),
    Model(
        "human_model",
        "blazepose",
        "bodies fitted to BlazePose's 33 landmarks, on a CPU",
        "chorus.perception.blazepose_body",
        weights=_BLAZEPOSE,
    ),
    Model(
        "keypoint_model",
        SYNTHETIC,
        "the synthetic world's keypoints, with noise; each STREAM has errors of its own",
        "chorus.synthetic.perceive.keypoint_detector",
        source="STREAM",
    ),
    Model(
        "keypoint_model",
        "hrnet-w48-dark",
        "HRNet-w48 with DARK, on mmpose",
        "chorus.perception.hrnet",
        source="FILE",
        built=("mmpose", "mmcv", "mmdet", "torchvision"),
        weights={
            "hrnet-w48-dark": Weight(
                about="HRNet-w48 with DARK, 384x288, COCO's 17 keypoints (mmpose 1.x)",
                licence="Apache-2.0",
                destination="mmpose/"
                "td-hm_hrnet-w48_dark-8xb32-210e_coco-384x288-39c3c381_20220916.pth",
                url=f"{_MMPOSE}/td-hm_hrnet-w48_dark-8xb32-210e_coco-384x288-39c3c381_20220916.pth",
                sha256="39c3c381",
                page="https://github.com/open-mmlab/mmpose/tree/main/configs/body_2d_keypoint",
            ),
        },
    ),
    Model(
        "keypoint_model",
        "vitpose",
        "ViTPose of transformers",
        "chorus.perception.vitpose",
        source="SOURCE",
        weights={
            "vitpose": Weight(
                about="ViTPose+ base, COCO's 17 keypoints; 502 MB",
                licence="Apache-2.0",
                repository="usyd-community/vitpose-plus-base",
                page="https://huggingface.co/usyd-community/vitpose-plus-base",
            ),
        },
    ),
    Model(
        "keypoint_model",
        "blazepose",
        "BlazePose's landmarks as COCO's keypoints, on a CPU",
        "chorus.perception.blazepose_keypoints",
        weights=_BLAZEPOSE,
    ),
)

MODELS: dict[Kind, dict[str, Model]] = {
    kind: {model.name: model for model in _ENTRIES if model.kind == kind}
    for kind in ("image_model", "segmenter", "human_model", "keypoint_model")
}
"""Every model by kind and name."""

WEIGHTS: dict[str, Weight] = {
    **{name: weight for model in _ENTRIES for name, weight in model.weights.items()},
    **BODY_WEIGHTS,
    **HAND_WEIGHTS,
}
"""Every weight by name."""


@dataclass(frozen=True)
class Profile:
    """The models of one profile, by name, the folder key of its images (method.md 0), and the
    aggregation presets (`occupancy.presets`) that are usual with it."""

    model_key: str
    prompts: str
    image_model: str
    """Empty: the profile makes no images, they are imported."""
    segmenter: str
    human_model: str
    keypoint_model: str
    hand_model: str = ""
    """What finds hands in photographs; empty: nothing."""
    quantitative: str = "quant:evidence"
    """Whole distributions, for evaluation."""
    qualitative: tuple[str, ...] = ("qual:evidence-demo", "qual:demo")
    """By body part, for the demo's pictures; the first is what its page opens with."""


PROFILES: dict[str, Profile] = {
    "synthetic": Profile(
        model_key="synthetic-v1",
        prompts=SYNTHETIC,
        image_model=SYNTHETIC,
        segmenter=SYNTHETIC,
        human_model=SYNTHETIC,
        keypoint_model=SYNTHETIC,
    ),
    "paper": Profile(
        model_key="stable-v1-4",
        prompts="openai",
        image_model="stable-diffusion-v1-4",
        segmenter="pointrend-r50",
        human_model="frankmocap-eft",
        keypoint_model="hrnet-w48-dark",
        quantitative="quant:full",
        qualitative=("qual:demo",),
    ),
    "modern": Profile(
        model_key="modern",
        prompts="openai",
        image_model="diffusers",
        segmenter="open-vocabulary",
        human_model="hmr2",
        keypoint_model="vitpose",
    ),
    # On a laptop, without a GPU. No image model that draws photographs runs there.
    "pocket": Profile(
        model_key="pocket",
        prompts="template",
        image_model="",
        segmenter="blazepose",
        human_model="blazepose",
        keypoint_model="blazepose",
        hand_model=HAND_MODEL,
    ),
}


def weights_of_model(name: str) -> tuple[str, ...]:
    """Names of the weights that a model's own name stands for, of whichever kind it is."""
    if name == HAND_MODEL:
        return tuple(HAND_WEIGHTS)
    return tuple(weight for model in _ENTRIES if model.name == name for weight in model.weights)


def weights_of_profile(name: str) -> tuple[str, ...]:
    """Names of the weights of a profile's models; SMPL, which one must register for, is none."""
    models = (getattr(PROFILES[name], kind) for kind in (*MODELS, "hand_model"))
    return tuple(weight for model in models for weight in weights_of_model(model))


def named_weights(names: Iterable[str]) -> list[str]:
    """Names of weights, each once, from names of weights, models and profiles."""
    models = {model.name for model in _ENTRIES if model.weights} | {HAND_MODEL}
    weight_names: dict[str, None] = {}
    for name in names:
        if name in WEIGHTS:
            weight_names[name] = None
        elif name in models:
            weight_names.update(dict.fromkeys(weights_of_model(name)))
        elif name in PROFILES:
            weight_names.update(dict.fromkeys(weights_of_profile(name)))
        else:
            raise unknown_name("weight", name, {*WEIGHTS, *models, *PROFILES})
    return list(weight_names)


def require(name: str, imports_dir: Path) -> Path:
    """The file of that weight below the imports folder; Unavailable if it is not there."""
    if name not in WEIGHTS:
        raise unknown_name("weight", name, WEIGHTS)
    weight = WEIGHTS[name]
    path = imports_dir / weight.destination
    if not path.is_file():
        raise Unavailable(f"{path} is not there ({weight.about}). {how_to_get(name)}")
    return path


def given_or_published(source: str, name: str, imports_dir: Path, what: str) -> Path:
    """The file that NAME:SOURCE gives, or the published weight of that name without a SOURCE.

    what: how the sentence calls such a file. Unavailable if it is not there.
    """
    if not source:
        return require(name, imports_dir)
    path = Path(source)
    if not path.is_file():
        raise Unavailable(f"{name}:{source}: there is no such file; give {what}.")
    return path


def how_to_get(name: str) -> str:
    """The sentence that says how to get a weight."""
    weight = WEIGHTS[name]
    if not weight.can_be_fetched:
        return (
            f"Register at {weight.page}, and give the zip that you download there to: "
            "sh scripts/prepare_smpl.sh"
        )
    return f"Fetch it with: sh scripts/download_off_the_shelf.sh {name}"


def how_to_replace(path: Path) -> str:
    """What to do about a damaged file, wherever it lies; the end of a sentence."""
    for name, weight in WEIGHTS.items():
        place = Path(weight.destination).parts
        if weight.destination and weight.can_be_fetched and path.parts[-len(place) :] == place:
            command = f"sh scripts/download_off_the_shelf.sh {name}"
            return f"delete it and fetch it again with `{command}`"
    return "delete it and fetch it again"
