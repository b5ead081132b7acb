"""Decoding images on threads, ahead of the network that looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from chorus.engine.shard_work import Sample
from chorus.records.image_files import read_image
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Image

_THREADS = 4


class ImageReader:
    """Reads the images of samples; those that were announced beforehand are already decoded.

    Holds at most the batches that were prefetched and not yet read. Every image is decoded once,
    save one whose batch failed.
    """

    def __init__(self, tree: ResultsTree):
        self._tree = tree
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
        self._pending: dict[SampleKey, Future[Image]] = {}

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode; returns at once."""
        for sample in samples:
            if sample.key not in self._pending:
                self._pending[sample.key] = self._threads.submit(
                    read_image, self._tree, sample.key, sample.inputs["images"]
                )

    def read(self, samples: Sequence[Sample]) -> list[Image]:
        """The images of the samples, in order. Raises what `read_image` raises, for the first that
        cannot be read."""
        self.prefetch(samples)
        return [self._pending.pop(sample.key).result() for sample in samples]
