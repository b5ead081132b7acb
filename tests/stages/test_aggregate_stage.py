"""What `chorus aggregate` tells."""

from __future__ import annotations

from collections import Counter

from chorus.records.gathering import Retained
from chorus.stages.aggregate import _nothing_retained


def test_only_the_most_common_reasons_are_told():
    by_prompt = [
        Retained(dropped=Counter({"no person": 7, **{f"{n}.jpg failed": 1 for n in range(40)}})),
        Retained(dropped=Counter({"no person": 2, "no object": 3})),
    ]
    told = _nothing_retained("skis", (3,), by_prompt)
    assert told.startswith("skis: no sample is retained by filter 3 (9 no person, 3 no object, 1 0")
    assert told.count("failed") == 3 and ", and 37 others);" in told
    (few,) = by_prompt[1:]
    assert "(3 no object, 2 no person); generate" in _nothing_retained("skis", (3,), [few])
