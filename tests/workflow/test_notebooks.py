"""Notebooks are stored as they ran: executed, without errors, without traces of the machine, small."""

import json
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# absolute paths of users, checkouts and scratch folders, on Linux, macOS and Windows
MACHINE = re.compile(r"(?<![\w.])/(?:tmp|work|root|home|Users|private|var|opt|usr|mnt)/|[A-Z]:\\\\")
LARGEST = 400_000  # bytes

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def problems(notebook: dict) -> list[str]:
    """What is wrong with the stored outputs of a notebook."""
    found = []
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"not executed once, from top to bottom: {counts}")
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"cell {number} ended in {output['ename']}")
            # pictures are base64, in which any letters may stand beside each other
            text = {key: value for key, value in output.get("data", output).items() if not key.startswith("image/")}
            if leak := MACHINE.search(json.dumps(text)):
                found.append(f"cell {number} shows a path of a machine: {leak[0]}")
    return found


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_stored_as_executed(path):
    assert problems(json.loads(path.read_text())) == []


@each_notebook
def test_portable_and_small(path):
    assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "python3"
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"execution_count": None}, "not executed"),
        ({"outputs": [{"output_type": "error", "ename": "ValueError"}]}, "ended in ValueError"),
        ({"outputs": [{"output_type": "stream", "text": ["in /home/someone/x.root"]}]}, "path of a machine"),
    ],
)
def test_damaged_notebook_is_noticed(change, message):
    cell = {"cell_type": "code", "execution_count": 1, "outputs": [], "source": ""}
    assert problems({"cells": [cell]}) == []
    assert message in problems({"cells": [cell | change]})[0]


def test_a_detector_beside_stored_scores_takes_ten_lines():
    notebook = json.loads((NOTEBOOKS[0].parent / "your_detector.ipynb").read_text())
    (drawn,) = (cell["source"] for cell in code_cells(notebook) if "hepad.open" in "".join(cell["source"]))
    assert len([line for line in drawn if line.strip()]) <= 10
    assert "legend" in drawn[-1]


@pytest.mark.slow
@each_notebook
def test_runs_afresh(path):
    pytest.importorskip("pythia8mc")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    assert problems(notebook) == []
