"""Variables of proxies and certificates that keep a client from being made."""

from __future__ import annotations

import importlib.util

import pytest

from chorus.errors import BadInput
from chorus.generation.openai_client import ChatModel, ChatSettings
from chorus.generation.proxy_environment import environment_fault

NAMES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:7891/", "write socks5://127.0.0.1:7891, or unset"),
        ("https_proxy", "ftp://host:21", "write http://HOST:PORT, or unset https_proxy"),
        ("http_proxy", "http://host:port", "is no address"),
        ("SSL_CERT_FILE", "/gone/cacert.pem", "there is no such file"),
    ],
)
def test_the_variable_and_its_value_are_named(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput) as raised:
        ChatModel(ChatSettings("tiny", "https://127.0.0.1:9/v1"))
    assert str(raised.value).startswith(f"{name} is {value!r}: ") and said in str(raised.value)


def test_a_socks_proxy_without_its_package(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:7891")
    if importlib.util.find_spec("socksio") is None:
        with pytest.raises(BadInput, match=r"ALL_PROXY is 'socks5.*needs the package socksio"):
            ChatModel(ChatSettings("tiny", "http://127.0.0.1:9/v1"))


def test_what_holds_no_certificates(monkeypatch, tmp_path):
    (tmp_path / "a.pem").write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "a.pem"))
    assert "holds no certificates in PEM" in str(environment_fault(OSError()))
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "gone"))
    assert "there is no such folder" in str(environment_fault(OSError()))


def test_a_login_is_not_shown_and_other_faults_are_told(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks://me:secret@host:1")
    assert "secret" not in str(environment_fault(ValueError("x")))
    monkeypatch.setenv("ALL_PROXY", "http://host:1")
    said = str(environment_fault(ValueError("odd")))
    assert "ValueError: odd" in said and "check ALL_PROXY" in said


def test_networks_in_no_proxy_are_no_fault(monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost,::1/128,fd07::/64")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    ChatModel(ChatSettings("tiny", "http://127.0.0.1:9/v1"))
