"""The model that a run chooses for a step: NAME or NAME:SOURCE, from a profile or an option."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.errors import BadInput, unknown_name
from chorus.files import content_digest
from chorus.models.registry import MODELS, SYNTHETIC, Kind, Model


@dataclass(frozen=True)
class ModelChoice:
    """One chosen model; it need not be known until it is used."""

    kind: Kind
    text: str
    """NAME or NAME:SOURCE, as it was typed."""
    chosen_by: str = ""
    """The option that chose it, if that is not its kind's."""

    @property
    def name(self) -> str:
        """The model's name in the registry."""
        return self.text.partition(":")[0]

    @property
    def source(self) -> str:
        """What stands after the colon, or ""."""
        return self.text.partition(":")[2]

    @property
    def is_synthetic(self) -> bool:
        """Whether it is the synthetic world's."""
        return self.name == SYNTHETIC

    @property
    def entry(self) -> Model:
        """Its entry in the registry; BadInput if there is none."""
        known, option = MODELS[self.kind], f"--{self.chosen_by or self.kind}"
        if self.name not in known:
            raise unknown_name(option, self.name, known)
        model = known[self.name]
        if self.source and not model.source:
            raise BadInput(f"{option} {self.name} takes nothing after a colon.")
        return model

    def check(self, imports_dir: Path) -> None:
        """Raise at once if it is unknown (BadInput) or cannot be used (Unavailable).

        The synthetic world's needs nothing, and is not imported to say so.
        """
        module_name = self.entry.module
        if self.is_synthetic:
            return
        module = importlib.import_module(module_name)
        module.check(self.name, self.source, imports_dir)

    def load(self, imports_dir: Path, device: str, **more: Any) -> Any:
        """Its adapter, an object of its kind's protocol; `more` is what its `load` also takes."""
        module = importlib.import_module(self.entry.module)
        return module.load(self.name, self.source, imports_dir, device, **more)

    def recorded(self, further: Sequence[Path] = ()) -> dict[str, Any]:
        """What a table keeps of it: its name and, of weights in a file or folder of one's own, a
        digest, since they may be replaced under the same name.

        further: files of weights that it reads whatever its SOURCE is; their digests follow.
        """
        parts = [self.source] if Path(self.source).exists() else self.source.split("+")
        digests = [content_digest(Path(part)) for part in parts if part and Path(part).exists()]
        digests += [content_digest(path) for path in further]
        return {self.kind: self.text, **({f"{self.kind} weights": digests} if digests else {})}
