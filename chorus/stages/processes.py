"""Shards on several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from chorus.errors import ChorusError
from chorus.stages.loop import Job, Summary, Worker, run_shard

_make_worker: Callable[[], Worker] | None = None  # of this process, when it is one of a pool
_worker: Worker | None = None


def pooled(jobs: Sequence[Job], workers: int) -> Iterator[Summary]:
    """Summaries of all jobs (of one stage) as they finish; each process builds one worker.

    The first error ends the run: jobs not yet started are dropped, running ones finish their shard.
    """
    workers = min(workers, len(jobs))
    with (
        _threads_per_process(max(1, (os.cpu_count() or 1) // workers)),
        ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_process,
            initargs=(jobs[0].stage.make_worker,),
        ) as pool,
    ):
        futures = [pool.submit(_work, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise ChorusError(
                f"{jobs[0].stage.name}: a worker process ended unexpectedly (killed, or out of "
                "memory?). What is finished is kept; run the same command again, perhaps with "
                "fewer --workers."
            ) from error
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _threads_per_process(threads: int) -> Iterator[None]:
    """Processes started inside use this many threads in BLAS, OpenMP and numba."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(threads) for name in names if before[name] is None})
    try:
        yield
    finally:
        for name in names:
            if before[name] is None:
                os.environ.pop(name, None)


def _start_process(make_worker: Callable[[], Worker]) -> None:
    global _make_worker
    _make_worker = make_worker
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the run that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> Summary:
    global _worker
    if _worker is None:  # built here and not at start, so that its errors reach the caller
        assert _make_worker is not None
        _worker = _make_worker()
    return run_shard(job, _worker)
