"""A sample of level n is counted as if it were there n times, on every path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.occupancy.accumulate import accumulate
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.presets import AggregationSettings
from chorus.occupancy.regions import Part
from chorus.occupancy.views import Views

PATHS = ("fused", "plain", "device")
PARTS = (Part("everybody"), Part("arms", (("leftForeArm",), ("rightForeArm",))))
EXAMPLES = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=[False, True], ids=["as they are", "mirrored too"])
def space(clad_body, request):
    chosen = AggregationSettings(resolution=9, hidden=True, symmetric=request.param)
    return canonical_space(clad_body, chosen, clusters=PARTS)


def arrays(space, views, path):
    counts = accumulate(space, views, path=path).counts
    return {(part, name): a for part in counts for name, a in counts[part].arrays().items()}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("path", PATHS)
@given(level=st.lists(st.integers(1, 4), min_size=1, max_size=7), seed=st.integers(0, 99))
@EXAMPLES
def test_a_level_is_a_number_of_samples(space, make_views, path, level, seed):
    views = make_views(len(level), seed)
    repeated = views.select(np.repeat(np.arange(len(level)), level))
    assert same(arrays(space, views._replace(level=level), path), arrays(space, repeated, path))


@pytest.mark.parametrize("path", PATHS)
def test_levels_of_one_change_nothing(space, make_views, path):
    views = make_views(70, 3)
    assert same(arrays(space, views, path), arrays(space, views._replace(level=[1] * 70), path))


def test_levels_of_many_batches_and_refused_samples(space, make_views):
    views = make_views(150, 5)
    views.pose[7] = float("nan")
    level = (np.arange(150) % 3 + 1).tolist()
    counted = accumulate(space, views._replace(level=level))
    repeated = accumulate(space, views.select(np.repeat(np.arange(150), level)))
    for part, counts in counted.counts.items():
        other = repeated.counts[part]
        assert all(np.array_equal(a, other.arrays()[name]) for name, a in counts.arrays().items())
    twice = 2 if space.settings.symmetric else 1
    assert counted.counts["everybody"].samples.sum() == twice * (sum(level) - level[7])


@pytest.mark.parametrize("level", [[1, 0], [1, 1.5], [1], [1, -2], [1, 2, 3]])
def test_other_levels_are_refused_before_anything_is_counted(space, make_views, level):
    with pytest.raises(BadInput, match="as many levels, whole numbers of 1 or more"):
        accumulate(space, make_views(2)._replace(level=level))


def test_views_keep_their_levels(make_views):
    views = make_views(3)
    made = Views.of(*(tensor.numpy() for tensor in views[:4]), views.masks, np.array([3, 1, 2]))
    assert made.select([2, 0]).levels().tolist() == [2, 3]
    assert views.select([1]).levels().tolist() == [1] and make_views(0).levels().size == 0


@pytest.mark.parametrize("path", PATHS)
def test_with_levels_samples_are_also_counted_once(clad_body, make_views, path):
    chosen = AggregationSettings(resolution=9, selection="confidence", selection_levels=3)
    space = canonical_space(clad_body, chosen, clusters=PARTS)
    views, level = make_views(6, 2), [3, 1, 2, 3, 1, 1]
    views.pose[1] = float("nan")
    made = accumulate(space, views._replace(level=level), path=path)
    usual = accumulate(space, views, path=path)
    for name, joined in zip(made.counts, made.members, strict=True):
        counts, plain = made.counts[name], usual.counts[name]
        assert counts.once.tolist() == [plain.samples.tolist(), plain.members.tolist()]
        assert counts.once.sum(1).tolist() == [5, joined.sum()]
        assert counts.samples.sum() == 3 + 2 + 3 + 1 + 1
        assert counts.members.sum() == np.array(level)[joined].sum()
