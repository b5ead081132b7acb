"""A chat server and an environment without the user's own keys."""

from __future__ import annotations

import pytest
from chat_server import KEY, ChatServer


@pytest.fixture
def chat_server(monkeypatch, tmp_path):
    """A running ChatServer; the key is in the environment, the working directory is empty."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    server = ChatServer()
    yield server
    server.close()
