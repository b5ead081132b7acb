"""Why members of a batch failed, where each fails alone."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def first_reasons(failures: dict[str, Bool[Tensor, " B"]]) -> tuple[str, ...]:
    """Per member of a batch the first reason that holds for it, "" if none does."""
    table = torch.stack(list(failures.values())).cpu()
    table = torch.cat([table, torch.ones_like(table[:1])])
    reasons = [*failures, ""]
    return tuple(reasons[i] for i in table.int().argmax(0).tolist())
