"""A folder with all that a run found, to hand on."""

import os
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import hepad
from hepad.config import plan
from hepad.config.publication import citation, figures, root_file, tables
from hepad.config.results import Results
from hepad.errors import InputError


def publish(results: Results, to: Path, source: str, captions: Mapping[str, str]) -> int:
    """Write a HEPData submission, ``hepad.root`` and ``CITATION.cff`` into the new folder ``to``; the number of tables.

    Parameters
    ----------
    source: the citation file of hepad
    captions: of tables by their names

    Raises
    ------
    InputError: hepdata_lib is not installed, the folder is there already, or the run is not finished
    """
    if not find_spec("hepdata_lib"):
        raise InputError("hepad publish needs the package hepdata_lib. Install it: pip install 'hepad[publish]'.")
    from hepad.config.publication import hepdata  # not installed everywhere

    if to.exists():
        raise InputError(f"--to {to}: it is there already. Give another folder, or remove it.")
    for path in (*results.missing, "auc.csv"):
        results.there(path)
    papers = citation.papers(results)
    cited = citation.text(source, papers)
    found = list(tables.of_run(results, captions))
    drawn = list(figures.of_run(results))
    found += [table for figure in drawn for table in figures.tables(figure)]
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as scratch:
        folder = Path(scratch) / "publication"
        folder.mkdir()
        (folder / "CITATION.cff").write_text(cited)
        comment = f"Made by hepad {hepad.__version__} from the configuration {plan.digest(results.config)}."
        count = hepdata.write(folder, found, results.folder, comment, papers, folder / "CITATION.cff")
        columns = {name: dict(results.table(name)) for name in results.tables}
        root_file.write(folder / "hepad.root", columns, drawn, cited)
        os.replace(folder, to)
    return count
