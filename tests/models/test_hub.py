"""Models from damaged folders, of other architectures, and from a hub that refuses them."""

from __future__ import annotations

import errno
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chorus.errors import BadInput, Unavailable
from chorus.files import DiskFull
from chorus.models import hub

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("diffusers")

SIZES = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 20,
    "max_position_embeddings": 8,
}


@pytest.fixture
def folder(tmp_path):
    """A whole tiny network with seeded weights."""
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(**SIZES))
    model.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def change(folder: Path, edit, name: str = "model.safetensors") -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / name)
    edit(state)
    save_file(state, folder / name, {"format": "pt"})


def test_a_whole_folder(folder):
    model = hub.load(transformers.AutoModel.from_pretrained, folder)
    again = hub.load(transformers.BertModel.from_pretrained, str(folder), output_loading_info=True)
    assert isinstance(model, transformers.BertModel)
    assert not again[1]["missing_keys"]
    for key, value in again[0].state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def test_a_missing_key_is_named_in_the_networks_order(folder):
    first, second = "embeddings.LayerNorm.weight", "pooler.dense.bias"
    change(folder, lambda state: (state.pop(second), state.pop(first)))
    with pytest.raises(BadInput, match=f"another network: BertModel needs {first}"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))


def test_another_shape_is_named(folder):
    key = "encoder.layer.0.intermediate.dense.weight"
    change(folder, lambda state: state.update({key: torch.zeros(3, 8)}))
    with pytest.raises(BadInput, match=rf"{key} has the shape \[3, 8\], BertModel needs \[8, 8\]"):
        hub.load(transformers.BertModel.from_pretrained, str(folder))


def test_other_architecture(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model_type": "clip_text_model"}))
    with pytest.raises(BadInput, match="holds the weights of another network"):
        hub.load(transformers.CLIPTextModel.from_pretrained, str(folder))


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_half_written_weights(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"model\.safetensors is damaged: .*copy or save the folder"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))


def test_weights_that_are_no_safetensors(folder):
    (folder / "model.safetensors").write_bytes(b"<!DOCTYPE html><html>" * 50)
    with pytest.raises(BadInput, match=r"model\.safetensors is damaged"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))


def test_missing_weights_and_configuration(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"model\.safetensors"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))
    (folder / "config.json").write_text('{"model_type": "bert", ')
    with pytest.raises(BadInput, match=r"config\.json"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))
    (folder / "config.json").unlink()
    (folder / "left").touch()
    with pytest.raises(BadInput, match=r"config\.json|model_type"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))


def test_a_pickle_is_not_executed(folder, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    (folder / "model.safetensors").unlink()
    torch.save({"a": Evil()}, folder / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(BadInput, match=r"damaged|does not hold"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))
    assert not (tmp_path / "executed").exists()


def test_half_written_torch_file(folder):
    state = transformers.AutoModel.from_pretrained(folder).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert hub.load(transformers.AutoModel.from_pretrained, str(folder))
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=f"{folder}.*(damaged|does not hold)"):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))


def test_a_missing_shard_is_named(folder):
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="2KB")
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(BadInput, match=shard.name):
        hub.load(transformers.AutoModel.from_pretrained, str(folder))


def test_folders_that_are_none(folder, tmp_path):
    loader = transformers.AutoModel.from_pretrained
    with pytest.raises(Unavailable, match=r"the folder \./not/there is not there"):
        hub.load(loader, "./not/there")
    with pytest.raises(BadInput, match="is a file"):
        hub.load(loader, str(folder / "config.json"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty folder"):
        hub.load(loader, str(tmp_path / "empty"))


def test_a_damaged_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}')
    with pytest.raises(BadInput, match=f"{tmp_path}"):
        hub.load(transformers.AutoTokenizer.from_pretrained, str(tmp_path))


def test_a_pipeline_whose_part_is_another_network(tmp_path):
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(4, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=2,
        layers_per_block=1,
    )
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    made = hub.load(DDPMPipeline.from_pretrained, str(tmp_path), dtype=torch.float32)
    assert torch.equal(made.unet.conv_in.weight, unet.conv_in.weight)
    name = "diffusion_pytorch_model.safetensors"
    change(tmp_path / "unet", lambda state: state.pop("conv_out.bias"), name)
    with pytest.raises(BadInput, match=f"{tmp_path}/unet holds.*UNet2DModel needs conv_out.bias"):
        hub.load(DDPMPipeline.from_pretrained, str(tmp_path))
    (tmp_path / "unet" / name).write_bytes(b"\0" * 20)
    with pytest.raises(BadInput, match=f"{name} is damaged"):
        hub.load(DDPMPipeline.from_pretrained, str(tmp_path))


def test_full_disk_and_what_is_not_ours():
    def full(_source):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")

    def wrong(_source):
        raise TypeError("a programming error")

    def out_of_memory(_source):
        raise torch.OutOfMemoryError("too little")

    with pytest.raises(DiskFull, match="HF_HOME"):
        hub.load(full, "owner/name")
    with pytest.raises(TypeError):
        hub.load(wrong, "owner/name")
    with pytest.raises(torch.OutOfMemoryError):
        hub.load(out_of_memory, "owner/name")


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does: by the repository's name, from its headers."""

    def do_HEAD(self):
        answers = {
            "gated": (401, "GatedRepo", "Access to model owner/gated is restricted."),
            "asked": (403, "GatedRepo", "You are not in the authorized list."),
            "absent": (404, "RepoNotFound", "Repository not found"),
            "hidden": (401, "RepoNotFound", "Invalid username or password."),
            "forbidden": (403, "", "Forbidden"),
            "empty": (404, "EntryNotFound", "Entry not found"),
        }
        name = next((name for name in answers if f"owner/{name}" in self.path), "absent")
        status, code, message = answers[name]
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        """Keep the test's output clean."""


ASK = """
import json, sys
from transformers import AutoModel
from chorus.errors import ChorusError
from chorus.models import hub
said = {}
for name in sys.argv[1:]:
    try:
        hub.load(AutoModel.from_pretrained, name)
    except ChorusError as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""


def ask(cache: Path, *names: str, **environment: str) -> dict[str, str]:
    """What `hub.load` says, in a process of its own: the address is read at import."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    result = subprocess.run(
        [sys.executable, "-c", ASK, *names],
        env={
            **clean,
            "HF_HOME": str(cache),
            "no_proxy": "127.0.0.1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_what_the_hub_refuses(tmp_path):
    names = ("gated", "asked", "absent", "hidden", "forbidden", "empty")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        said = ask(tmp_path, *(f"owner/{name}" for name in names), HF_ENDPOINT=endpoint)
        server.shutdown()
        thread.join()
    for name in ("gated", "asked"):
        assert "Unavailable" in said[f"owner/{name}"]
        assert f"accept its licence at https://huggingface.co/owner/{name}" in said[f"owner/{name}"]
        assert "`hf auth login` or set HF_TOKEN" in said[f"owner/{name}"]
    for name in ("absent", "hidden"):
        assert "Unavailable: " in said[f"owner/{name}"]
        assert "neither a folder here nor a repository" in said[f"owner/{name}"]
    assert "refused owner/forbidden (status 403)" in said["owner/forbidden"]
    assert said["owner/empty"].startswith("BadInput: owner/empty")


def test_offline(tmp_path):
    (sentence,) = ask(tmp_path, "owner/name", HF_HUB_OFFLINE="1").values()
    assert "Unavailable: owner/name is not in the hub's cache" in sentence
    assert "HF_HUB_OFFLINE" in sentence


def test_no_network(tmp_path):
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        started = time.monotonic()
        (sentence,) = ask(tmp_path, "owner/name", HF_ENDPOINT=endpoint).values()
    assert "hub cannot be reached: check the network" in sentence
    assert time.monotonic() - started < 20, "the hub's client alone tries for 23 s, a file"


def test_without_an_answer(monkeypatch):
    """As the hub's client raises it, without its waits between tries."""
    from huggingface_hub import constants, errors

    http = pytest.importorskip("httpx2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def unreachable(_source):
        try:
            raise http.ConnectError("[Errno -2] Name or service not known")
        except http.ConnectError as error:
            raise errors.LocalEntryNotFoundError("cannot find the requested files") from error

    def busy(_source):
        request = http.Request("GET", "http://127.0.0.1/")
        response = http.Response(503, request=request)
        raise errors.HfHubHTTPError("Service Unavailable", response=response)

    with pytest.raises(Unavailable, match="hub cannot be reached: check the network"):
        hub.load(unreachable, "owner/name")
    with pytest.raises(Unavailable, match=r"could not serve owner/name \(status 503\)"):
        hub.load(busy, "owner/name")
