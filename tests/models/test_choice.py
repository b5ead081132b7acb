"""Weights that were replaced under the same name are seen."""

from __future__ import annotations

import shutil

from chorus.files import content_digest
from chorus.models.choice import ModelChoice

MEGABYTE = 1 << 20


def test_a_folder_is_its_files_wherever_it_lies(tmp_path):
    folder = tmp_path / "a"
    (folder / "part").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "part" / "weights").write_bytes(b"x" * 3 * MEGABYTE)
    before = content_digest(folder)
    shutil.copytree(folder, tmp_path / "b")
    assert content_digest(tmp_path / "b") == before
    for at in (5, 2 * MEGABYTE + 5):
        (folder / "part" / "weights").write_bytes(b"x" * at + b"y" + b"x" * (3 * MEGABYTE - at - 1))
        assert content_digest(folder) != before
    (tmp_path / "b" / "config.json").rename(tmp_path / "b" / "other.json")
    assert content_digest(tmp_path / "b") != before


def vitpose(source: str) -> dict:
    return ModelChoice("keypoint_model", f"vitpose:{source}").recorded()


def test_settings_tell_replaced_weights_from_the_old_ones(tmp_path):
    first, second = tmp_path / "one", tmp_path / "two"
    first.write_bytes(b"weights")
    second.write_bytes(b"other weights")
    before = vitpose(f"{first}")
    assert before["keypoint_model"] == f"vitpose:{first}"
    first.write_bytes(b"WEIGHTS")
    after = vitpose(f"{first}")
    assert after != before and after["keypoint_model"] == before["keypoint_model"]
    assert len(vitpose(f"{first}+{second}")["keypoint_model weights"]) == 2


def test_files_that_are_read_beside_the_source_have_digests_too(tmp_path):
    own, further = tmp_path / "own", tmp_path / "further"
    own.write_bytes(b"weights")
    further.write_bytes(b"other weights")
    model = ModelChoice("segmenter", f"pointrend-r50:{own}")
    recorded = model.recorded([further])
    assert recorded["segmenter weights"] == [content_digest(own), content_digest(further)]
    further.write_bytes(b"exchanged")
    assert model.recorded([further]) != recorded
    (name,) = ModelChoice("segmenter", "pointrend-r50").recorded([further])["segmenter weights"]
    assert name == content_digest(further)


def test_repositories_and_the_models_own_weights_go_by_name():
    for name in ("vitpose", "vitpose:usyd-community/vitpose-base"):
        assert ModelChoice("keypoint_model", name).recorded() == {"keypoint_model": name}
