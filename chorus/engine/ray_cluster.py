"""Work on the machines of a Ray cluster, which must all see the results tree under one path.

A shard, or a thousand samples of an aggregation, is a task. Ray runs a task again whose process or
machine was lost; the table of a shard is written whole or not at all, and counts are added once, so
the results are the same to the bit as those of one process.
"""

from __future__ import annotations

import copy
import functools
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from chorus.engine.progress import Advance
from chorus.engine.shard_work import Job, Summary, Worker, run_shard
from chorus.errors import ChorusError, Unavailable

Result = TypeVar("Result")

_RETRIES = 3
"""How often a task is run again whose process was lost."""

_KNOCK_SECONDS = 5.0
"""How long a port may take to answer before Ray, which waits for minutes, is asked to connect."""

_workers: dict[str, Worker] = {}  # in a process of Ray's: the worker of the run it works for


def connect(address: str | None) -> Any:
    """The `ray` package, connected to the cluster at `address`, or to that of RAY_ADDRESS, or to
    the one that runs on this machine, or to one that is started here.

    Raises Unavailable if the package is missing or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise Unavailable(
            "--engine ray needs the package ray: pip install -c constraints.txt -e '.[cluster]'"
        ) from error
    if not ray.is_initialized():
        if address in (None, "auto"):
            address = os.environ.get("RAY_ADDRESS") or address
        try:
            _knock(address or _started_here())
        except (OSError, ValueError) as error:
            raise Unavailable(_no_answer(address, error)) from error
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise Unavailable(_no_answer(address, error) + _about_token()) from error
    return ray


def _knock(address: str | None) -> None:
    """Raise OSError unless something listens at HOST:PORT or ray://HOST:PORT; other addresses are
    left to Ray."""
    if address is None:
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port is not None:
        socket.create_connection((parts.hostname, parts.port), timeout=_KNOCK_SECONDS).close()


def _started_here() -> str | None:
    """The address of the cluster that `ray start` began here last and `ray stop` did not end."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    file = Path(folder, "ray", "ray_current_cluster")
    return file.read_text().strip() if file.is_file() else None


def _no_answer(address: str | None, error: Exception) -> str:
    if address is None and _started_here() is None:
        return f"Ray cannot start a cluster on this machine ({error})."
    if address is None:
        return (
            f"the Ray cluster that was last started on this machine does not answer ({error}); end "
            "it with `ray stop`, which also forgets it, or give another one's --ray_address."
        )
    return (
        f"no Ray cluster answers at {address!r} ({error}); start one with `ray start --head` and "
        "give the address that it prints as --ray_address."
    )


def _about_token() -> str:
    """What to try if a cluster listens and refuses: `ray start` asks for a token as soon as it
    finds one, and a driver that is given an address sends it only if instructed to."""
    kept = (Path.home() / ".ray" / "auth_token").is_file()
    if "RAY_AUTH_MODE" in os.environ or not (
        kept or "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    ):
        return ""
    return (
        " If it runs there, it may ask for Ray's token, which is sent with RAY_AUTH_MODE=token in "
        "the environment."
    )


def pooled(jobs: Sequence[Job], address: str | None) -> Iterator[Summary]:
    """Summaries of all jobs (of one stage) as they finish, as `processes.pooled`.

    A stage whose model runs on a GPU takes one GPU for each process where the cluster has any.
    """
    ray = connect(address)
    on_gpu = not jobs[0].stage.processes and ray.cluster_resources().get("GPU", 0) >= 1
    work = ray.remote(num_cpus=1, num_gpus=int(on_gpu), max_retries=_RETRIES)(_work)
    run = uuid.uuid4().hex
    running = [work.remote(run, Path.cwd(), job) for job in jobs]
    yield from _finished(ray, running, jobs[0].stage.name)


def map_reduce(
    shared: Any,
    chunks: Sequence[Sized],
    work: Callable[[Any, Any, str], Result],
    add: Callable[[Result, Result], Result],
    *,
    name: str,
    advance: Advance,
    address: str | None,
    device: str,
) -> Result:
    """The sum of work(shared, chunk, device) over all chunks (one or more).

    Results are added pair by pair where they lie, as soon as two are there. `advance` is called
    with the size of each chunk that is worked on. On `device` "auto" a chunk takes a GPU if the
    cluster has any. `name` says whose work it is. Raises the first error, and Unavailable for GPUs
    that are not there.
    """
    ray = connect(address)
    on_gpu = device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1
    if device.startswith("cuda") and not on_gpu:
        raise Unavailable(f"--device {device}: the Ray cluster has no GPU; use --device cpu.")
    # Each returns first a size, so that errors are seen before results are moved.
    task = functools.partial(ray.remote, num_cpus=1, num_returns=2, max_retries=_RETRIES)
    mapped, added = task(num_gpus=int(on_gpu))(_mapped), task()(_added)
    where = ray.put(shared)
    on = "cuda" if on_gpu else "cpu"  # Ray shows a task the one GPU that it may use
    running = dict(mapped.remote(work, where, chunk, on) for chunk in chunks)
    ready: list[Any] = []
    try:
        while running or len(ready) > 1:
            while len(ready) > 1:
                running.update([added.remote(add, ready.pop(), ready.pop())])
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            result = running.pop(done)
            advance(_result(ray, done, name))
            ready.append(result)
        # What Ray hands out is read-only memory that all processes share.
        return copy.deepcopy(_result(ray, ready[0], name))
    finally:
        for ref in running:
            ray.cancel(ref)


def _finished(ray: Any, running: list[Any], name: str) -> Iterator[Any]:
    try:
        while running:
            (done, *_), running = ray.wait(running, num_returns=1)
            yield _result(ray, done, name)
    finally:
        for ref in running:
            ray.cancel(ref)


def _result(ray: Any, ref: Any, name: str) -> Any:
    """What a task returned; its own error, or a ChorusError if its process was lost for good."""
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if not isinstance(error.cause, ray.exceptions.RaySystemError):
            raise error.cause from None
        raise Unavailable(
            f"{name}: a worker of the Ray cluster cannot read its work "
            f"({str(error.cause).splitlines()[0]}); `ray start` must be given in an environment "
            "that can import chorus, the same on all machines (docs/scaling.md)."
        ) from error
    except ray.exceptions.RayError as error:
        raise ChorusError(
            f"{name}: a worker was lost {_RETRIES + 1} times over the same work ({error}). What is "
            "finished is kept; run the same command again."
        ) from error


def _work(run: str, folder: Path, job: Job) -> Summary:
    if folder.is_dir():  # where the run was started: weights may be named by a path from there
        os.chdir(folder)
    if run not in _workers:
        _workers.clear()
        _workers[run] = job.stage.make_worker()
    return run_shard(job, _workers[run])


def _mapped(
    work: Callable[[Any, Any, str], Result], shared: Any, chunk: Sized, device: str
) -> tuple[int, Result]:
    return len(chunk), work(shared, chunk, device)


def _added(
    add: Callable[[Result, Result], Result], first: Result, second: Result
) -> tuple[int, Result]:
    return 0, add(first, second)
