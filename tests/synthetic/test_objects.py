"""Procedural objects: closed, true to size, and sure about what is inside them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from chorus.errors import BadInput
from chorus.synthetic.world import objects, shapes
from chorus.synthetic.world.interactions import categories, interactions

EQUIPMENT = ["surfboard", "skateboard", "backpack", "tennis racket"]
DATA_ONLY = [
    "motorcycle", "bench", "handbag", "tie", "frisbee", "skis", "snowboard", "sports ball",
    "baseball glove", "cell phone",
]  # fmt: skip
KINDS = [*(name for name in objects.KINDS if name != "composite"), *DATA_ONLY]

# Width (x), height (y) and length (z) of real products, metres, low and high.
REAL_SIZES = {
    "surfboard": ([0.45, 0.12, 1.85], [0.6, 0.35, 2.75]),
    "skateboard": ([0.18, 0.09, 0.73], [0.24, 0.17, 0.88]),
    "backpack": ([0.28, 0.38, 0.3], [0.46, 0.58, 0.55]),
    "tennis racket": ([0.22, 0.65, 0.02], [0.3, 0.737, 0.05]),
    "sports ball": ([0.19] * 3, [0.25] * 3),
    "frisbee": ([0.23, 0.015, 0.23], [0.31, 0.04, 0.31]),
    "motorcycle": ([0.7, 1.0, 1.8], [0.95, 1.4, 2.2]),
    "bench": ([1.2, 0.75, 0.45], [1.9, 1.0, 0.7]),
    "handbag": ([0.25, 0.35, 0.1], [0.4, 0.55, 0.2]),
    "tie": ([0.1, 0.45, 0.1], [0.18, 0.65, 0.22]),
    "skis": ([0.28, 0.06, 1.5], [0.4, 0.15, 1.9]),
    "snowboard": ([0.25, 0.05, 1.4], [0.32, 0.16, 1.7]),
    "baseball glove": ([0.2, 0.27, 0.08], [0.27, 0.36, 0.16]),
    "cell phone": ([0.065, 0.135, 0.007], [0.08, 0.165, 0.016]),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_every_component_is_watertight_and_turned_outward(name, seed):
    parameters = objects.sample_parameters(name, np.random.default_rng(seed))
    mesh = objects.build(name, **parameters)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert np.isfinite(mesh.vertices).all()
    assert all(part.volume > 0 for part in mesh.split(only_watertight=False))
    assert len(mesh.metadata["part_of_face"]) == len(mesh.faces)
    assert mesh.metadata["part_of_face"].max() < len(mesh.metadata["parts"])


@pytest.mark.parametrize("name", REAL_SIZES)
def test_sizes_are_those_of_real_things(name):
    low, high = REAL_SIZES[name]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        extents = objects.build(name, **objects.sample_parameters(name, rng)).extents
        assert (extents >= low).all() and (extents <= high).all(), extents


@pytest.mark.parametrize("category", categories())
def test_objects_of_mirrored_interactions_are_symmetric(category):
    """A mirrored interaction turns the side axis around, which only fits a symmetric object."""
    sides = interactions(category)
    if not any(sided.mirror_rate for sided in sides):
        return
    kind = sides[0].plain.object
    mesh = objects.build(kind.kind)
    side = np.array(kind.axes["side"])
    mirror = np.eye(3) - 2 * np.outer(side, side)
    low, high = mesh.bounds
    np.testing.assert_allclose(np.abs(low @ side), np.abs(high @ side), atol=2e-3)
    points = np.random.default_rng(5).uniform(low, high, (20_000, 3))
    inside, twin = (objects.contains(mesh, where) for where in (points, points @ mirror))
    assert inside.sum() > 100 and (inside != twin).sum() < 0.02 * inside.sum()


def test_frames_are_where_the_documentation_puts_them():
    board = objects.build("surfboard", length=2.2, rocker=0.1)
    top = board.vertices[np.abs(board.vertices[:, 2]) < 0.05][:, 1].max()
    assert abs(top) < 0.004  # the deck's centre is the origin
    nose, tail = board.bounds[1, 2], board.bounds[0, 2]
    assert nose == pytest.approx(1.1, abs=0.01) and tail == pytest.approx(-1.1, abs=0.01)
    at_nose = board.vertices[board.vertices[:, 2] > 1.05]
    at_tail = board.vertices[board.vertices[:, 2] < -1.0]
    assert at_nose[:, 1].mean() > at_tail[:, 1].mean() > -0.1  # both rise, the nose more
    assert np.ptp(at_nose[:, 0]) < np.ptp(at_tail[:, 0])  # pointed nose, wider tail
    skate = objects.build("skateboard")
    deck = skate.vertices[
        (np.abs(skate.vertices[:, 2]) < 0.1) & (np.abs(skate.vertices[:, 0]) < 0.05)
    ]
    assert abs(deck[:, 1].max()) < 0.004 and skate.bounds[0, 1] < -0.07
    pack = objects.build("backpack", depth=0.17)
    bag = pack.vertices[np.unique(pack.faces[pack.metadata["part_of_face"] == 0])]
    assert bag[:, 2].max() < 1e-6 and pack.bounds[1, 2] > 0.18
    racket = objects.build("tennis racket", length=0.685)
    assert racket.bounds[1, 1] > 0.55 and racket.bounds[0, 1] == pytest.approx(-0.1, abs=0.01)


@pytest.mark.parametrize("name", EQUIPMENT)
def test_contains_is_the_union_of_the_components(name):
    mesh = objects.build(name)
    rng = np.random.default_rng(1)
    points = rng.uniform(mesh.bounds[0] - 0.05, mesh.bounds[1] + 0.05, (4000, 3))
    shallow = mesh.triangles_center - 5e-4 * mesh.face_normals  # within the thinnest plate
    points = np.concatenate([points, shallow[::7]])
    expected = np.zeros(len(points), bool)
    for part in mesh.split(only_watertight=False):
        expected |= _winding(part, points) > 0.5
    found = objects.contains(mesh, points)
    assert (found == expected).mean() > 0.999
    assert found.sum() > 100
    share = objects.contains(mesh, rng.uniform(*mesh.bounds, (40000, 3))).mean()
    assert 0 < share * np.prod(mesh.extents) <= 1.1 * mesh.volume


def _winding(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    """Solid-angle winding number of one closed surface around points (P, 3)."""
    low, high = mesh.bounds
    near = np.flatnonzero(((points >= low) & (points <= high)).all(1))
    result = np.zeros(len(points))
    for chunk in np.array_split(near, max(1, len(near) // 100)):
        a, b, c = np.moveaxis(mesh.triangles[None] - points[chunk, None, None], 2, 0)
        la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
        top = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
        dots = [np.einsum("pfi,pfi->pf", *pair) for pair in ((a, b), (b, c), (c, a))]
        below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
        result[chunk] = np.arctan2(top, below).sum(1) / (2 * np.pi)
    return result


def test_contains_of_exact_shapes():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (100_000, 3))
    box = objects.build("box", size=[1.0, 0.6, 0.4], rounding=0.0)
    inside = (np.abs(points) < [0.5, 0.3, 0.2]).all(1)
    near_edge = (np.abs(np.abs(points) - [0.5, 0.3, 0.2]) < 2e-3).any(1)
    assert (objects.contains(box, points) == inside)[~near_edge].all()
    ball = objects.build("sphere", radius=0.7)
    distance = np.linalg.norm(points, axis=1)
    clear = np.abs(distance - 0.69) > 0.012
    assert (objects.contains(ball, points) == (distance < 0.69))[clear].all()
    assert not objects.contains(ball, np.zeros((0, 3))).any()
    with pytest.raises(BadInput, match=r"\(P, 3\)"):
        objects.contains(ball, np.zeros(3))


def test_primitive_volumes():
    cases = [
        (shapes.box((1, 2, 3)), 6.0, 0.005),
        (shapes.sphere(0.5), np.pi / 6, 0.02),
        (shapes.cylinder(0.5, 1.0), np.pi / 4, 0.01),
        (shapes.capsule(0.1, 1.0), np.pi * 0.01 + 4 / 3 * np.pi * 0.001, 0.02),
        (shapes.tube((0, 0, 0), (0, 1, 0), 0.1, count=48), np.pi * 0.01, 0.01),
        (shapes.torus(0.5, 0.1), 2 * np.pi**2 * 0.5 * 0.01, 0.04),
        (shapes.torus(0.5, 0.1, flatness=2), 4 * np.pi**2 * 0.5 * 0.01, 0.04),
        (shapes.bar([[0, 0, 0], [0, 0.5, 0], [0, 1, 0]], 0.2), np.pi * 0.01, 0.04),
        (shapes.bar([[0, 0, 0], [0, 1, 0]], 0.2, 0.1, widths=[1, 0.5]), np.pi * 0.00375, 0.05),
    ]
    for part, volume, tolerance in cases:
        assert shapes.assemble([part]).volume == pytest.approx(volume, rel=tolerance)


def test_bars_bend_and_taper():
    bow = shapes.bar([[-1, 0, 0], [0, 0.5, 0], [1, 0, 0]], 0.1, side=(0, 0, 1), count=60)
    assert bow.vertices[:, 1].max() == pytest.approx(0.55, abs=0.01)
    blade = shapes.bar([[0, 0, 0], [0, -1, 0]], 0.2, 0.01, widths=[0.5, 1, 0.05], count=41)
    at = {y: np.abs(blade.vertices[np.abs(blade.vertices[:, 1] + y) < 0.01, 0]).max() for y in
          (0.0, 0.5, 1.0)}  # fmt: skip
    assert at[0.5] == pytest.approx(0.1, rel=0.05) and at[0.0] == pytest.approx(0.05, rel=0.05)
    assert at[1.0] < 0.01 and np.ptp(blade.vertices[:, 2]) == pytest.approx(0.01, rel=0.05)


def test_parts_are_scaled_turned_moved_and_mirrored():
    entry = {"shape": "sphere", "radius": 0.5, "scale": [2, 1, 1], "rotation": [0, 0, 90]}
    one = {**entry, "at": [3, 0, 0]}
    mesh = shapes.assemble(objects.data_kind({"frame": "", "parts": [one]}).builder())
    np.testing.assert_allclose(mesh.bounds, [[2.5, -1, -0.5], [3.5, 1, 0.5]], atol=0.01)
    both = shapes.assemble(
        objects.data_kind({"frame": "", "parts": [{**one, "twin": True}]}).builder()
    )
    assert both.is_watertight and both.volume == pytest.approx(2 * mesh.volume)
    np.testing.assert_allclose(both.bounds[0] * [-1, 1, 1], both.bounds[1] * [1, -1, -1], atol=1e-6)


def test_a_new_category_needs_data_only():
    bench = objects.data_kind(
        {
            "frame": "origin on the floor below the seat's middle",
            "size": [0.9, 1.1],
            "parts": [
                {"shape": "box", "size": [1.5, 0.05, 0.4], "at": [0, 0.45, 0], "part": "seat"},
                {"shape": "tube", "start": [-0.6, 0, 0], "end": [-0.6, 0.45, 0], "radius": 0.03},
                {"shape": "cylinder", "radius": 0.03, "height": 0.45, "at": [0.6, 0.225, 0]},
                {"shape": "box", "size": [1.5, 0.4, 0.04], "at": [0, 0.7, 0]},
            ],
        }
    )  # fmt: skip
    mesh = shapes.assemble(bench.builder(size=1.0))
    assert mesh.is_watertight and mesh.extents[0] == pytest.approx(1.5, abs=0.01)
    assert mesh.metadata["parts"] == ["seat", "body"]
    assert objects.contains(mesh, np.array([[0, 0.45, 0], [0, 0.2, 0]])).tolist() == [True, False]


def test_parameters_are_reproducible_and_within_range():
    for name in KINDS:
        first = objects.sample_parameters(name, np.random.default_rng(7))
        assert first == objects.sample_parameters(name, np.random.default_rng(7))
        for key, (low, high) in objects.kind(name).ranges.items():
            assert low - 1e-3 <= first[key] <= high + 1e-3


def test_bad_requests_say_what_is_wrong():
    with pytest.raises(BadInput, match="did you mean 'surfboard'"):
        objects.build("surfbord")
    with pytest.raises(BadInput, match="colour"):
        objects.build("surfboard", colour=3)
    with pytest.raises(BadInput, match="length of a surfboard"):
        objects.build("surfboard", length=float("nan"))
    with pytest.raises(BadInput, match="unknown shape 'sphare'"):
        objects.build("composite", parts=[{"shape": "sphare"}])
    with pytest.raises(BadInput, match="at least one part"):
        objects.build("composite", parts=[])
