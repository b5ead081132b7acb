"""Prompts by a language model: what is asked, what of an answer counts, when to ask again.

See method.md 1.

Knows no network: a model is a callable from messages to a `Reply`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chorus.errors import BadInput, ChorusError
from chorus.generation.prompt_form import REFUSAL, fault
from chorus.generation.reply_parsing import parse_reply

FEWEST, MOST = 3, 20  # method.md 1: M is drawn uniformly from these unless it is given
MAX_TRIES = 6

Message = dict[str, str]  # "role" and "content", as chat servers take it

# method.md 1: the two variants of what the request says about the subject.
SUBJECTS = {
    "category": "The category of the subject is person.",
    "word": "The subject is the words 'A person'.",
}

# What a server that offers structured output is asked to answer with.
SCHEMA = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}}},
    "required": ["prompts"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Reply:
    """What a model answered: its text; whether it was refused; whether it was cut off.

    `kept` marks a reply of an earlier run, which does not use up a try.
    """

    text: str
    refused: bool = False
    truncated: bool = False
    kept: bool = False


@dataclass(frozen=True)
class Task:
    """Prompts to ask for: `count` of them about a noun; `subject` is a key of SUBJECTS."""

    noun: str
    count: int
    subject: str


@dataclass
class Answer:
    """What came of a task.

    prompts are the good sentences, at most as many as asked for; `tries` the replies and failures
    they took, kept replies included; `dropped` lines that did not count, by reason, those of mere
    refusals aside; `poor` replies that brought nothing new, by reason; `failure` the error that
    ended the asking, None if there was none.
    """

    prompts: list[str] = field(default_factory=list)
    tries: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    poor: Counter[str] = field(default_factory=Counter)
    failure: ChorusError | None = None


def draw_task(noun: str, seed: int, count: int | None = None) -> Task:
    """The task for a noun (method.md 1): M uniform from 3..20 unless given, one of the two
    subjects.

    Both draws depend on the seed and the noun alone. Raises BadInput for a count below 1.
    """
    if count is not None and count < 1:
        raise BadInput(f"the number of prompts is {count}; expected at least 1.")
    draw = random.Random(f"{seed}\0{noun}")
    drawn = draw.randint(FEWEST, MOST)
    return Task(noun, count or drawn, draw.choice(sorted(SUBJECTS)))


def request_messages(
    task: Task, known: Sequence[str] = (), structured: bool = False
) -> list[Message]:
    """The request for a task (method.md 1): for all of it, or for what is missing beside `known`.

    With `structured` the answer is asked for as JSON of SCHEMA, else as plain lines.
    """
    count = task.count - len(known)
    form = (
        'Answer with a JSON object {"prompts": [...]} that lists the sentences as strings.'
        if structured
        else "Write one sentence on each line and nothing else: no numbering, no introduction."
    )
    lines = [
        f"Write at most {count} simple prompts of the form subject, verb, object, in which the "
        f"object is '{task.noun}'.",
        SUBJECTS[task.subject],
        "Use diverse, general words, but never a pronoun as the subject.",
        "The sentences must agree with common sense.",
        f"The verb must be a physical interaction with the {task.noun}; prefer simple verbs.",
        f"Every sentence names the {task.noun}.",
        form,
    ]
    if known:
        lines.append("Repeat none of these: " + "; ".join(known) + ".")
    return [{"role": "user", "content": "\n".join(lines)}]


def ask(
    task: Task,
    reply: Callable[[list[Message]], Reply],
    tries: int = MAX_TRIES,
    structured: bool = False,
) -> Answer:
    """Ask until there are exactly `task.count` prompts (method.md 1), with at most `tries` new
    replies.

    The good sentences of every reply are kept and only the missing ones asked for again; what is
    more than asked for is cut. An error of `reply` ends the asking and is the answer's `failure`.
    `reply` gives each kept reply once at most, or this would not end.
    """
    answer = Answer()
    seen: set[str] = set()
    new_replies = 0
    while len(answer.prompts) < task.count and new_replies < tries:
        answer.tries += 1
        try:
            got = reply(request_messages(task, answer.prompts, structured))
        except ChorusError as error:
            answer.failure = error
            break
        new_replies += not got.kept
        good, dropped = _sift(got, task.noun, seen)
        answer.prompts += good
        kind = "" if good else _poor(got)
        if kind != "refusals":
            answer.dropped += dropped
        if kind:
            answer.poor[kind] += 1
    del answer.prompts[task.count :]
    return answer


def _sift(reply: Reply, noun: str, seen: set[str]) -> tuple[list[str], Counter[str]]:
    """The sentences of a reply that count and are not in `seen`, which takes them up; the others
    counted by what is wrong."""
    good: list[str] = []
    dropped: Counter[str] = Counter()
    for sentence in [] if reply.refused else parse_reply(reply.text, reply.truncated):
        key = re.sub(r"\W+", " ", sentence).strip().casefold()
        if reason := "repetitions" if key in seen else fault(sentence, noun):
            dropped[reason] += 1
        else:
            seen.add(key)
            good.append(sentence)
    return good, dropped


def _poor(reply: Reply) -> str:
    """What a reply without a new prompt was."""
    if reply.refused or REFUSAL.search(reply.text):
        return "refusals"
    return "replies without a usable sentence" if reply.text.strip() else "empty replies"


def shortfall(task: Task, answer: Answer) -> str:
    """A sentence on what is missing and why, empty if nothing is."""
    missing = task.count - len(answer.prompts)
    if not missing:
        return ""
    times = "once" if answer.tries == 1 else f"{answer.tries} times"
    reasons = [f"{count} {name}" for name, count in answer.poor.most_common()]
    if answer.dropped:
        lines = ", ".join(f"{count} {name}" for name, count in answer.dropped.most_common())
        reasons.append(f"lines dropped: {lines}")
    why = f" ({'; '.join(reasons)})" if reasons else ""
    summary = f"{len(answer.prompts)} of {task.count} prompts after asking {times}{why}"
    return f"{summary}; {answer.failure}" if answer.failure else f"{summary}."
