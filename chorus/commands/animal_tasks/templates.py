"""`chorus animals template`: a template of the free quadruped, of one's own mesh, or published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chorus.commands.animal_tasks.options import AnimalOptions
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput


@dataclass(frozen=True)
class TemplateTask(AnimalOptions):
    """Write a template: mesh, parts, hinges, mirror and keypoints in one .npz file."""

    out: Path | None = None
    """File to write; <root>/templates/<category>.npz if left out."""
    mesh: Path | None = None
    """A mesh of your own, with --description."""
    description: Path | None = None
    """JSON file of the mesh's parts and keypoints."""
    published: Path | None = None
    """Folder of a published template, with --part_file."""
    part_file: Path | None = None
    """The published list of which parts turn."""
    picture: Path | None = None
    """Also write a picture of all five free quadrupeds (.png)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for first, second in (("mesh", "description"), ("published", "part_file")):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise BadInput(f"--{first} and --{second} belong together; give both or neither.")
        if self.mesh and self.published:
            raise BadInput("give --mesh or --published, not both.")

    def run(self, progress: Progress = None) -> CommandResult:
        """Write the file, and the picture if it is asked for."""
        from chorus.animals.building import build_template
        from chorus.animals.free_quadruped import free_quadruped
        from chorus.animals.published_template import read_published_template
        from chorus.animals.template import save_template

        del progress  # some seconds
        if self.mesh:
            template = build_template(self.mesh, self.description)
        elif self.published:
            template = read_published_template(self.published, self.part_file)
        else:
            template = free_quadruped(self.category)
        out = self.out or self.root / "templates" / f"{self.category}.npz"
        save_template(template, out)
        if self.picture:
            self._write_picture(self.picture)
        count, faces = len(template.vertices), len(template.faces)
        line = f"template: {template.name}, {count} vertices, {faces} faces, parts "
        return CommandResult(f"{line}{', '.join(template.parts)} → {out}")

    def _write_picture(self, path: Path) -> None:
        from PIL import Image

        from chorus.animals.pasture.drawing import line_up
        from chorus.files import replacing

        if path.suffix != ".png":
            raise BadInput(f"--picture must be a .png file, found {path}.")
        with replacing(path) as temporary:
            Image.fromarray(line_up()).save(temporary)
