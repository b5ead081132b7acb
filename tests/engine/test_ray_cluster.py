"""The Ray engine: the same bytes as one process, lost workers' shards done again, counts merged."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from chorus.engine import loop
from chorus.engine.loop import Outcome, Stage
from chorus.engine.sample_counting import Counted, add_counts
from chorus.errors import BadInput, ChorusError, Unavailable
from chorus.pipeline import Step
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree

ray = pytest.importorskip("ray")

from chorus.engine import ray_cluster  # noqa: E402

BROKEN = -1  # among the numbers of a chunk
SHARDS = [ShardKey("m", "chair", "A person sits on a chair", f"view {n}") for n in range(6)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    here = Path(__file__).resolve()
    environment = {"PYTHONPATH": f"{here.parent}:{here.parents[2]}"}  # for the workers below
    ray.init(
        address="local",
        num_cpus=3,
        num_gpus=1,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": environment},
    )
    yield
    ray.shutdown()


@dataclass
class PictureWorker:
    """Makes image rows; its process dies once, or always, or raises."""

    die_unless: Path | None = None
    error: str = ""
    weights: str = ""

    def process(self, samples):
        if self.error:
            raise Unavailable(self.error)
        if self.weights:
            Path(self.weights).read_bytes()
        if self.die_unless is not None and not self.die_unless.exists():
            if self.die_unless.parent.exists():
                self.die_unless.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [
            Outcome({"file": "a.jpg", "width": 4, "height": 3, "seed": s.key.index, "text": "t"})
            for s in samples
        ]


def run(tmp_path, name, spread, **worker):
    tree = ResultsTree(tmp_path / name)
    stage = Stage(
        Step("images", writes=("images",)), {}, functools.partial(PictureWorker, **worker), count=20
    )
    summary = loop.run(stage, tree, SHARDS, spread=spread)
    tables = [tree.table("images", shard) for shard in SHARDS]
    return summary, [path.read_bytes() if path.is_file() else None for path in tables]


ON_RAY = functools.partial(ray_cluster.pooled, address=None)


def test_same_bytes_as_one_process(tmp_path):
    expected = run(tmp_path, "here", None)
    found = run(tmp_path, "ray", ON_RAY)
    assert found == expected and found[0].done == 120


def test_a_lost_workers_shard_is_done_again(tmp_path):
    expected = run(tmp_path, "here", None)
    found = run(tmp_path, "ray", ON_RAY, die_unless=tmp_path / "died")
    assert (tmp_path / "died").exists()
    assert found == expected


def test_a_worker_lost_every_time_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_RETRIES", 0)
    with pytest.raises(ChorusError, match="lost 1 times over the same work"):
        run(tmp_path, "ray", ON_RAY, die_unless=tmp_path / "nowhere" / "never")


def test_an_error_keeps_its_sentence(tmp_path):
    with pytest.raises(Unavailable, match="the weights are missing"):
        run(tmp_path, "ray", ON_RAY, error="the weights are missing")


def test_weights_are_found_from_where_the_run_was_started(tmp_path, monkeypatch):
    (tmp_path / "weights.pth").touch()
    monkeypatch.chdir(tmp_path)
    summary, _ = run(tmp_path, "ray", ON_RAY, weights="weights.pth")
    assert summary.done == 120


@dataclass
class Chunk:
    """Stands for some retained samples."""

    numbers: list[int]

    def __len__(self):
        return len(self.numbers)


def map_reduce(chunks, work, advance=lambda _: None, device="cpu"):
    where = {"address": None, "device": device}
    return ray_cluster.map_reduce(
        None, chunks, work, add_counts, name="aggregate", advance=advance, **where
    )


def test_counts_are_merged_as_a_tree():
    chunks = [Chunk(list(range(n, n + 5))) for n in range(0, 55, 5)]
    ticks = []
    total = map_reduce(chunks, count_numbers, ticks.append)
    assert total.counts["all"].tolist() == [sum(range(55)), 55]
    assert total.refused == Counter({"odd": 27})
    assert sum(ticks) == 55


def count_numbers(space, chunk, device):
    if chunk.numbers[0] == BROKEN:
        raise BadInput("a chunk that cannot be counted")
    if BROKEN in chunk.numbers:
        time.sleep(300)
    odd = sum(number % 2 for number in chunk.numbers)
    numbers = np.array([sum(chunk.numbers), len(chunk.numbers)])
    return Counted({"all": numbers}, Counter({"odd": odd}))


def test_an_error_of_a_count_ends_the_others_at_once():
    chunks = [Chunk([n, BROKEN]) for n in (1, BROKEN, 2)]
    started = time.monotonic()
    with pytest.raises(BadInput, match="cannot be counted"):
        map_reduce(chunks, count_numbers)
    assert time.monotonic() - started < 60


class Elsewhere(Chunk):
    """A chunk of a package that the workers do not have."""

    def __reduce__(self):
        return importlib.import_module, ("only_on_this_machine",)


def test_workers_without_our_packages():
    with pytest.raises(Unavailable, match=r"No module named 'only_on_this_machine'.*same on all"):
        map_reduce([Elsewhere([1])], count_numbers)


def test_gpus_that_the_cluster_has_not(monkeypatch):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    with pytest.raises(Unavailable, match="--device cuda: the Ray cluster has no GPU"):
        map_reduce([Chunk([1])], count_numbers, device="cuda")


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1), ("cuda", 1), ("cpu", 0)])
def test_a_count_takes_a_gpu_where_the_cluster_has_any(device, gpus):
    total = map_reduce([Chunk([1]), Chunk([2])], count_gpus, device=device)
    assert total.counts["gpus"] == 2 * gpus
    assert total.refused == {"cuda" if gpus else "cpu": 2}


def count_gpus(space, chunk, device):
    """The GPUs that Ray lends to the task; nothing runs on them, so they need not exist."""
    return Counted({"gpus": np.array(len(ray.get_gpu_ids()))}, Counter({device: 1}))


@pytest.fixture
def silent_port(monkeypatch):
    """A port of this machine that nobody listens on, for a process without a Ray cluster."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer(silent_port, scheme):
    address = f"{scheme}127.0.0.1:{silent_port}"
    with pytest.raises(Unavailable, match=f"no Ray cluster answers at '{address}'.*ray start"):
        ray_cluster.connect(address)


def test_the_address_in_rays_own_variable(silent_port, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"localhost:{silent_port}")
    with pytest.raises(Unavailable, match=f"no Ray cluster answers at 'localhost:{silent_port}'"):
        ray_cluster.connect(None)


def test_a_cluster_that_ended_without_ray_stop(silent_port, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{silent_port}\n")
    with pytest.raises(Unavailable, match="last started on this machine does not answer"):
        ray_cluster.connect(None)


@pytest.mark.parametrize("address", ["127.0.0.1:port", "127.0.0.1:99999", ":", ""])
def test_an_address_that_is_none(silent_port, address):
    with pytest.raises(Unavailable, match="no Ray cluster answers"):
        ray_cluster.connect(address)


def test_a_token_that_is_not_sent_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)

    def refuse(**_):
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)

    def told():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = "{}:{}".format(*listening.getsockname())
            with pytest.raises(Unavailable, match=f"answers at '{address}' .Failed") as error:
                ray_cluster.connect(address)
        return "RAY_AUTH_MODE=token" in str(error.value)

    assert not told()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    assert told()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert not told()
