"""docs/demo.ipynb: what is stored of it, and a whole execution, some minutes on two cores."""

from __future__ import annotations

import base64
import io
import re
import runpy
import shutil
from pathlib import Path

import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="the extra dev is not installed")
pytest.importorskip("nbclient", reason="the extra dev is not installed")

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOK = REPOSITORY / "docs/demo.ipynb"
PICTURES = ("image/png", "image/jpeg")
INTERACTIVE = "orbit"  # the cell with the page, whose output is not stored


@pytest.fixture(scope="module")
def make_demo():
    """What docs/make_demo.py defines."""
    return runpy.run_path(str(REPOSITORY / "docs/make_demo.py"))


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def text(notebook):
    return "".join(output.get("text", "") for output in outputs(notebook))


def pictures(notebook):
    data = [output.get("data", {}) for output in outputs(notebook)]
    found = [each[kind] for each in data for kind in PICTURES if kind in each]
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in found]


def assert_tells(notebook):
    """The pieces that every execution must bring."""
    said = text(notebook)
    for line in (
        r"^chorus \d",
        r"^images: 88 done",
        r"^filter: 88 done .* rule 3 retains \d+ of 88$",
        r"^aggregate: 1 aggregations done",
        r"^run: prompts images .* view in",
        r"^Distribution\(category='surfboard-demo'",
        r"above the head 0\.00$",
        r"^sitting: likeliest at",
        r"^perceive: 1 persons, 1 with a body, in 1 of 1 photographs",
        r"^a pose of 24 joints",
    ):
        assert re.search(line, said, re.MULTILINE), line
    below = float(re.search(r"below the feet (0\.\d+)", said)[1])
    assert below > 0.5
    still, overlay = pictures(notebook)
    assert still.width > still.height > 500 and overlay.size == (512, 512)
    numbers = [cell.execution_count for cell in code(notebook)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_is_stored(notebook):
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 1_000_000
    assert_tells(notebook)
    for cell in code(notebook):
        assert bool(cell.outputs) == (cell.id not in (INTERACTIVE, "photograph")), cell.id


def test_it_does_not_tell_when_and_where_it_was_executed(notebook):
    kinds = {kind for output in outputs(notebook) for kind in output.get("data", {})}
    assert kinds <= set(PICTURES)
    assert all(out.output_type in ("stream", "execute_result") for out in outputs(notebook))
    assert all(output.get("name", "stdout") == "stdout" for output in outputs(notebook))
    assert not re.search(r"(?<![\w.$])/\w|[A-Z]:\\", text(notebook))
    assert "site-packages" not in NOTEBOOK.read_text(encoding="utf-8")
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in notebook.cells)


def test_storing_again_changes_nothing(notebook, make_demo):
    again = make_demo["stored"](nbformat.read(NOTEBOOK, as_version=4), Path("/elsewhere"))
    assert nbformat.writes(again) + "\n" == NOTEBOOK.read_text(encoding="utf-8")


def test_what_is_taken_out(make_demo):
    new = nbformat.v4
    cell = new.new_code_cell(
        outputs=[
            new.new_output("stream", name="stdout", text="done in 1.25 s → /a/b/images, in 3 s\n"),
            new.new_output("stream", name="stderr", text="WARNING\n"),
            new.new_output("execute_result", {"text/html": "<div>", "text/plain": "<HTML>"}),
            new.new_output("execute_result", {"image/png": "abc", "text/plain": "<Image>"}),
        ]
    )
    notebook = new.new_notebook(
        cells=[new.new_markdown_cell("in 2.5 s"), cell],
        metadata={"language_info": {"name": "python", "version": "3.11.9"}},
    )
    stored = make_demo["stored"](notebook, Path("/a/b"))
    said, warning, picture = stored.cells[1].outputs
    assert said.text == "done in … s → results_notebook/images, in … s\n"
    assert warning.text == "WARNING\n"
    assert picture.data == {"image/png": "abc"}
    assert stored.metadata.language_info == {"name": "python"}
    assert stored.cells[0].source == "in 2.5 s"


def test_its_links_lead_somewhere(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)\)", prose)
    assert links and all((NOTEBOOK.parent / link).is_file() for link in links)


@pytest.mark.slow
def test_it_runs_from_its_first_cell_to_its_last(
    make_demo, blazepose_imports, tmp_path, monkeypatch
):
    pytest.importorskip("ipykernel", reason="the extra dev is not installed")
    imports, results = tmp_path / "imports", tmp_path / "results"
    shutil.copytree(blazepose_imports / "blazepose", imports / "blazepose")
    if (REPOSITORY / "imports/free_body").is_dir():
        shutil.copytree(REPOSITORY / "imports/free_body", imports / "free_body")
    monkeypatch.setenv("CHORUS_IMPORTS", str(imports))
    executed = make_demo["execute"](results)
    assert_tells(executed)
    (page,) = (cell.outputs for cell in code(executed) if cell.id == INTERACTIVE)
    assert "<iframe srcdoc=" in page[0].data["text/html"]
