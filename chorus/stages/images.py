"""`chorus images`: prompts x augprompts → generated images (method.md 2)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.progress import Progress
from chorus.engine.table_stage import run_table_stage
from chorus.errors import BadInput, ChorusError, unknown_name
from chorus.files import atomic_write
from chorus.generation.augprompts import AugpromptTable, full_text, read_augprompts
from chorus.generation.diffusion_settings import DiffusionSettings
from chorus.generation.image_files import SUFFIXES, ImageFormat, encode
from chorus.generation.prompts import find_prompt_file, prompt_categories, read_prompts
from chorus.pipeline import step
from chorus.records.keys import TOTAL, ShardKey, sample_seed
from chorus.records.results_tree import ResultsTree
from chorus.records.schemas import SCHEMAS
from chorus.settings import (
    BodyOptions,
    DeviceOptions,
    ImageTreeOptions,
    SampleOptions,
    SeedOptions,
    TableOptions,
    WorldOptions,
    resolve_device,
)
from chorus.synthetic.world.scene_settings import WORLDS
from chorus.vocabulary import strip_demo

if TYPE_CHECKING:
    from chorus.generation.protocols import GeneratedImage, ImageModel, ImageRequest

_ENCODING_THREADS = 2


@dataclass(frozen=True)
class Options(
    SeedOptions,
    DeviceOptions,
    BodyOptions,
    WorldOptions,
    TableOptions,
    ImageTreeOptions,
    SampleOptions,
):
    """Generate images for every prompt and augprompt of the categories."""

    num_batch_per_augprompt: int = 20
    """Batches of images for each prompt and augprompt."""
    batch_size: int = 6
    """Images in a batch."""
    prompt_dir: Path = Path("prompts/demo")
    """Folder of the prompt files, <category>.txt."""
    save_dir: Path | None = None
    """Folder of the images if it shall not be <results_dir>/images; later stages then need
    --image_dir."""
    augprompts_path: Path | None = None
    """A file of augprompts instead of the 22 of the paper."""
    augprompts_not_to_use: tuple[str, ...] = ()
    """Augprompts to leave out, by name."""
    image_format: ImageFormat = "jpeg"
    """The files' format: jpeg and webp lose a little, png nothing."""
    image_model: str | None = None
    """NAME or NAME:SOURCE (chorus doctor lists them); the profile's if left out."""
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_batch_per_augprompt", "batch_size"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name} must be at least 1, found {getattr(self, name)}.")
        model = self.model("image_model")
        if self.world != "default" and not model.is_synthetic:
            raise BadInput(
                f"--world {self.world} is for the synthetic image model only, not for "
                f"{model.text}; leave it out, or take --profile synthetic."
            )

    @property
    def tree(self) -> ResultsTree:
        """The results tree, with the images where --save_dir says."""
        return ResultsTree(self.results_dir, self.save_dir or self.image_dir)


def load_image_model(options: Options) -> ImageModel:
    """The text-to-image model that the options choose."""
    model = options.model("image_model")
    if model.is_synthetic:
        from chorus.body.loading import load_body

        body = load_body(options.body, options.imports_dir)
        return model.load(
            options.imports_dir, options.device, body=body, settings=WORLDS[options.world]
        )
    device = resolve_device(options.device)
    return model.load(options.imports_dir, device, settings=options.diffusion)


class ImageWorker:
    """Generates images, writes their files and describes them."""

    def __init__(self, options: Options):
        self._tree = options.tree
        self._seed = options.seed
        self._format = options.image_format
        self._model_name = options.model("image_model").text
        self._model = load_image_model(options)
        self._threads = ThreadPoolExecutor(_ENCODING_THREADS, thread_name_prefix="encode")

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Generate and write one batch; files are encoded while the model goes on."""
        from chorus.generation.protocols import ImageRequest

        requests = [
            ImageRequest(
                s.key,
                full_text(s.key.prompt, s.key.augprompt),
                sample_seed(s.key, "image", self._seed),
            )
            for s in samples
        ]
        generated = zip(requests, self._model.generate(requests), strict=True)
        writing: list[Future[Outcome]] = []
        try:
            for pair in generated:
                writing.append(self._threads.submit(self._write, *pair))
        finally:
            wait(writing)  # the loop may try the same samples again
        return [written.result() for written in writing]

    def _write(self, request: ImageRequest, image: GeneratedImage) -> Outcome:
        if image.pixels is None:
            return Outcome(skipped=image.refused)
        about = {"prompt": request.text, "seed": request.seed, "model": self._model_name}
        content = encode(image.pixels, self._format, {**about, **image.sampling})
        for image_format, suffix in SUFFIXES.items():
            path = self._tree.image(request.key, suffix)
            if image_format == self._format:
                atomic_write(path, content)
                name = path.name
            else:
                path.unlink(missing_ok=True)  # of an earlier run that is overwritten
        height, width = image.pixels.shape[:2]
        values = {
            "file": name,
            "width": width,
            "height": height,
            "seed": request.seed,
            "text": request.text,
        }
        return Outcome(values, side=_truth_columns(image.truth))


def _truth_columns(truth: dict | None) -> dict | None:
    columns = SCHEMAS["synthetic_truth"].columns
    return None if truth is None else {name: truth[name] for name in columns}


def unusable_prompt(options: Options, category: str, prompt: str) -> str:
    """Why the image model cannot show a prompt, empty if it can."""
    if prompt == TOTAL:
        return f"{category}: a prompt may not be called {TOTAL!r}, which names the total's results."
    if options.model("image_model").is_synthetic:
        from chorus.synthetic.world.interactions import find_interaction

        try:
            find_interaction(strip_demo(category), prompt)
        except ChorusError as error:
            return f"{category}: {error}"
    return ""


def plan(options: Options) -> tuple[list[ShardKey], list[str], list[str]]:
    """The shards to fill, problems of categories left out, and notes on prompts left out."""
    if options.prompt_dir.exists() and not options.prompt_dir.is_dir():
        raise BadInput(
            f"--prompt_dir {options.prompt_dir} is not a folder; name the folder that holds the "
            "prompt files, <category>.txt."
        )
    categories = options.categories or prompt_categories(options.prompt_dir)
    if not categories:
        raise BadInput(
            f"no prompt files (*.txt) in {options.prompt_dir}; write some with "
            "scripts/generation/generate_prompts.py, or give --prompt_dir."
        )
    path = options.augprompts_path
    augprompts = read_augprompts(path) if path else AugpromptTable()
    augprompts = augprompts.without(options.augprompts_not_to_use)
    shards, problems, notes, known = [], [], [], set()
    for category in categories:
        try:
            for prompt in read_prompts(find_prompt_file(options.prompt_dir, category)):
                known.add(prompt)
                if options.prompts and prompt not in options.prompts:
                    continue
                if note := unusable_prompt(options, category, prompt):
                    notes.append(note)
                    continue
                shards += [
                    ShardKey(options.models.model_key, category, prompt, augprompt)
                    for augprompt in augprompts.of(category, prompt)
                ]
        except ChorusError as error:
            if len(categories) == 1:
                raise
            problems.append(str(error))
    notes = list(dict.fromkeys(notes))  # all prompts of a category may have the same
    if not problems:
        for prompt in options.prompts:
            if prompt not in known:
                raise unknown_name(f"prompt in {options.prompt_dir}:", prompt, known)
    if not shards:
        raise BadInput(" ".join(problems + notes))
    return shards, problems, notes


def settings_of(options: Options) -> dict[str, Any]:
    """What the table keeps of how its images were made."""
    model = options.model("image_model")
    if model.is_synthetic:
        own = {"body": options.body_name, **WORLDS[options.world].recorded()}
    else:
        own = {"diffusion": options.diffusion.of_the_image}
    return {
        **model.recorded(),
        "image_format": options.image_format,
        "seed": options.seed,
        **own,
    }


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Generate what is missing. Rerunning with more batches adds images to what exists."""
    model = options.model("image_model")
    model.check(options.imports_dir)
    shards, problems, notes = plan(options)
    stage = Stage(
        step("images"),
        side=model.is_synthetic,
        settings=settings_of(options),
        make_worker=functools.partial(ImageWorker, options),
        count=options.num_batch_per_augprompt * options.batch_size,
        batch_size=options.batch_size,
        processes=model.is_synthetic,
    )
    result = run_table_stage(stage, options, shards, progress)
    result.problems[:0] = problems + notes
    result.ok = result.ok and not problems
    return result
