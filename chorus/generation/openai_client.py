"""Chat completions of OpenAI and of servers that speak its protocol (vLLM, Ollama, ...).

The one file that knows the package `openai`. The client tries rate limits, time-outs, broken
connections and server errors again, waiting longer each time or as long as the server says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chorus.errors import BadInput, Unavailable
from chorus.files import parsed_json
from chorus.generation.credentials import redact, secret, setting, without_login
from chorus.generation.language_model import SCHEMA, Message, Reply
from chorus.generation.proxy_environment import environment_fault

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
KEY_NAME = "OPENAI_API_KEY"
URL_NAME = "OPENAI_BASE_URL"
MAX_RETRIES = 4  # waits of about 0.5, 1, 2 and 4 s
_CONNECT_SECONDS = 10.0
_LONGEST_MESSAGE = 200  # characters of what a server says that are shown

# The parameters that a model may not take, by the words in which servers refuse them.
_OPTIONAL = {
    "temperature": ("temperature",),
    "seed": ("seed",),
    "response_format": ("response_format", "response format", "json_schema", "structured output"),
}

_REFUSED_CODES = {"content_filter", "content_policy_violation", "responsibleaipolicyviolation"}


class RequestFailed(Unavailable):
    """One request failed in a way that need not meet the next one."""


class StructuredRefused(Unavailable):
    """The server does not take the request for structured output."""


@dataclass(frozen=True)
class ChatSettings:
    """Which model to ask, where and how; `timeout` in seconds, per try.

    An empty base_url is the value of OPENAI_BASE_URL, else OpenAI's own.
    """

    model: str
    base_url: str = ""
    temperature: float = 1.0
    timeout: float = 120.0

    def __post_init__(self) -> None:
        url = self.base_url or setting(URL_NAME) or OPENAI_URL
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port  # raises ValueError if it is no number
        except ValueError:
            usable = False
        if not usable:
            raise BadInput(
                f"--base_url {redact(url)!r} is no address; expected one such as "
                "http://localhost:8000/v1."
            )
        if parts.path.rstrip("/").endswith("/completions"):
            raise BadInput(
                f"--base_url {without_login(url)} is too long; leave out what follows /v1."
            )
        object.__setattr__(self, "base_url", url.rstrip("/"))

    @property
    def address(self) -> str:
        """The server's address as it may be shown and stored: without login."""
        return redact(without_login(self.base_url))


class ChatModel:
    """A model behind a chat completions server."""

    def __init__(self, settings: ChatSettings, max_retries: int | None = None):
        """Prepare a client; nothing is sent yet.

        Raises Unavailable without the package `openai`, or without a key where OpenAI itself is
        asked; servers of one's own need none.
        """
        try:
            import openai
        except ImportError:
            raise Unavailable(
                "prompts from the OpenAI API, or a server like it, need the package openai: "
                "pip install -c constraints.txt -e '.[generation]'; `--provider template` needs "
                "none."
            ) from None
        self._key = secret(KEY_NAME)
        if not self._key and settings.base_url == OPENAI_URL:
            raise Unavailable(
                f"the OpenAI API needs a key to ask {settings.model!r}: set {KEY_NAME} in the "
                f"environment, or write {KEY_NAME}=... in the file .env in the working directory; "
                "--base_url asks a server of your own, --provider template none."
            )
        self.settings = settings
        self._openai = openai
        self._left_out: set[str] = set()
        self._retries = MAX_RETRIES if max_retries is None else max_retries
        self._client = self._connected(
            base_url=settings.base_url,
            api_key=self._key or "none",
            max_retries=self._retries,
            timeout=openai.Timeout(
                settings.timeout, connect=min(settings.timeout, _CONNECT_SECONDS)
            ),
        )

    def _connected(self, **arguments: Any) -> Any:
        """The library's client, which reads proxies and certificates of the environment."""
        try:
            return self._openai.OpenAI(**arguments)
        # A bad proxy or certificate is a ValueError, an OSError, an ImportError or an error of the
        # HTTP library's own; nothing else can fail here.
        except Exception as error:
            raise environment_fault(error) from error

    def complete(self, messages: Sequence[Message], seed: int, structured: bool = False) -> dict:
        """What the server answers: text, refusal, finish_reason, model, system_fingerprint.

        Every one is a string, empty where the server gave none; the key is in none of them. With
        `structured` the answer shall be JSON of SCHEMA. Raises StructuredRefused if the server does
        not take that, RequestFailed, or Unavailable for what would meet every request.
        """
        optional: dict[str, Any] = {"temperature": self.settings.temperature, "seed": seed}
        if structured:
            schema = {"name": "prompts", "schema": SCHEMA, "strict": True}
            optional["response_format"] = {"type": "json_schema", "json_schema": schema}
        sent = {name: value for name, value in optional.items() if name not in self._left_out}
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model=self.settings.model, messages=list(messages), **sent
            )
        except self._openai.APIStatusError as error:
            code, message = self._words(error.body or error.response.text)
            if error.status_code in (400, 422):
                if code.lower() in _REFUSED_CODES:
                    return _record("", refusal=message or code)
                refused = _refused_parameter(error.body, message, sent)
                if refused in ("temperature", "seed"):
                    log.info("the server takes no %s (%s); going on without.", refused, message)
                    self._left_out.add(refused)
                    return self.complete(messages, seed, structured)
                if structured:
                    raise StructuredRefused(
                        f"the server does not take a request for structured output ({message})."
                    ) from None
            raise self._status_fault(error.status_code, code, message) from None
        except self._openai.OpenAIError as error:
            raise self._connection_fault(error) from None
        return self._read(raw.text)

    def _read(self, text: str) -> dict:
        """The record of a successful answer's body."""
        try:
            body = parsed_json(text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            what = "a web page" if text.lstrip().startswith("<") else "no JSON object"
            raise Unavailable(
                f"the server at {self.settings.address} answered with {what} "
                f"({self._shown(text)!r}); check that --base_url is the address of an API, which "
                "mostly ends in /v1."
            )
        if body.get("error"):
            _, reason = self._words(body["error"])
            raise RequestFailed(
                f"the server at {self.settings.address} reports an error ({reason}); look at its "
                "log or status page, and run the same command again later."
            )
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        choice = choice if isinstance(choice, dict) else {}
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        values = {
            "text": _text(message.get("content")),
            "refusal": message.get("refusal"),
            "finish_reason": choice.get("finish_reason"),
            "model": body.get("model"),
            "system_fingerprint": body.get("system_fingerprint"),
        }
        return _record(
            **{
                name: redact(value, self._key) if isinstance(value, str) else ""
                for name, value in values.items()
            }
        )

    def _words(self, error: object) -> tuple[str, str]:
        """The code and the message in what a server says of an error, as far as it gives them."""
        code, message = "", error
        if isinstance(error, dict):
            code = str(error.get("code") or "")
            message = error.get("message") or error.get("detail") or error.get("error") or error
        return code, self._shown(message if isinstance(message, str) else json.dumps(message))

    def _shown(self, text: str) -> str:
        """What of a server's words is shown: one short line without the key."""
        line = " ".join(redact(text, self._key).split()).rstrip(".")
        return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}…"

    def _status_fault(self, status: int, code: str, message: str) -> Unavailable:
        """The error for an answer with a status of failure, with what to check."""
        model, where = self.settings.model, self.settings.address
        name = "the OpenAI API" if where == OPENAI_URL else "the server"
        failure = f"{name} at {where} answered {status}" + (f" ({message})" if message else "")
        if status == 401:
            return Unavailable(
                f"{failure}: the key is missing or not valid there; check {KEY_NAME} in the "
                "environment or in .env."
            )
        if status == 403:
            return Unavailable(
                f"{failure}: the key may not use the model {model!r}, or the service is not "
                "offered where you are; check the account's rights, or choose another --model."
            )
        if status == 404:
            return Unavailable(
                f"{failure}: it does not know the model {model!r}, or the address is not the "
                f"API's; check --model ({where}/models lists what there is) and --base_url, which "
                "mostly ends in /v1."
            )
        if status == 429 and code == "insufficient_quota":
            return Unavailable(
                f"{failure}: the account has no credit left; check its billing page, or use "
                "another --base_url or --provider template."
            )
        if status == 429:
            return RequestFailed(
                f"{failure}, also after {self._retries} more tries: too many requests; wait a "
                "minute and run the same command again."
            )
        if status >= 500:
            return RequestFailed(
                f"{failure}, also after {self._retries} more tries: the fault is the server's; "
                "look at its log or status page, and run the same command again later."
            )
        return RequestFailed(
            f"{failure}: it does not accept the request; check --model {model} and --temperature "
            f"{self.settings.temperature:g}."
        )

    def _connection_fault(self, error: Exception) -> Unavailable:
        """The error for a request without an answer, with what to check."""
        where = self.settings.address
        if isinstance(error, self._openai.APITimeoutError):
            return RequestFailed(
                f"{where} gave no answer within {self.settings.timeout:g} s, also after "
                f"{self._retries} more tries; check that the server is up and not still loading "
                f"the model {self.settings.model!r}, or give it more --timeout."
            )
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return Unavailable(
            f"no connection to {where}: {self._shown(str(cause))}; check that the server runs, "
            "--base_url, and the network or proxy."
        )


def _refused_parameter(body: object, message: str, sent: Mapping[str, Any]) -> str | None:
    """Which of the optional parameters that were sent a server's refusal names: its field `param`,
    else the one that its message names first. None if it names none."""
    named = body.get("param") if isinstance(body, dict) else None
    if named in _OPTIONAL and named in sent:
        return named
    places = {
        name: min((at for word in words if (at := message.lower().find(word)) >= 0), default=-1)
        for name, words in _OPTIONAL.items()
        if name in sent
    }
    found = {at: name for name, at in places.items() if at >= 0}
    return found[min(found)] if found else None


def _text(content: object) -> object:
    """The text of a message's content, which is text or a list of chunks; chunks of other kinds,
    such as what the model thinks, are no part of the answer."""
    if not isinstance(content, list):
        return content
    chunks = [
        chunk.get("text")
        for chunk in content
        if isinstance(chunk, dict) and chunk.get("type") in ("text", "output_text")
    ]
    return "".join(chunk for chunk in chunks if isinstance(chunk, str))


def _record(text: str, **others: str) -> dict:
    names = ("refusal", "finish_reason", "model", "system_fingerprint")
    return {"text": text, **{name: others.get(name, "") for name in names}}


def reply_of(record: dict) -> Reply:
    """What the asking loop needs to know of a record of `ChatModel.complete`."""
    ended = record["finish_reason"]
    return Reply(
        text=record["text"],
        refused=bool(record["refusal"]) or ended == "content_filter",
        truncated=ended == "length",
    )
