"""A local imitation of a chat completions server, told beforehand what to answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-test-0123456789abcdef"


@dataclass
class Answer:
    """One HTTP answer; `delay` in seconds before it is sent."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    delay: float = 0.0


def completion(
    text: str | list | None, finish_reason: str = "stop", refusal: str | None = None
) -> Answer:
    """A successful chat completion."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return Answer(
        json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": "tiny-0125",
                "system_fingerprint": "fp_tiny",
                "choices": [choice],
            }
        )
    )


def fault(status: int, message: str, code: str | None = None, **headers: str) -> Answer:
    """An error as the API words it."""
    error = {"message": message, "type": "error", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        json.dumps({"error": error}), status, {"content-type": "application/json", **named}
    )


class ChatServer:
    """Answers requests in order; the last answer is given again and again.

    An answer may be a function of the request's JSON. `requests` and `paths` are what came in,
    `authorisations` the headers.
    """

    def __init__(self):
        self.answers: list[Answer | Callable[[dict], Answer]] = []
        self.requests: list[dict] = []
        self.paths: list[str] = []
        self.authorisations: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                raw = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append(json.loads(raw))
                outer.paths.append(self.path)
                outer.authorisations.append(self.headers["authorization"])
                answer = outer.answers[min(len(outer.requests), len(outer.answers)) - 1]
                if callable(answer):
                    answer = answer(outer.requests[-1])
                time.sleep(answer.delay)
                body = answer.body.encode()
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except BrokenPipeError:
                    self.close_connection = True  # the client gave up waiting

            def log_message(self, *arguments):
                del arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to give as base_url."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def say(self, *answers: Answer | str | Callable[[dict], Answer]) -> None:
        """Set the answers from now on; a text is a completion."""
        self.answers = [completion(a) if isinstance(a, str) else a for a in answers]
        self.requests.clear()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
