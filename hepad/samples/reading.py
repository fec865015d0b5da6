"""Files to events in one call, for a notebook."""

from pathlib import Path

from hepad.errors import InputError
from hepad.events import Events
from hepad.samples import sources


def read(
    files: str | Path | list[str | Path],
    selection: dict | str = "any",
    split: tuple[float, float, float] = (0.6, 0.1, 0.3),
    reader: str | None = None,
    **options,
) -> Events:
    """Read the jets of files into memory, with the reader found by looking at them.

    Parameters
    ----------
    files: path, pattern or address (root://...), or a list of them; together they are one sample
    selection: of the probe jets, {"pt": [low, high], "abs_eta": x} in GeV, or "any". A detector that is fitted on the
        events remembers it, and warns when it is to score others
    split: fractions of train, valid and test, for ``Events.of_split``; a split that the files have wins
    reader: name of the reader, e.g. "NanoAOD"; None to look at the files
    options: of the reader, e.g. ``tree``, ``branches``, ``units``; ``tolerance`` and ``unit_weights`` of all

    Returns
    -------
    The (N,) events that pass, GeV and radians, see :class:`hepad.events.Events`; ``meta["counts"]`` says for every file
    what was refused and why

    Raises
    ------
    InputError: no such file, no reader for it, a damaged file, or nothing passes

    Examples
    --------
    >>> events = hepad.read("qcd.root", selection={"pt": [550, 650], "abs_eta": 2.0})
    >>> events.jet.shape, events.of_split("test").met.shape
    ((400, 4), (115, 2))
    """
    paths = [str(path) for path in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise InputError("read: the list of files is empty. Give at least one path.")
    source = {"files": paths, **({"reader": reader} if reader else {}), **options}
    return sources.read(source, name=Path(paths[0]).stem, selection=selection, split=split)
