"""Networks of the transformers library: loading them whole, without torchvision."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chorus.errors import Unavailable
from chorus.models import hub

if TYPE_CHECKING:
    from torch import nn


def require_transformers(name: str) -> None:
    """Raise Unavailable if the packages of an adapter on transformers are missing."""
    for package in ("transformers", "scipy"):
        if importlib.util.find_spec(package) is None:
            raise Unavailable(
                f"{name} needs the package {package}, which is not installed: "
                "pip install -c constraints.txt -e '.[modern]'"
            )


def network(model_class: Any, source: str, device: str) -> nn.Module:
    """The network of a folder or hub repository in float32 on `device`, ready to predict.

    BadInput names the first parameter, in the network's order, that the weights lack or have in
    another shape; other errors are those of `hub.load`.
    """
    import torch

    with _quiet():
        model = hub.load(model_class.from_pretrained, source, dtype=torch.float32)
    return model.to(device).eval()


def model_type(source: str) -> str:
    """What the configuration of a folder or repository says it is, such as "grounding-dino"."""
    from transformers import AutoConfig

    return hub.load(AutoConfig.from_pretrained, source).model_type


def image_processor(source: str) -> Any:
    """The image processor that belongs to a network, in the form that needs no torchvision."""
    from transformers import AutoImageProcessor

    return hub.load(AutoImageProcessor.from_pretrained, source, backend="pil")


def tokenizer(source: str) -> Any:
    """The tokenizer that belongs to a network."""
    from transformers import AutoTokenizer

    return hub.load(AutoTokenizer.from_pretrained, source)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and load reports: what matters in them is raised."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
