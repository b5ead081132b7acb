"""`chorus prompts`: categories → prompt files (method.md 1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError
from chorus.generation import language_model
from chorus.generation.openai_client import (
    ChatModel,
    ChatSettings,
    RequestFailed,
    StructuredRefused,
    reply_of,
)
from chorus.generation.prompts import (
    existing_prompt_file,
    prompt_file,
    read_prompts,
    template_prompts,
    write_prompts,
)
from chorus.generation.replies import Replies, replies_file
from chorus.generation.templates import sentences
from chorus.settings import CategoryOptions, ProfileOptions, RedoOptions, SeedOptions
from chorus.vocabulary import resolve_category, strip_demo

log = logging.getLogger(__name__)

PAPER_MODEL = "gpt-3.5-turbo"  # method.md 1; it knows no structured output

Provider = Literal["synthetic", "template", "openai"]


@dataclass(frozen=True)
class Options(SeedOptions, RedoOptions, ProfileOptions, CategoryOptions):
    """Write a prompt file, <save_dir>/<category>.txt, for every category."""

    save_dir: Path = Path("prompts/demo")
    """Folder of the prompt files."""
    provider: Provider | None = None
    """Where prompts come from: the interactions of the synthetic world, a table of verbs
    (template), or a language model behind OpenAI's chat protocol (openai); the profile's if left
    out."""
    num_prompts: int | None = None
    """Prompts for a category. Left out, a language model is asked for 3 to 20, drawn by the seed,
    and the other providers give all they have."""
    model: str | None = None
    """The language model; gpt-3.5-turbo if left out, except in profile modern, which has none."""
    base_url: str = ""
    """Address of a server that speaks OpenAI's protocol, http://localhost:8000/v1 for instance;
    the variable OPENAI_BASE_URL, then OpenAI itself, if left out."""
    temperature: float = 1.0
    """Sampling temperature of the language model."""
    timeout: float = 120.0
    """Seconds to wait for one reply of the language model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_prompts is not None and self.num_prompts < 1:
            raise BadInput(f"--num_prompts must be at least 1, found {self.num_prompts}.")
        if not 0 <= self.temperature <= 2:
            raise BadInput(f"--temperature must be between 0 and 2, found {self.temperature}.")
        if not 0 < self.timeout < float("inf"):
            raise BadInput(f"--timeout must be more than 0 seconds, found {self.timeout}.")

    @property
    def source(self) -> str:
        """The provider to use."""
        return self.provider or self.models.prompts


@dataclass(frozen=True)
class ProvidedPrompts:
    """Prompts for a category; what is wrong with them; the error after which to ask no more."""

    prompts: list[str]
    problem: str = ""
    end: ChorusError | None = None


class LanguageModel:
    """Prompts by a chat model, with the replies kept beside the prompt files."""

    def __init__(self, options: Options):
        if options.model is None and options.profile == "modern":
            raise BadInput(
                "profile 'modern' asks any language model: name one with --model, and with "
                "--base_url the server that has it if that is not OpenAI."
            )
        model = options.model or PAPER_MODEL
        self._options = options
        self._settings = ChatSettings(model, options.base_url, options.temperature, options.timeout)
        self._structured = options.profile != "paper" and model != PAPER_MODEL
        self._chat: ChatModel | None = None

    def __call__(self, category: str) -> ProvidedPrompts:
        """Ask for a category's prompts, or take them from the kept replies of the same request."""
        noun = resolve_category(category, "open").label
        task = language_model.draw_task(noun, self._options.seed, self._options.num_prompts)
        replies = Replies(
            replies_file(self._options.save_dir, category), forget=self._options.fresh
        )
        answer = self._ask(task, replies)
        if isinstance(answer.failure, StructuredRefused):
            log.info("%s Asking for plain lines instead.", answer.failure)
            self._structured = False
            answer = self._ask(task, replies)
        for reason, count in answer.dropped.items():
            log.info("%s: dropped %d x %s", category, count, reason)
        end = answer.failure if not isinstance(answer.failure, RequestFailed) else None
        if shortfall := language_model.shortfall(task, answer):
            shortfall = f"{category}: {shortfall}"
        return ProvidedPrompts(answer.prompts, shortfall, end)

    def _ask(self, task: language_model.Task, replies: Replies) -> language_model.Answer:
        number = 0

        def reply(messages: list[language_model.Message]) -> language_model.Reply:
            nonlocal number
            # Another seed for every try: the same one would bring the same refusal again.
            request = {
                "server": self._settings.address,
                "model": self._settings.model,
                "temperature": self._settings.temperature,
                "seed": self._options.seed + number,
                "structured": self._structured,
                "messages": messages,
            }
            number += 1
            record = replies.find(request)
            kept = record is not None
            if record is None:
                record = self._complete(request)
                replies.add(request, record)
            if refusal := record.get("structured_refused"):
                raise StructuredRefused(refusal)
            return replace(reply_of(record), kept=kept)

        return language_model.ask(task, reply, structured=self._structured)

    def _complete(self, request: dict) -> dict:
        """Send a request; a refusal of structured output is a record too, as a rerun needs it."""
        if self._chat is None:
            self._chat = ChatModel(self._settings)
        try:
            return self._chat.complete(request["messages"], request["seed"], request["structured"])
        except StructuredRefused as error:
            return {"structured_refused": str(error)}


def _provider(options: Options) -> Callable[[str], ProvidedPrompts]:
    """A function from a category to its prompts."""
    if options.source == "openai":
        return LanguageModel(options)
    if options.source == "template":
        known = sentences
    else:
        from chorus.synthetic.world.interactions import known_prompts as known

    def offer(category: str) -> ProvidedPrompts:
        noun = strip_demo(category)
        if options.source == "template":
            noun = resolve_category(category, "open").label
        return ProvidedPrompts(template_prompts(noun, known(noun), options.num_prompts))

    return offer


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Write the missing prompt files; an existing file is kept unless --overwrite is given.

    A category that fails leaves the others alone; what is good of its prompts is written.
    """
    if not options.categories:
        raise BadInput("prompts needs --categories, for instance --categories surfboard.")
    categories = list(dict.fromkeys(options.categories))
    files = {category: existing_prompt_file(options.save_dir, category) for category in categories}
    asked_for = [category for category in categories if options.fresh or files[category] is None]
    provider = _provider(options) if asked_for else None
    written = kept = 0
    problems: list[str] = []
    with progress_bar(progress, len(categories), "prompts", "category") as advance:
        for number, category in enumerate(categories, start=1):
            advance(1)
            path = prompt_file(options.save_dir, category)
            try:
                if category not in asked_for:
                    read_prompts(files[category])  # a malformed file shall be heard of now
                    kept += 1
                    continue
                provided = provider(category)
            except BadInput as error:
                if len(categories) == 1:
                    raise
                problems.append(str(error))
                continue
            if provided.prompts:
                write_prompts(path, provided.prompts)
                written += 1
            elif provided.end and not (written or kept or problems):
                raise provided.end
            if provided.problem:
                kept_what = f" The good ones are in {path}; --overwrite asks anew."
                problems.append(provided.problem + (kept_what if provided.prompts else ""))
            if provided.end:
                if left := categories[number:]:
                    problems.append(f"not asked for any more: {', '.join(left)}.")
                break
    already = f", {kept} already there" if kept else ""
    line = f"prompts: {written} files written{already} → {options.save_dir}"
    return CommandResult(line, problems, ok=not problems)
