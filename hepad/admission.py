"""The user's files before any job: a first read of each sample, and how many entries each file has.

A stamp, ``results/admitted/<sample>.json``, spares what was seen before: it holds while the files' sizes and times,
those of the menus' tables, and the configuration are the same.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from hepad import configuration, io, samples

FOLDER = Path("results/admitted")


def facts_of(source: dict) -> dict[str, list[int] | None]:
    """{path: [size, time of last change]} of a source's files, None for those that are read over the network."""
    return _stats(samples.find_files(source["files"]))


def known_entries(config: dict) -> dict[str, dict[str, int]]:
    """Sample -> {path: entries} of the samples whose stamp holds."""
    found = {}
    for name in configuration.used_samples(config):
        stamp = FOLDER / f"{name}.json"
        if "files" in config["samples"][name]["source"] and stamp.is_file():
            seen = io.read_json(stamp)
            if {**seen, "entries": None} == _stamp(config, name, None):
                found[name] = seen["entries"]
    return found


def admit(config: dict, entries: dict[str, dict[str, int]], known: dict[str, dict[str, int]]) -> None:
    """Read the beginning of every sample of files that is not ``known``, and stamp it with its ``entries``.

    Raises
    ------
    InputError: a task cannot use it
    OSError: results cannot be written
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:  # here and not in the middle of a run
        with tempfile.NamedTemporaryFile(dir=FOLDER.parent, prefix=".", suffix=".partial"):
            pass
    except OSError as error:
        error.filename = str(FOLDER.parent)
        raise
    for name, of_files in entries.items():
        if name not in known:
            configuration.admit(config, name)
            io.write_json(FOLDER / f"{name}.json", _stamp(config, name, of_files))


def _stamp(config: dict, name: str, entries: dict[str, int] | None) -> dict:
    tables = {(entry.get("menu") or {}).get("table") for entry in config["samples"].values()}
    facts = facts_of(config["samples"][name]["source"]) | _stats(filter(None, tables))
    return {"files": facts, "configuration": config, "entries": entries}


def _stats(paths: Iterable[str]) -> dict[str, list[int] | None]:
    stats = {path: None if "://" in path else Path(path).stat() for path in paths}
    return {path: found and [found.st_size, found.st_mtime_ns] for path, found in stats.items()}
