"""The joints that a shard's humans have in the image, for the steps that compare them with a
body's."""

from __future__ import annotations

from pathlib import Path

from chorus.body.joint_sets import JointSource, joint_source
from chorus.body.model import BodyModel
from chorus.body.skeleton import KINEMATIC
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_settings


def joint_set_of(tree: ResultsTree, shard: ShardKey) -> str:
    """The name of the joints that a shard's humans have in the image (`body.joint_sets`)."""
    return read_settings(tree.table("humans", shard)).get("joints", KINEMATIC)


class JointSources:
    """The joint sets of a body, each loaded once."""

    def __init__(self, tree: ResultsTree, body: BodyModel, imports_dir: Path, device: str):
        self._tree, self._body = tree, body
        self._imports, self._device = imports_dir, device
        self._sources: dict[str, JointSource] = {}

    def of(self, shard: ShardKey) -> JointSource:
        """The joints of the body that the shard's humans have in the image.

        BadInput or Unavailable as `joint_source` says.
        """
        name = joint_set_of(self._tree, shard)
        if name not in self._sources:
            source = joint_source(name, self._body, self._imports)
            self._sources[name] = source.to(self._device)
        return self._sources[name]
