"""Networks and bodies that are not ours to ship: where each comes from and where it belongs.

One table, `WEIGHTS`, which adapters, `chorus doctor` and scripts/download_off_the_shelf.sh share.
Sizes and checksums are those that the publishers' pages, file names or servers state; what is empty
is not published. Files of the Hugging Face hub are checked by its own client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chorus.errors import Unavailable, unknown_name
from chorus.settings import PROFILES

_PIPELINE = (
    "model_index.json",
    "*/*.json",
    "*/*.txt",
    "*/diffusion_pytorch_model*.safetensors",
    "*/model*.safetensors",
)
_NETWORK = ("*.json", "*.txt", "model*.safetensors")


@dataclass(frozen=True)
class Weight:
    """One file, or one repository of the Hugging Face hub, that somebody has to fetch."""

    about: str
    """What it is, for people."""
    licence: str
    """What it allows."""
    destination: str = ""
    """Where it belongs below the imports folder; empty for a repository, which lies in the cache
    of the hub."""
    url: str = ""
    """Where it can be fetched; empty if one must register first (see `page`)."""
    member: str = ""
    """The file wanted out of the archive at `url`; empty if that is the file itself."""
    repository: str = ""
    """owner/name on the hub."""
    files: tuple[str, ...] = _NETWORK
    """Patterns of the repository's files that are needed."""
    size: int | None = None
    """Bytes of what lies at `url`, where known."""
    sha256: str = ""
    """Of what lies at `url`: as published, or its published beginning, or empty."""
    page: str = ""
    """The page to read or to register at."""


_DETECTRON = "https://dl.fbaipublicfiles.com/detectron2"
_MMPOSE = "https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco"
_HMR2_RUN = "logs/train/multiruns/hmr2/0"

WEIGHTS: dict[str, Weight] = {
    "stable-diffusion-v1-4": Weight(
        about="Stable Diffusion v1-4, the paper's image model",
        licence="CreativeML OpenRAIL-M (commercial use permitted, listed uses are not)",
        repository="CompVis/stable-diffusion-v1-4",
        files=_PIPELINE,
        page="https://huggingface.co/CompVis/stable-diffusion-v1-4",
    ),
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
    "pointrend-r50": Weight(
        about="PointRend R50-FPN 3x, trained on COCO",
        licence="CC BY-SA 3.0 (as detectron2's model zoo; its code is Apache-2.0)",
        destination="detectron2/pointrend_rcnn_R_50_FPN_3x_coco/model_final_edd263.pkl",
        url=f"{_DETECTRON}/PointRend/InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco/"
        "164955410/model_final_edd263.pkl",
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
    "frankmocap-eft": Weight(
        about="FrankMocap's body regressor (ResNet-50) trained with EFT fits",
        licence="CC BY-NC 4.0 (no commercial use)",
        destination="frankmocap/2020_05_31-00_50_43-best-51.749683916568756.pt",
        url="https://dl.fbaipublicfiles.com/eft/2020_05_31-00_50_43-best-51.749683916568756.pt",
        page="https://github.com/facebookresearch/frankmocap/blob/main/docs/INSTALL.md",
    ),
    "smpl-extra-joints": Weight(
        about="J_regressor_extra of SPIN: 9 joints beside SMPL's 24",
        licence="part of SPIN's data (code BSD-3-Clause), made for SMPL: its licence binds the use",
        destination="smpl/J_regressor_extra.npy",
        url="https://visiondata.cis.upenn.edu/spin/data.tar.gz",
        member="data/J_regressor_extra.npy",
        size=14_960_640,
        page="https://github.com/nkolot/SPIN",
    ),
    "hrnet-w48-dark": Weight(
        about="HRNet-w48 with DARK, 384x288, COCO's 17 keypoints (mmpose 1.x)",
        licence="Apache-2.0",
        destination="mmpose/td-hm_hrnet-w48_dark-8xb32-210e_coco-384x288-39c3c381_20220916.pth",
        url=f"{_MMPOSE}/td-hm_hrnet-w48_dark-8xb32-210e_coco-384x288-39c3c381_20220916.pth",
        sha256="39c3c381",
        page="https://github.com/open-mmlab/mmpose/tree/main/configs/body_2d_keypoint",
    ),
    "hmr2": Weight(
        about="HMR 2.0 of 4D-Humans (ViT-H); its archive has about 2.5 GB",
        licence="MIT (4D-Humans); trained on data for research, poses are SMPL's",
        destination="hmr2/epoch=35-step=1000000.ckpt",
        url="https://www.cs.utexas.edu/~pavlakos/4dhumans/hmr2_data.tar.gz",
        member=f"{_HMR2_RUN}/checkpoints/epoch=35-step=1000000.ckpt",
        page="https://github.com/shubham-goel/4D-Humans",
    ),
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
    "mask2former-swin-large": Weight(
        about="Mask2Former Swin-L, instances, trained on COCO",
        licence="CC BY-NC 4.0 (Mask2Former's model zoo: no commercial use; its code is MIT)",
        repository="facebook/mask2former-swin-large-coco-instance",
        page="https://huggingface.co/facebook/mask2former-swin-large-coco-instance",
    ),
    "vitpose": Weight(
        about="ViTPose+ base, COCO's 17 keypoints; 502 MB",
        licence="Apache-2.0",
        repository="usyd-community/vitpose-plus-base",
        page="https://huggingface.co/usyd-community/vitpose-plus-base",
    ),
    "smpl": Weight(
        about="SMPL, neutral body",
        licence="of the Max Planck Society: research, non-commercial, after registration",
        destination="smpl/SMPL_NEUTRAL.npz",
        page="https://smpl.is.tue.mpg.de",
    ),
}

OF_MODEL: dict[str, tuple[str, ...]] = {
    "stable-diffusion-v1-4": ("stable-diffusion-v1-4",),
    "diffusers": ("stable-diffusion-xl",),
    "pointrend-r50": ("pointrend-r50", "mask-rcnn-x101-lvis"),
    "open-vocabulary": ("grounding-dino-base", "sam-vit-large"),
    "mask2former": ("mask2former-swin-large",),
    "frankmocap-eft": ("frankmocap-eft", "smpl-extra-joints"),
    "hmr2": ("hmr2",),
    "hrnet-w48-dark": ("hrnet-w48-dark",),
    "vitpose": ("vitpose",),
}
"""The weights that a model's own name stands for (`stages.adapters.ADAPTERS`)."""


def of_profile(name: str) -> tuple[str, ...]:
    """The weights of a profile's models, without SMPL, which one must register for."""
    profile = PROFILES[name]
    models = (profile.image_model, profile.segmenter, profile.human_model, profile.keypoint_model)
    return tuple(weight for model in models for weight in OF_MODEL.get(model, ()))


def named(names: Iterable[str]) -> list[str]:
    """Names of weights, each once, from names of weights, models and profiles."""
    found: dict[str, None] = {}
    for name in names:
        if name in WEIGHTS:
            found[name] = None
        elif name in OF_MODEL:
            found.update(dict.fromkeys(OF_MODEL[name]))
        elif name in PROFILES:
            found.update(dict.fromkeys(of_profile(name)))
        else:
            raise unknown_name("weight", name, {*WEIGHTS, *OF_MODEL, *PROFILES})
    return list(found)


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
    if not (weight.url or weight.repository):
        return (
            f"Register at {weight.page}, and give the zip that you download there to: "
            "sh scripts/prepare_smpl.sh"
        )
    return f"Fetch it with: sh scripts/download_off_the_shelf.sh {name}"


def how_to_replace(path: Path) -> str:
    """What to do about a damaged file, wherever it lies; the end of a sentence."""
    for name, weight in WEIGHTS.items():
        place = Path(weight.destination).parts
        if weight.url and path.parts[-len(place) :] == place:
            command = f"sh scripts/download_off_the_shelf.sh {name}"
            return f"delete it and fetch it again with `{command}`"
    return "delete it and fetch it again"


def problem(weight: Weight, path: Path) -> str:
    """What is wrong with a file that is there, by the published size and checksum; else empty.

    What was taken out of an archive can only be empty or not.
    """
    size = path.stat().st_size
    if size == 0:
        return "it is empty"
    if weight.member:
        return ""
    return mismatch(weight, path)


def mismatch(weight: Weight, path: Path) -> str:
    """How what was fetched from `weight.url` differs from what is published; else empty."""
    size = path.stat().st_size
    if weight.size is not None and size != weight.size:
        return f"it has {size} bytes, expected {weight.size}"
    if weight.sha256:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if not found.startswith(weight.sha256):
            more = "…" if len(weight.sha256) < len(found) else ""
            return f"its SHA-256 is {found}, expected {weight.sha256}{more}"
    return ""
