"""Executes demo.ipynb and stores it with its outputs, all but those that a page or a clock makes.

python docs/make_demo.py
"""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).with_name("demo.ipynb")
RESULTS = "results_notebook"  # the notebook's own name for where its results are
SECONDS = 1800  # for one cell, the installation included
PICTURES = ("image/png", "image/jpeg")


def main() -> None:
    """Execute it from nothing and write it back."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = stored(execute(Path(folder)), Path(folder))
    nbformat.write(notebook, NOTEBOOK)


def execute(results: Path) -> NotebookNode:
    """The notebook with its outputs, executed with its results in a folder; CellExecutionError at
    the first cell that fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    return client.execute(env={**os.environ, "CHORUS_RESULTS": str(results)})


def stored(notebook: NotebookNode, results: Path) -> NotebookNode:
    """The notebook with text and pictures alone, which do not tell when and where it was executed.

    Interactive outputs go, durations become "in … s", the folder of the results gets its usual
    name. What is written to stderr stays: it should not be there.
    """
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [out for out in cell.outputs if "text/html" not in out.get("data", {})]
            cell.outputs = [_plain(output, results) for output in outputs]
    return notebook


def _plain(output: NotebookNode, results: Path) -> NotebookNode:
    if output.output_type == "stream":
        text = output.text.replace(str(results), RESULTS)
        output.text = re.sub(r"\bin [\d.]+ s\b", "in … s", text)
    elif pictures := {kind: output.data[kind] for kind in PICTURES if kind in output.data}:
        output.data = pictures
    return output


if __name__ == "__main__":
    main()
