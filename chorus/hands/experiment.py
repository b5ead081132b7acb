"""TempCLR's experiment files (`evaluation_freihand.yaml`): what of them concerns inference.

Several files are merged, later ones first in importance, then options KEY.KEY=VALUE. `$NAME` in a
path is an environment variable. What describes the network must describe the published one; what
concerns training, workers and logs is not heeded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from chorus.errors import BadInput, unknown_name
from chorus.hands.backbone_names import BACKBONES, Backbone
from chorus.hands.datasets import DatasetName

_DATASETS = get_args(DatasetName)
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")
# what the network that is here cannot do otherwise
_FIXED: dict[str, Any] = {
    "network.type": "MANORegressor",
    "network.hand.type": "iterative-mlp",
    "network.hand.num_stages": 3,
    "network.hand.mlp.layers": [1024, 1024],
    "network.hand.mlp.activation.type": "relu",
    "network.hand.mlp.normalization.type": "none",
    "network.hand.camera.weak_persp.regress_translation": True,
    "network.hand.camera.weak_persp.regress_scale": True,
    "hand_model.type": "mano",
    "hand_model.mano.betas.num": 10,
    "hand_model.mano.wrist_pose.type": "cont_rot_repr",
    "hand_model.mano.hand_pose.type": "cont_rot_repr",
    "is_training": False,
}


@dataclass(frozen=True)
class Experiment:
    """One inference run. datasets: name and folder. summaries: the folder of pictures, None where
    the file asks for none. hand: MANO_RIGHT.pkl of its model folder."""

    output_folder: Path
    checkpoint: Path
    backbone: Backbone
    datasets: tuple[tuple[DatasetName, Path], ...]
    batch_size: int
    summaries: Path | None
    hand: Path


def read_experiment(files: Sequence[Path], options: Sequence[str] = ()) -> Experiment:
    """The experiment of yaml files and options KEY=VALUE; BadInput, naming file or key."""
    settings: dict[str, Any] = {}
    for file in files:
        _merge(settings, _read(file))
    for option in options:
        _merge(settings, _parsed(option))
    names = ", ".join(map(str, files))
    for key, expected in _FIXED.items():
        found = _get(settings, key, expected)
        if found != expected:
            raise BadInput(f"{names}: {key} is {found!r}; only {expected!r} is supported.")
    output = _path(settings, "output_folder", names)
    backbone = _get(settings, "network.hand.backbone.type", None)
    if backbone not in BACKBONES:
        raise unknown_name(f"network.hand.backbone.type in {names}:", str(backbone), BACKBONES)
    return Experiment(
        output_folder=output,
        checkpoint=output / str(_get(settings, "checkpoint_folder", "checkpoints")),
        backbone=backbone,
        datasets=tuple(_datasets(settings, names)),
        batch_size=_batch_size(settings, names),
        summaries=_summaries(settings, output),
        hand=_path(settings, "hand_model.model_folder", names) / "mano" / "MANO_RIGHT.pkl",
    )


def _summaries(settings: dict[str, Any], output: Path) -> Path | None:
    # the release draws the first batch for create_image_summaries alone, and throws it away
    if not _get(settings, "save_reproj_images", False):
        return None
    return output / str(_get(settings, "summary_folder", "summary"))


def _datasets(settings: dict[str, Any], names: str) -> list[tuple[DatasetName, Path]]:
    tested = _get(settings, "datasets.hand.splits.test", [])
    if not isinstance(tested, list) or not tested:
        raise BadInput(f"{names}: datasets.hand.splits.test must list freihand, ho3d or both.")
    for name in tested:
        if name not in _DATASETS:
            raise unknown_name(f"data set in {names}:", str(name), _DATASETS)
    return [(name, _path(settings, f"datasets.hand.{name}.data_folder", names)) for name in tested]


def _batch_size(settings: dict[str, Any], names: str) -> int:
    size = _get(settings, "datasets.hand.batch_size", 16)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise BadInput(f"{names}: datasets.hand.batch_size is {size!r}; expected 1 or more.")
    return size


def _path(settings: dict[str, Any], key: str, names: str) -> Path:
    """A path with its variables; BadInput for a key or a variable that is not set."""
    text = _get(settings, key, None)
    if not isinstance(text, str) or not text:
        raise BadInput(f"{names}: {key} is {text!r}; expected a path.")
    for match in _VARIABLE.finditer(text):
        variable = match[1] or match[2]
        if variable not in os.environ:
            raise BadInput(
                f"{names}: {key} is {text!r}, and the variable {variable} is not set; set it: "
                f"export {variable}=FOLDER"
            )
    return Path(os.path.expandvars(text))


def _get(settings: dict[str, Any], key: str, default: Any) -> Any:
    value: Any = settings
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


def _merge(settings: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            _merge(settings[key], value)
        else:
            settings[key] = value


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{file} is no yaml file: {str(error)[:200]}.") from error
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{file} holds no keys; expected an experiment such as TempCLR's.")
    return content


def _parsed(option: str) -> dict[str, Any]:
    import yaml

    key, sign, value = option.partition("=")
    if not sign or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise BadInput(f"--exp_opts takes KEY=VALUE, such as datasets.hand.batch_size=4; found "
                       f"{option!r}.")  # fmt: skip
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise BadInput(f"--exp_opts {option}: its value is no yaml.") from error
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested
