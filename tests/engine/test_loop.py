"""The loop that all stages share: resume, failures, staleness, processes, concurrency."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chorus.engine.loop import Outcome, Stage, run
from chorus.engine.shard_work import Job, run_shard
from chorus.errors import ChorusError, StaleResults, Unavailable
from chorus.files import DiskFull
from chorus.pipeline import Step
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import difference
from chorus.records.tables import read_table

PICTURES = Step("images", writes=("images",))
SHARDS = [ShardKey("m", "chair", "A person sits on a chair", f"view {n}") for n in range(6)]


@dataclass
class PictureWorker:
    """Makes image rows; misbehaves on request, by sample index or file."""

    fail_at: tuple[int, ...] = ()
    die_unless: Path | None = None  # kill this process unless the file exists

    def process(self, samples):
        if self.die_unless is not None and not self.die_unless.exists():
            self.die_unless.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if any(s.key.index in self.fail_at for s in samples):
            raise ValueError("could not be drawn")
        return [
            Outcome(
                {"file": f"{s.key.index:06d}.jpg", "width": 4, "height": 3, "seed": 1, "text": "t"}
            )
            for s in samples
        ]


class BoxWorker:
    """Makes keypoint rows from image rows; odd samples are skipped."""

    def process(self, samples):
        return [
            Outcome(skipped="odd")
            if s.inputs["images"]["width"] != 4 or s.key.index % 2
            else Outcome({"persons": []})
            for s in samples
        ]


def pictures(count=5, make=PictureWorker, **settings) -> Stage:
    return Stage(PICTURES, {"model": "m", **settings}, make, count=count, batch_size=2)


BOXES = Stage(Step("keypoints", reads=("images",), writes=("human_kps",)), {}, BoxWorker)


def test_a_second_run_does_nothing_and_more_images_are_added(tmp_path):
    tree = ResultsTree(tmp_path)
    first = run(pictures(), tree, SHARDS[:2])
    assert (first.done, first.already, first.failed) == (10, 0, 0)
    path = tree.table("images", SHARDS[0])
    before = path.stat().st_mtime_ns
    again = run(pictures(), tree, SHARDS[:2])
    assert (again.done, again.already) == (0, 10)
    assert path.stat().st_mtime_ns == before
    more = run(pictures(count=7), tree, SHARDS[:2])
    assert (more.done, more.already) == (4, 10)


def test_a_failing_sample_takes_no_other_with_it_and_is_tried_again(tmp_path):
    tree = ResultsTree(tmp_path)
    faulty = pictures(make=functools.partial(PictureWorker, fail_at=(2,)))
    summary = run(faulty, tree, SHARDS[:1])
    assert (summary.done, summary.failed) == (4, 1)
    assert summary.reasons == {"ValueError: could not be drawn": 1}
    row = read_table(tree.table("images", SHARDS[0]), "images").rows[2]
    assert row["status"] == "failed" and row["reason"] == "ValueError: could not be drawn"
    downstream = run(BOXES, tree, SHARDS[:1])
    assert (downstream.done, downstream.skipped, downstream.failed) == (2, 2, 1)
    assert downstream.refused == {"odd": 2}, "nothing was filtered yet"
    mended = run(pictures(), tree, SHARDS[:1])
    assert (mended.done, mended.already) == (1, 4)
    assert run(BOXES, tree, SHARDS[:1]).done == 1


def test_other_settings_make_a_table_stale(tmp_path):
    tree = ResultsTree(tmp_path)
    run(pictures(threshold=0.8), tree, SHARDS[:1])
    run(BOXES, tree, SHARDS[:1])
    with pytest.raises(StaleResults, match=r"threshold: 0.8, now 0.7.*--overwrite"):
        run(pictures(threshold=0.7), tree, SHARDS[:1])
    assert run(pictures(threshold=0.7), tree, SHARDS[:1], overwrite=True).done == 5
    with pytest.raises(StaleResults, match=r"from images.threshold: 0.8, now 0.7"):
        run(BOXES, tree, SHARDS[:1])


def test_difference_names_nested_values():
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c: 2, now 3"]
    assert difference({"x": 1}, {"x": 1}) == []


def test_a_missing_or_damaged_input_stops_only_its_shard(tmp_path):
    tree = ResultsTree(tmp_path)
    run(pictures(), tree, SHARDS[:2])
    tree.table("images", SHARDS[1]).write_bytes(b"PAR1 no more")
    summary = run(BOXES, tree, SHARDS[:3])
    assert summary.done == 3 and len(summary.errors) == 2
    assert "not a readable Parquet table" in summary.errors[0]
    assert "run chorus images first" in summary.errors[1]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_shard_that_is_stopped_before_it_began_stays_as_it_was(tmp_path, overwrite):
    tree = ResultsTree(tmp_path)
    run(pictures(), tree, SHARDS[:1])
    before = tree.table("images", SHARDS[0]).read_bytes()
    for shard in SHARDS[:2]:
        job = Job(pictures(count=9), tree, shard, {"model": "m"}, overwrite)
        assert run_shard(job, PictureWorker(), stopped=lambda: True).done == 0
    assert tree.table("images", SHARDS[0]).read_bytes() == before
    assert not tree.table("images", SHARDS[1]).exists()


def test_errors_that_concern_all_samples_end_the_run(tmp_path):
    class Broken:
        def __init__(self, error):
            self.error = error

        def process(self, samples):
            raise self.error

    for error in (Unavailable("no weights"), DiskFull("the disk is full")):
        stage = pictures(make=functools.partial(Broken, error))
        with pytest.raises(type(error)):
            run(stage, ResultsTree(tmp_path), SHARDS[:1])
    assert not list(tmp_path.rglob("*.parquet"))


def test_processes_make_the_same_files_as_one(tmp_path):
    alone, together = ResultsTree(tmp_path / "1"), ResultsTree(tmp_path / "2")
    stage = replace(pictures(count=12), batch_size=5)
    run(stage, alone, SHARDS)
    summary = run(stage, together, SHARDS, workers=2)
    assert summary.done == 72
    for shard in SHARDS:
        one, two = alone.table("images", shard), together.table("images", shard)
        assert one.read_bytes() == two.read_bytes()


def test_a_killed_worker_is_told_and_a_rerun_ends_in_the_same_files(tmp_path):
    whole, broken = ResultsTree(tmp_path / "1"), ResultsTree(tmp_path / "2")
    run(pictures(count=12), whole, SHARDS)
    deadly = functools.partial(PictureWorker, die_unless=tmp_path / "died")
    with pytest.raises(ChorusError, match="worker process ended unexpectedly"):
        run(pictures(count=12, make=deadly), broken, SHARDS, workers=2)
    run(pictures(count=12, make=deadly), broken, SHARDS, workers=2)
    for shard in SHARDS:
        one, two = whole.table("images", shard), broken.table("images", shard)
        assert one.read_bytes() == two.read_bytes()


def test_two_runs_at_once_share_the_work(tmp_path):
    tree = ResultsTree(tmp_path)
    summaries = []

    def work():
        summaries.append(run(pictures(count=20), tree, SHARDS))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(s.done for s in summaries) == 120, "every sample is made exactly once"
    for shard in SHARDS:
        assert len(read_table(tree.table("images", shard), "images").rows) == 20


def test_worker_processes_do_not_outlive_a_killed_run(tmp_path):
    code = f"""
        import functools, time
        from pathlib import Path
        from chorus.records.results_tree import ResultsTree
        from chorus.pipeline import Step
        from chorus.records.keys import ShardKey
        from chorus.engine.loop import Stage, run
        from test_loop_slow import SlowWorker
        shards = [ShardKey("m", "c", "p", str(n)) for n in range(4)]
        if __name__ == "__main__":
            stage = Stage(Step("images", writes=("images",)), {{}}, SlowWorker, count=30)
            run(stage, ResultsTree(Path({str(tmp_path)!r})), shards, workers=2)
    """
    (tmp_path / "test_loop_slow.py").write_text(
        "import os, time, pathlib\n"
        "class SlowWorker:\n"
        "    def process(self, samples):\n"
        f"        pathlib.Path({str(tmp_path)!r}, f'pid{{os.getpid()}}').touch()\n"
        "        time.sleep(60)\n"
    )
    (tmp_path / "main.py").write_text(textwrap.dedent(code))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)])}
    process = subprocess.Popen([sys.executable, str(tmp_path / "main.py")], env=env)
    pids = _wait_for(lambda: [int(p.name[3:]) for p in tmp_path.glob("pid*")])
    process.kill()
    process.wait()
    assert _wait_for(lambda: not any(map(_alive, pids)))


def _wait_for(condition, seconds=30.0):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class GoneAfterTwo:
    """Its model is missing from the third sample on."""

    def process(self, samples):
        if samples[0].key.index >= 2:
            raise Unavailable("the weights are gone")
        return PictureWorker().process(samples)


def test_what_was_done_before_a_model_went_missing_is_kept(tmp_path):
    tree = ResultsTree(tmp_path)
    stage = replace(pictures(make=GoneAfterTwo), batch_size=1)
    with pytest.raises(Unavailable, match="gone"):
        run(stage, tree, SHARDS[:1])
    assert sorted(read_table(tree.table("images", SHARDS[0]), "images").rows) == [0, 1]
