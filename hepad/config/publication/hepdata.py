"""A submission to HEPData, written by hepdata_lib and validated by hepdata-validator."""

import shutil
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path

import hepdata_lib
from PIL import Image

from hepad.config.publication.tables import Column, Table, of_name
from hepad.figures.content import Axis
from hepad.figures.style import palette_png, read_picture

MISSING = "-"
THUMBNAIL = (240, 179)  # pixels at most, as HEPData's own
LONGEST = 60  # of a table's name; HEPData takes 64


def write(
    folder: Path, tables: Iterable[Table], results: Path, comment: str, links: dict[str, str], citation: Path
) -> int:
    """Write ``hepdata/`` and ``submission.tar.gz`` into a folder; the number of tables.

    Parameters
    ----------
    results: folder of the run, with the pictures
    comment: of the whole submission
    links: what is at each address
    citation: a file that goes along

    Raises
    ------
    InputError: a picture is damaged
    AssertionError: the validator does not take what was written
    """
    submission, place = hepdata_lib.Submission(), folder / "hepdata"
    submission.comment = comment
    submission.add_additional_resource("How to cite", str(citation.resolve()), copy_file=True)
    for address, description in links.items():
        submission.add_link(description, address)
    place.mkdir(parents=True)
    names, files, pictures = set(), set(), {}
    for table in tables:
        made = hepdata_lib.Table(_unique(of_name(table.name), names))
        made.description, made.location = table.description, f"results/{table.file}"[:256]
        energies = [value for axis, value in table.of.items() if axis.name == "SQRT(S)"]
        made.keywords = {"cmenergies": energies} if energies else {}
        for column in table.keys:
            made.add_variable(_variable(column))
        for column in table.values:
            made.add_variable(_variable(column, table.of))
        if table.picture:
            if table.picture not in pictures:
                name = of_name(table.picture.removeprefix("figures/").removesuffix(".png")).replace(" ", "_")
                pictures[table.picture] = _picture(results / table.picture, place, _unique(name, files))
            for description, name in (("Image file", ""), ("Thumbnail image file", "thumb_")):
                made.add_additional_resource(description, f"{name}{pictures[table.picture]}.png")
        submission.add_table(made)
    with chdir(folder):  # where hepdata_lib writes the archive
        submission.create_files("hepdata", validate=True)
    return len(submission.tables)


def _variable(column: Column, of: dict[Axis, str | float] | None = None) -> hepdata_lib.Variable:
    """An independent variable; with ``of``, a dependent one and what it is of."""
    values = [MISSING if value is None else value for value in column.values]
    binned = bool(values) and isinstance(values[0], tuple)
    made = hepdata_lib.Variable(
        column.axis.name or "value", is_independent=of is None, is_binned=binned, units=column.axis.unit, values=values,
        zero_uncertainties_warning=False,
    )  # fmt: skip
    made.digits = 17  # they are rounded already
    if of is not None:
        for axis, value in of.items():
            made.add_qualifier(axis.name, value, axis.unit)
        for name, value in column.of.items():
            made.add_qualifier(name, value)
    if column.errors:
        errors = hepdata_lib.Uncertainty(column.interval, is_symmetric=False)
        errors.values = [(0.0, 0.0) if of_row is None else of_row for of_row in column.errors]
        made.add_uncertainty(errors)
    return made


def _picture(path: Path, folder: Path, name: str) -> str:
    """Copy a PNG and make its thumbnail; its name in the folder, without its ending."""
    shutil.copyfile(path, folder / f"{name}.png")
    small = read_picture(path)
    small.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    (folder / f"thumb_{name}.png").write_bytes(palette_png(small, 256))
    return name


def _unique(name: str, taken: set[str]) -> str:
    """A name that no other has, in small letters as files have it; too long a one is cut."""
    found, i = name[:LONGEST], 1
    while found.lower() in taken:
        i += 1
        found = f"{name[: LONGEST - len(str(i)) - 1].rstrip()} {i}"
    taken.add(found.lower())
    return found
