"""`chorus prompts` as a user runs it, with each provider."""

from __future__ import annotations

import json

import pytest
from chat_server import KEY, Answer, completion, fault

from chorus.cli import main
from chorus.generation import openai_client
from chorus.generation.prompts import read_prompts
from chorus.synthetic.world.interactions import known_prompts

VERBS = ("flies", "holds", "folds", "throws", "drops", "carries")


def lines(noun: str, count: int) -> list[str]:
    return [f"A person {verb} a {noun}" for verb in VERBS[:count]]


def numbered(noun: str, count: int) -> str:
    return "\n".join(f"{n}. {line}." for n, line in enumerate(lines(noun, count), 1))


def run(folder, *words: str) -> int:
    return main(["prompts", "--save_dir", str(folder), *words])


@pytest.fixture
def ask(chat_server, tmp_path, monkeypatch):
    """Run the stage with the chat server in profile paper; extra words follow."""
    monkeypatch.setattr(openai_client, "MAX_RETRIES", 0)

    def ask(*words: str, profile="paper") -> int:
        server = ("--profile", profile, "--base_url", chat_server.url)
        return run(tmp_path / "mine", *server, "--num_prompts", "4", *words)

    return ask


def everything_written(tmp_path) -> str:
    return "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_paper_asks_gpt_35_for_plain_lines(chat_server, ask, tmp_path, capsys):
    chat_server.say(numbered("kite", 4))
    assert ask("--categories", "kite") == 0
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 4)
    (request,) = chat_server.requests
    assert (request["model"], request["temperature"], request["seed"]) == ("gpt-3.5-turbo", 1, 42)
    assert "response_format" not in request
    assert "1 files written" in capsys.readouterr().out


def test_modern_asks_for_structured_output(chat_server, ask, tmp_path):
    chat_server.say(json.dumps({"prompts": lines("kite", 4)}))
    assert ask("--categories", "kite", "--model", "tiny", profile="modern") == 0
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 4)
    assert chat_server.requests[0]["response_format"]["type"] == "json_schema"


def test_modern_needs_a_model(ask, capsys):
    assert ask("--categories", "kite", profile="modern") == 2
    assert "name one with --model" in capsys.readouterr().err


def test_plain_lines_where_structured_output_is_refused(chat_server, ask, tmp_path, caplog):
    def answer(request):
        if "response_format" in request:
            return fault(400, "response_format is not supported")
        assert "JSON" not in request["messages"][0]["content"]
        noun = "kite" if "'kite'" in request["messages"][0]["content"] else "mug"
        return completion(numbered(noun, 4))

    chat_server.say(answer)
    words = ("--categories", "kite", "mug", "--model", "tiny", "--seed", "7")
    assert ask(*words, profile="modern") == 0
    assert read_prompts(tmp_path / "mine/mug.txt") == lines("mug", 4)
    assert len(chat_server.requests) == 3, "the second category knows what the first one learned"
    assert caplog.text.count("Asking for plain lines instead") == 1
    written = (tmp_path / "mine/kite.txt").read_bytes()
    (tmp_path / "mine/kite.txt").unlink()
    chat_server.requests.clear()
    assert ask("--categories", "kite", "--model", "tiny", "--seed", "7", profile="modern") == 0
    assert chat_server.requests == [] and (tmp_path / "mine/kite.txt").read_bytes() == written


def test_a_rerun_of_the_same_request_takes_the_kept_replies(
    chat_server, ask, tmp_path, monkeypatch
):
    chat_server.say("I'm sorry, I can't.", numbered("kite", 4))
    assert ask("--categories", "kite") == 0
    assert [request["seed"] for request in chat_server.requests] == [42, 43]
    kept = json.loads((tmp_path / "mine/.replies/kite.json").read_text())
    assert [pair["reply"]["text"] for pair in kept["pairs"]] == [
        "I'm sorry, I can't.",
        numbered("kite", 4),
    ]
    assert kept["pairs"][0]["reply"]["model"] == "tiny-0125"
    assert kept["pairs"][0]["reply"]["system_fingerprint"] == "fp_tiny"
    (tmp_path / "mine/kite.txt").unlink()
    monkeypatch.delenv("OPENAI_API_KEY")
    chat_server.say(fault(500, "must not be asked"))
    assert ask("--categories", "kite") == 0 and chat_server.requests == []
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 4)
    chat_server.say("\n".join(reversed(lines("kite", 4))))
    assert ask("--categories", "kite", "--overwrite") == 0 and len(chat_server.requests) == 1
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 4)[::-1]
    (tmp_path / "mine/kite.txt").unlink()
    assert ask("--categories", "kite", "--seed", "1") == 0
    assert len(chat_server.requests) == 2, "another seed is another request"


def test_an_existing_file_is_kept(chat_server, ask, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kite.txt").write_text("A person eats a kite\n")
    assert ask("--categories", "kite") == 0
    assert chat_server.requests == [] and "1 already there" in capsys.readouterr().out


def test_one_failing_category_does_not_stop_the_others(chat_server, ask, tmp_path, capsys):
    def answer(request):
        text = request["messages"][0]["content"]
        if "'mug'" in text:
            return fault(503, "busy")
        return completion(numbered("kite" if "'kite'" in text else "hoop", 4))

    chat_server.say(answer)
    assert ask("--categories", "kite", "mug", "person", "hoop") == 1
    said = capsys.readouterr()
    assert "2 files written" in said.out
    assert "mug: 0 of 4 prompts" in said.err and "503 (busy)" in said.err
    assert "'person' is not an object" in said.err
    assert sorted(path.name for path in (tmp_path / "mine").glob("*.txt")) == [
        "hoop.txt",
        "kite.txt",
    ]


def test_what_would_meet_every_request_ends_the_asking(chat_server, ask, tmp_path, capsys):
    def answer(request):
        if "'kite'" in request["messages"][0]["content"]:
            return completion(numbered("kite", 4))
        return fault(401, "key revoked")

    chat_server.say(answer)
    assert ask("--categories", "kite", "mug", "hoop", "bat") == 1
    said = capsys.readouterr()
    assert "1 files written" in said.out and "key revoked" in said.err
    assert "not asked for any more: hoop, bat" in said.err
    assert len(chat_server.requests) == 2
    assert ask("--categories", "mug", "hoop") == 2
    assert capsys.readouterr().err.startswith("error: the server at")


def test_too_few_prompts_are_kept_and_told(chat_server, ask, tmp_path, capsys):
    chat_server.say(numbered("kite", 2))
    assert ask("--categories", "kite") == 1
    said = capsys.readouterr()
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 2)
    assert "kite: 2 of 4 prompts after asking 6 times" in said.err and "--overwrite" in said.err
    assert "1 files written" in said.out


def test_no_prompt_at_all_leaves_no_file_and_a_rerun_asks_again(chat_server, ask, tmp_path, capsys):
    chat_server.say("I'm sorry, but I can't help with that.")
    assert ask("--categories", "kite") == 1
    assert "6 refusals" in capsys.readouterr().err
    assert not (tmp_path / "mine/kite.txt").exists()
    chat_server.say(numbered("kite", 4))
    assert ask("--categories", "kite") == 0
    assert len(chat_server.requests) == 1 and chat_server.requests[0]["seed"] == 48
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 4)


def test_what_was_good_before_an_error_is_written(chat_server, ask, tmp_path, capsys):
    chat_server.say(numbered("kite", 3), fault(404, "unloaded"))
    assert ask("--categories", "kite", "mug") == 1
    said = capsys.readouterr()
    assert read_prompts(tmp_path / "mine/kite.txt") == lines("kite", 3)
    assert "kite: 3 of 4" in said.err and "404 (unloaded)" in said.err


def test_m_is_drawn_by_the_seed(chat_server, tmp_path):
    def answer(request):
        wanted = int(request["messages"][0]["content"].split("at most ")[1].split()[0])
        return completion("\n".join(f"A person lifts kite number {n} up" for n in range(wanted)))

    counts = []
    for seed in ("1", "1", "2", "3"):
        chat_server.say(answer)
        words = ("--provider", "openai", "--base_url", chat_server.url, "--seed", seed)
        assert run(tmp_path / f"{len(counts)}", *words, "--categories", "kite") == 0
        counts.append(len(read_prompts(tmp_path / f"{len(counts)}/kite.txt")))
    assert counts[0] == counts[1] and len(set(counts)) > 1
    assert all(3 <= count <= 20 for count in counts)


@pytest.mark.parametrize("where", ["environment", ".env"])
@pytest.mark.parametrize(
    "answer",
    [
        completion(f"{numbered('kite', 3)}\nA person eats a kite {KEY}"),
        fault(401, f"Incorrect API key provided: {KEY}"),
        fault(400, f"cannot read header Authorization: Bearer {KEY}"),
        Answer(f"<html>{KEY}</html>", 200, {"content-type": "text/html"}),
        Answer(json.dumps({"error": {"echo": KEY}})),
    ],
)
def test_the_key_is_neither_shown_nor_written(
    chat_server, ask, tmp_path, capsys, caplog, monkeypatch, where, answer
):
    if where == ".env":
        monkeypatch.delenv("OPENAI_API_KEY")
        (tmp_path / "work/.env").write_text(f'OPENAI_API_KEY="{KEY}"  # mine\n')
    caplog.set_level(0)
    chat_server.say(answer)
    ask("--categories", "kite")
    assert chat_server.authorisations[0] == f"Bearer {KEY}", "the key was used"
    (tmp_path / "work/.env").unlink(missing_ok=True)
    said = capsys.readouterr()
    assert "[key]" in said.err + everything_written(tmp_path)
    for place in (said.out, said.err, caplog.text, everything_written(tmp_path)):
        assert KEY not in place


def test_broken_kept_replies_are_named(chat_server, ask, tmp_path, capsys):
    folder = tmp_path / "mine/.replies"
    folder.mkdir(parents=True)
    chat_server.say(numbered("kite", 4))
    for content in (
        "{",
        "[]",
        '{"version": 9, "pairs": []}',
        '{"version": 1, "pairs": [1]}',
        '{"version": 1, "pairs": [{"request": {}, "reply": {"text": "a"}}]}',
        '{"version": 1, "pairs": [{"request": {}, "reply": {"structured_refused": 1}}]}',
    ):
        (folder / "kite.json").write_text(content)
        assert ask("--categories", "kite") == 2
        said = capsys.readouterr().err
        assert "kite.json" in said and "--overwrite" in said
    assert ask("--categories", "kite", "--overwrite") == 0


def test_template_needs_no_network_and_takes_any_noun(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = ("--provider", "template", "--categories")
    assert run(tmp_path, *words, "surfboard-demo", "ocarina", "skis") == 0
    assert read_prompts(tmp_path / "ocarina.txt")[0] == "A person holds an ocarina"
    assert "A person carries a surfboard" in read_prompts(tmp_path / "surfboard-demo.txt")
    assert "A person wears skis" not in read_prompts(tmp_path / "skis.txt")
    assert run(tmp_path, *words, "surfboard", "--num_prompts", "3") == 0
    assert len(read_prompts(tmp_path / "surfboard.txt")) == 3
    assert run(tmp_path, *words, "frisbee", "--num_prompts", "300") == 0
    assert "300 prompts asked for" in caplog.text


def test_synthetic_is_the_default(tmp_path, monkeypatch):
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    assert run(tmp_path, "--categories", "surfboard") == 0
    assert read_prompts(tmp_path / "surfboard.txt") == known_prompts("surfboard")


def test_without_a_key_the_environment_and_the_file_are_named(tmp_path, monkeypatch, capsys):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, "--profile", "paper", "--categories", "kite", "mug") == 2
    said = capsys.readouterr().err
    assert all(part in said for part in ("gpt-3.5-turbo", "OPENAI_API_KEY", ".env"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "needs --categories"),
        (("--categories", "kite", "--num_prompts", "0"), "--num_prompts must be at least 1"),
        (("--categories", "kite", "--temperature", "3"), "between 0 and 2"),
        (("--categories", "kite", "--timeout", "0"), "--timeout must be more"),
        (("--categories", "kite", "--provider", "openai", "--base_url", "x"), "is no address"),
        (("--categories", "person", "--provider", "template"), "not an object"),
        (("--categories", " ", "--provider", "template"), "is not a category"),
    ],
)
def test_bad_options_end_in_one_sentence(tmp_path, capsys, words, sentence):
    assert run(tmp_path, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and sentence in said
    assert list(tmp_path.iterdir()) == []
