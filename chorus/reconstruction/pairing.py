"""Which of several persons uses which of several objects, by how well each foretells the masks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

_CELLS = 3.5
"""For how many independent cells of the image a mask counts; chosen on seed 7, see
docs/reconstruction.md."""


def pair_probabilities(log_evidence: Float[np.ndarray, "P O"]) -> Float[np.ndarray, "P O"]:
    """(P, O) the probability that each person uses each object; each object's sum to one.

    log_evidence: of each object's mask by each person's surroundings, per covered cell
    (`Reconstruction.log_evidence`); minus infinity where the mask is far from the person. An object
    that is far from all has probability 0 throughout. A person may use several objects.
    """
    reached = np.isfinite(log_evidence).any(axis=0)
    usable = np.where(reached, log_evidence, 0.0)
    return np.where(reached, softmax(_CELLS * usable, axis=0), 0.0)
