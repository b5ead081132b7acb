"""What trainings share: which samples a step takes, states to go on from, curves of losses."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from chorus.animals.weights import write_weights
from chorus.errors import BadInput, StaleResults
from chorus.files import atomic_write


def step_samples(count: int, batch: int, step: int, seed: int) -> Int[np.ndarray, " B"]:
    """The samples (batch,) of a step: every pass over `count` samples has an order of its own, and
    steps cut the passes into batches without a rest."""
    places = step * batch + np.arange(batch)
    orders = {
        turn: np.random.default_rng([seed, int(turn), 2]).permutation(count)
        for turn in np.unique(places // count)
    }
    return np.array([orders[place // count][place % count] for place in places])


@dataclass(frozen=True)
class State:
    """How far a training is: steps done, and the best score so far."""

    step: int = 0
    best: float = float("-inf")


def save_state(
    path: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: Any,
    step: int,
    best: float,
) -> None:
    """Write all that a training needs to go on."""
    write_weights(
        path,
        {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "settings": _described(settings),
            "step": step,
            "best": best,
        },
    )


def load_state(
    path: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, settings: Any
) -> State:
    """Fill network and optimiser from a file, if it is there; how far it was.

    StaleResults if the file was made with other settings than the number of steps.
    """
    if not path.is_file():
        return State()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        described, state = stored["settings"], State(int(stored["step"]), float(stored["best"]))
        if described != _described(settings):
            raise StaleResults(
                f"{path} was made with {described}, not with {_described(settings)}; give "
                "another --name, or remove its folder."
            )
        network.load_state_dict(stored["network"])
        optimiser.load_state_dict(stored["optimiser"])
    except StaleResults:
        raise
    except Exception as error:  # a damaged file can fail in any way; none of them is ours
        raise BadInput(
            f"{path} cannot be gone on from ({type(error).__name__}); remove it to begin again."
        ) from error
    return state


def _described(settings: Any) -> str:
    """The settings, without the number of steps: a longer training goes on from a shorter one."""
    values = dataclasses.asdict(settings)
    return json.dumps({k: v for k, v in values.items() if k not in _LENGTHS}, sort_keys=True)


_LENGTHS = ("iter", "num_iter", "val_freq", "iter_save")


class Curve:
    """A table of losses that grows by a line a step and is written as a whole from time to time."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self._path, self._columns = path, ("step", *columns)
        self._rows: list[list[str]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as stream:
                self._rows = list(csv.reader(stream))[1:]

    def cut(self, step: int) -> None:
        """Forget what comes after a step."""
        self._rows = [row for row in self._rows if row and row[0].isdigit() and int(row[0]) <= step]

    def add(self, step: int, *values: float | None) -> None:
        """One more line; it is written every 50 steps, and whenever no value is missing."""
        self._rows.append([str(step), *("" if v is None else f"{v:.6g}" for v in values)])
        if step % 50 == 0 or None not in values:
            self.write()

    def write(self) -> None:
        """Write the table."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._columns)
        writer.writerows(self._rows)
        atomic_write(self._path, text.getvalue().encode())
