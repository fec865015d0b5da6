"""The workflow that comes with the package: where its files are, and its configurations by name."""

from pathlib import Path

import hepad
from hepad.errors import InputError

PACKAGE = Path(hepad.__file__).parent
# in an installed package a copy that setup.py makes; in a clone the repository itself
FOLDERS = (PACKAGE / "shipped", PACKAGE.parent)
OWN = "hepad.yaml"  # what `hepad init` writes


def folder() -> Path:
    """The folder with Snakefile, workflow, config and profiles."""
    for found in FOLDERS:
        if (found / "Snakefile").is_file() and (found / "workflow").is_dir():
            return found
    raise InputError(f"{PACKAGE}: the workflow is missing in this installation. Install hepad again.")


def citation() -> str:
    """The citation file of hepad."""
    return (folder() / "CITATION.cff").read_text()


def captions() -> dict[str, str]:
    """What the report says of each table, by its name."""
    pages = (folder() / "workflow" / "report").glob("*.rst")
    return {path.stem.removesuffix("_table"): " ".join(path.read_text().split()) for path in pages}


def configurations() -> list[str]:
    """The names of those that are shipped."""
    return sorted(path.stem for path in (folder() / "config").glob("*.yaml"))


def configuration(given: str | None) -> Path:
    """The file of a configuration that is given by its path or by the name of a shipped one.

    None stands for ``hepad.yaml`` if the present folder has one, otherwise for the default analysis. InputError if
    there is neither such a file nor such a name.
    """
    if given is None:
        given = OWN if Path(OWN).is_file() else "config"
    if given in configurations() and not Path(given).is_file():
        return folder() / "config" / f"{given}.yaml"
    if not Path(given).is_file():
        names = ", ".join(configurations())
        raise InputError(f"--config {given}: there is no such file. Give the path of one, or one of these: {names}.")
    return Path(given)
