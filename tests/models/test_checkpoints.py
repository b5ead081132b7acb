"""Checkpoints of third parties: what is passed over, what is refused, and what is damage."""

from __future__ import annotations

import pathlib
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from chorus.errors import BadInput
from chorus.models.checkpoints import read_state_dict

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3)}


def save_with_classes(monkeypatch, path: Path, make, *names: str) -> Path:
    """Save what `make` builds of classes of these full names, which are not importable later."""
    with monkeypatch.context() as patch:
        classes = {}
        for full in names:
            module, _, name = full.rpartition(".")
            parts = module.split(".")
            for length in range(1, len(parts) + 1):
                partial = ".".join(parts[:length])
                if partial not in sys.modules:
                    patch.setitem(sys.modules, partial, ModuleType(partial))
            classes[name] = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, classes[name])
        torch.save({"state_dict": STATE, "hyper_parameters": make(**classes)}, path)
    return path


def made(kind: type, **state: Any) -> Any:
    """An object of a class with a state, which pickle stores."""
    one = kind()
    one.__dict__.update(state)
    return one


def omegaconf_settings(DictConfig, ListConfig, ContainerMetadata, Metadata, AnyNode):
    """hydra's settings as omegaconf's pickles hold them: nodes, their metadata, types."""

    def metadata(kind, **more):
        return made(kind, ref_type=Any, object_type=dict, optional=True, key="cfg", **more)

    root = made(DictConfig, _parent=None)
    cache = defaultdict(dict)
    root._metadata = metadata(ContainerMetadata, key_type=Any, resolver_cache=cache)
    value = made(AnyNode, _val=256, _parent=root, _metadata=metadata(Metadata))
    lists = made(ListConfig, _content=[value], _metadata=metadata(ContainerMetadata))
    root._content = {"IMAGE_SIZE": value, "LIST": lists, "ROOT": pathlib.PosixPath("/data/run")}
    return {"cfg": root, "types": [int, str, list, tuple, float, bool]}


def assert_weights_alone(path: Path) -> None:
    (name, value), *rest = read_state_dict(path, "state_dict").items()
    assert name == "a.weight" and not rest
    torch.testing.assert_close(value, STATE[name])


def test_settings_of_hydra_are_passed_over(tmp_path, monkeypatch):
    path = save_with_classes(
        monkeypatch,
        tmp_path / "lightning.ckpt",
        omegaconf_settings,
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata",
        "omegaconf.nodes.AnyNode",
    )
    assert_weights_alone(path)
    assert "omegaconf" not in sys.modules


@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", "f4", "f8", "?", "c8", "U5"])
def test_arrays_and_numbers_of_any_type_are_passed_over(tmp_path, dtype):
    kept = {"array": np.zeros((17, 3), dtype), "number": np.zeros(1, dtype)[0]}
    torch.save({"meta": {"dataset_meta": kept}, "state_dict": STATE}, tmp_path / "m.pth")
    assert_weights_alone(tmp_path / "m.pth")


def test_a_class_that_is_not_known_is_named_with_what_to_do(tmp_path, monkeypatch):
    path = save_with_classes(
        monkeypatch, tmp_path / "own.ckpt", lambda Trainer: Trainer(), "ourlab.train.Trainer"
    )
    with pytest.raises(BadInput) as refused:
        read_state_dict(path, "state_dict")
    sentence = str(refused.value)
    assert "own.ckpt is refused: it asks for ourlab.train.Trainer, which no weights" in sentence
    assert "the file need not be damaged" in sentence
    assert "torch.save({'state_dict': model.state_dict()}, 'weights.pt')" in sentence
    assert "delete it" not in sentence


class Calls:
    """Stores a call of a function as itself."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "clause"),
    [
        (Calls(eval, "open('executed', 'w')"), "it asks for eval"),
        (Calls(pathlib.os.system, "touch executed"), r"it asks for \w+\.system"),
        (Calls(exec, "import os"), "it asks for exec"),
        (Calls(getattr, Path("executed"), "touch"), None),
        (Calls(Calls, eval, "open('executed', 'w')"), "it asks for "),
    ],
)
def test_nothing_is_executed(tmp_path, monkeypatch, call, clause):
    monkeypatch.chdir(tmp_path)
    torch.save({"hyper_parameters": [call], "state_dict": STATE}, "evil.ckpt")
    if clause is None:  # answered with a stand-in that does nothing
        assert_weights_alone(Path("evil.ckpt"))
    else:
        with pytest.raises(BadInput, match=f"is refused: {clause}.*Nothing in it was executed"):
            read_state_dict(Path("evil.ckpt"), "state_dict")
    assert not Path("executed").exists()


def test_what_a_known_name_is_asked_to_do_beyond_its_kind_is_refused(tmp_path):
    class Filled(list):
        def __reduce__(self):
            return tuple, (), None, iter([1, 2])

    torch.save({"state_dict": STATE, "more": Filled()}, tmp_path / "odd.ckpt")
    with pytest.raises(BadInput, match="is refused: it builds an object by "):
        read_state_dict(tmp_path / "odd.ckpt", "state_dict")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_damage_is_said_of_damage_alone(tmp_path, share):
    torch.save({"state_dict": {"w": torch.zeros(100, 100)}}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        BadInput, match=r"half\.pt is no whole checkpoint .*damaged, cut short"
    ) as e:
        read_state_dict(tmp_path / "half.pt", "state_dict")
    assert "refused" not in str(e.value)


def test_a_file_without_the_key_is_another_one(tmp_path):
    torch.save({"model": STATE, "epoch": 3}, tmp_path / "m.pt")
    with pytest.raises(BadInput, match=r"has no 'state_dict' .*found model, epoch"):
        read_state_dict(tmp_path / "m.pt", "state_dict")
