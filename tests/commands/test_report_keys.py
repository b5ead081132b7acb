"""`chorus report` of a model key that has no results."""

from __future__ import annotations

from chorus.cli import main


def test_the_keys_that_have_results_are_named(tmp_path, capsys):
    (tmp_path / "quant_results" / "mine").mkdir(parents=True)
    assert main(["report", "--results_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "run evaluate first. There are some of --model_key mine." in error
    assert main(["report", "--results_dir", str(tmp_path), "--model_key", "mine"]) == 2
    assert "There are some" not in capsys.readouterr().err
