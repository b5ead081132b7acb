"""Images of the synthetic world say how they were made, as those of real models do."""

from __future__ import annotations

from chorus.generation.image_files import description
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table


def test_every_image_says_its_prompt_and_seed(base):
    tree = ResultsTree(base / "results")
    shards = tree.shards("images", "synthetic-v1")
    assert len(shards) == 6
    for shard in shards:
        for index, row in read_table(tree.table("images", shard), "images").rows.items():
            said = description(tree.image(SampleKey(*shard, index), ".jpg"))
            assert said == {"prompt": row["text"], "seed": row["seed"], "model": "synthetic"}
