"""The client against a local server that imitates the API, its errors included."""

from __future__ import annotations

import logging
import sys

import pytest
from chat_server import KEY, Answer, completion, fault

from chorus.errors import BadInput, Unavailable
from chorus.generation.openai_client import (
    ChatModel,
    ChatSettings,
    RequestFailed,
    StructuredRefused,
    reply_of,
)

ASK = [{"role": "user", "content": "Write prompts for a kite"}]
HTML = {"content-type": "text/html"}


def chat(server, retries=1, **settings) -> ChatModel:
    settings = {"model": "tiny", "base_url": server.url, "timeout": 5.0, **settings}
    return ChatModel(ChatSettings(**settings), max_retries=retries)


def test_a_request_and_its_answer(chat_server):
    chat_server.say("A person flies a kite")
    record = chat(chat_server, temperature=0.7).complete(ASK, seed=11)
    assert record == {
        "text": "A person flies a kite",
        "refusal": "",
        "finish_reason": "stop",
        "model": "tiny-0125",
        "system_fingerprint": "fp_tiny",
    }
    assert chat_server.requests == [
        {"model": "tiny", "messages": ASK, "temperature": 0.7, "seed": 11}
    ]
    assert chat_server.paths == ["/v1/chat/completions"]
    assert chat_server.authorisations == [f"Bearer {KEY}"]


def test_structured_output_is_a_strict_schema(chat_server):
    chat_server.say('{"prompts": ["A person flies a kite"]}')
    chat(chat_server).complete(ASK, seed=1, structured=True)
    form = chat_server.requests[0]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["required"] == ["prompts"]


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_without_structured_output(chat_server, status):
    chat_server.say(fault(status, "'response_format' of type 'json_schema' is not supported"))
    with pytest.raises(StructuredRefused, match="json_schema"):
        chat(chat_server).complete(ASK, seed=1, structured=True)
    with pytest.raises(RequestFailed, match="check --model tiny and --temperature 1"):
        chat(chat_server).complete(ASK, seed=1)


def test_a_server_without_seeds_is_asked_without(chat_server, caplog):
    def answer(request):
        return fault(400, "unknown field: seed") if "seed" in request else completion("good")

    chat_server.say(answer)
    model = chat(chat_server)
    with caplog.at_level(logging.INFO, "chorus"):
        assert model.complete(ASK, seed=1)["text"] == "good"
        assert model.complete(ASK, seed=2)["text"] == "good"
    assert len(chat_server.requests) == 3, "the second time it is known"
    assert caplog.text.count("takes no seed") == 1


def refusing(*names, param=False):
    """An answer that refuses one of these parameters at a time."""

    def answer(request):
        for name in names:
            if name in request:
                refused = fault(400, f"Unsupported parameter: '{name}' is not supported")
                if param:
                    refused.body = refused.body.replace('"param": null', f'"param": "{name}"')
                return refused
        return completion("good")

    return answer


@pytest.mark.parametrize("param", [True, False])
def test_parameters_that_a_model_does_not_take_are_left_out_one_at_a_time(
    chat_server, caplog, param
):
    chat_server.say(refusing("temperature", "seed", param=param))
    model = chat(chat_server)
    with caplog.at_level(logging.INFO, "chorus"):
        assert model.complete(ASK, seed=1, structured=True)["text"] == "good"
        assert model.complete(ASK, seed=2)["text"] == "good"
    left_out = [{"temperature", "seed"} - set(request) for request in chat_server.requests]
    assert left_out == [set(), {"temperature"}, {"temperature", "seed"}, {"temperature", "seed"}]
    assert caplog.text.count("takes no temperature") == caplog.text.count("takes no seed") == 1


def test_a_refusal_of_the_temperature_is_none_of_structured_output(chat_server):
    chat_server.say(refusing("temperature", "response_format"))
    with pytest.raises(StructuredRefused, match="response_format"):
        chat(chat_server).complete(ASK, seed=1, structured=True)
    assert "temperature" not in chat_server.requests[-1]


def test_text_in_chunks_is_joined_and_thoughts_are_left_out(chat_server):
    chunks = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "A kite."}]},
        {"type": "text", "text": "A person flies "},
        {"type": "text", "text": "a kite"},
        "loose",
        {"type": "image_url"},
    ]
    chat_server.say(completion(chunks))
    assert chat(chat_server).complete(ASK, seed=1)["text"] == "A person flies a kite"


@pytest.mark.parametrize(
    ("answer", "error", "parts"),
    [
        (fault(401, f"Incorrect API key provided: {KEY}."), Unavailable, ["401", "OPENAI_API_KEY"]),
        (fault(403, "Country not supported"), Unavailable, ["403", "another --model"]),
        (
            fault(404, "The model `tiny` does not exist", "model_not_found"),
            Unavailable,
            ["404", "--model", "--base_url", "/v1/models"],
        ),
        (Answer("404 page not found", 404, HTML), Unavailable, ["404 page not found", "/v1"]),
        (
            fault(429, "You exceeded your quota", "insufficient_quota", retry_after="0.01"),
            Unavailable,
            ["no credit left"],
        ),
        (
            fault(429, "Too many requests", retry_after="0.01"),
            RequestFailed,
            ["429", "after 1 more tries", "wait a minute"],
        ),
        (fault(500, "boom", retry_after="0.01"), RequestFailed, ["500 (boom)", "again later"]),
        (
            Answer("<html>Bad gateway</html>", 502, {**HTML, "retry-after": "0.01"}),
            RequestFailed,
            ["502", "server's"],
        ),
        (Answer("<html>Welcome</html>", 200, HTML), Unavailable, ["a web page", "--base_url"]),
        (Answer('{"choices": [', 200), Unavailable, ["no JSON object", "--base_url"]),
        (Answer("[1]", 200), Unavailable, ["no JSON object"]),
        (Answer('{"error": {"message": "upstream"}}'), RequestFailed, ["upstream"]),
    ],
)
def test_errors_say_what_to_check(chat_server, answer, error, parts):
    chat_server.say(answer)
    with pytest.raises(Unavailable) as raised:
        chat(chat_server).complete(ASK, seed=1)
    assert type(raised.value) is error
    said = str(raised.value)
    assert all(part in said for part in parts), said
    assert KEY not in said and raised.value.__cause__ is None
    assert said.endswith(".")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_tried_again_when_the_server_says(chat_server, status):
    busy = fault(status, "busy", retry_after="0.05")
    chat_server.say(busy, busy, "A person flies a kite")
    record = chat(chat_server, retries=2).complete(ASK, seed=1)
    assert record["text"] == "A person flies a kite" and len(chat_server.requests) == 3


def test_a_server_that_is_slow(chat_server):
    chat_server.say(Answer("{}", delay=0.5))
    with pytest.raises(RequestFailed, match=r"no answer within 0\.1 s.*--timeout"):
        chat(chat_server, retries=0, timeout=0.1).complete(ASK, seed=1)


def test_a_server_that_is_not_there(chat_server):
    url = chat_server.url
    model = chat(chat_server, retries=0)
    chat_server.close()
    with pytest.raises(Unavailable, match="refused; check that the server runs") as raised:
        model.complete(ASK, seed=1)
    assert url in str(raised.value) and not isinstance(raised.value, RequestFailed)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("{}"),
        Answer('{"choices": []}'),
        Answer('{"choices": null}'),
        Answer('{"choices": [{}]}'),
        Answer('{"choices": ["text"]}'),
        Answer('{"choices": [{"message": {"content": [1]}}], "model": 3}'),
        completion(None),
        completion(""),
    ],
)
def test_answers_without_text_are_empty_replies(chat_server, answer):
    chat_server.say(answer)
    reply = reply_of(chat(chat_server).complete(ASK, seed=1))
    assert (reply.text, reply.refused) == ("", False)


@pytest.mark.parametrize(
    "answer",
    [
        completion(None, refusal="I'm sorry, I can't."),
        completion("A person", "content_filter"),
        fault(400, "The prompt was filtered", "content_filter"),
    ],
)
def test_refusals(chat_server, answer):
    chat_server.say(answer)
    assert reply_of(chat(chat_server).complete(ASK, seed=1)).refused


def test_a_cut_off_reply(chat_server):
    chat_server.say(completion("A person flies a", "length"))
    assert reply_of(chat(chat_server).complete(ASK, seed=1)).truncated


def test_a_key_that_the_server_repeats_is_hidden(chat_server):
    chat_server.say(f"A person flies a kite with {KEY}")
    assert chat(chat_server).complete(ASK, seed=1)["text"] == "A person flies a kite with [key]"


def test_servers_of_ones_own_need_no_key(chat_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    chat_server.say("good")
    assert chat(chat_server).complete(ASK, seed=1)["text"] == "good"
    with pytest.raises(Unavailable, match=r"OpenAI API needs a key to ask 'tiny'.*\.env"):
        ChatModel(ChatSettings("tiny"))


def test_the_address_comes_from_the_environment(chat_server, monkeypatch):
    assert ChatSettings("tiny").base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url)
    assert ChatSettings("tiny").base_url == chat_server.url
    assert ChatSettings("tiny", "http://a:secret@b/v1/").address == "http://b/v1"


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", "http://", "http://host:x/v1", "http://[::1/v1"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(BadInput, match="is no address"):
        ChatSettings("tiny", url)


def test_an_address_that_is_too_long():
    with pytest.raises(BadInput, match="leave out what follows /v1"):
        ChatSettings("tiny", "http://host/v1/chat/completions")


def test_without_the_package(chat_server, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(Unavailable, match=r"pip install .*\.\[generation\]"):
        chat(chat_server)
