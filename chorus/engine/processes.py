"""Work on several processes of this machine."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from chorus.engine.shard_work import Job, Summary, Worker, run_shard
from chorus.errors import ChorusError
from chorus.settings import usable_cores

Result = TypeVar("Result")

_stop: Any = None  # in a process of a pool: the event that ends its work
_worker: Worker | None = None  # in a process of a pool: its stage's worker


def pooled(jobs: Sequence[Job], workers: int) -> Iterator[Summary]:
    """Summaries of all jobs (of one stage) as they finish; each process builds one worker.

    When the run is interrupted or a job raises, jobs not yet begun are dropped and running ones end
    after their batch, with what they finished written.
    """
    calls = [functools.partial(_work, job) for job in jobs]
    for _, summary in in_processes(calls, workers, jobs[0].stage.name):
        yield summary


def in_processes(
    calls: Sequence[Callable[[], Result]], workers: int, name: str
) -> Iterator[tuple[int, Result]]:
    """(number, result) of picklable calls as they finish, on up to `workers` processes.

    The processes end with this one, however it ends. Raises the first error of a call, ChorusError
    if a process was killed. `name` says whose work it is.
    """
    workers = max(1, min(workers, len(calls)))
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with (
        _threads_per_process(max(1, usable_cores() // workers)),
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start_process, initargs=(stop,)
        ) as pool,
    ):
        numbers = {pool.submit(call): number for number, call in enumerate(calls)}
        try:
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        except BrokenProcessPool as error:
            raise ChorusError(
                f"{name}: a worker process ended unexpectedly (killed, or out of memory?). What is "
                "finished is kept; run the same command again, perhaps with fewer --workers."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # first, so that none begins stopped
            stop.set()


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


def _start_process(stop: Any) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, through `stop`
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
        _worker = job.stage.make_worker()
    return run_shard(job, _worker, stopped=_stop.is_set)
