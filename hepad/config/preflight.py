"""Before any job: the configuration complete and checked, a look at every file, the first events of every sample.

A stamp, ``results/admitted/<sample>.json``, spares what was seen before: it holds while the files' sizes and times,
those of the menus' tables, and the configuration are the same.
"""

import inspect
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hepad import detectors, representations
from hepad.config import code_digest, declarations, specs, sweeps
from hepad.config.loading import cut_to_size, generated_jets, menu_tables, processes_of, sources_of, used_samples
from hepad.config.validation import check, check_split, parts_needed
from hepad.detectors.training import device
from hepad.errors import InputError, at
from hepad.events import SPLITS, Events
from hepad.figures import KINDS, registry
from hepad.samples import sources
from hepad.samples.formats.paths import find_files
from hepad.samples.readers.base import Found
from hepad.samples.simulation import cards
from hepad.samples.simulation.profile import Profile, check_reweighted, check_wide
from hepad.storage.files import read_json, write_json
from hepad.trigger import fixed_point

FOLDER = Path("results/admitted")
ADMITTED = 20_000
Entries = dict[str, dict[str, int]]  # process -> {path: entries} of a sample; the process '' of a sample of one


def make(config: dict, root: str | Path) -> dict:
    """Complete and check a configuration that the schema has passed.

    Parameters
    ----------
    config: with the schema's defaults
    root: of the repository, in which the cards are

    Returns
    -------
    config: with grids of detectors expanded and the sizes of jobs
    known: the samples whose files were admitted before
    entries: sample -> process -> {path: entries} of those with files; a sample of one process has the process ''
    device: where trainings run
    scripts: name -> digest of the code that it runs, the classes that the configuration names apart
    figures: kind -> its declaration, with a digest of the code that draws it
    detectors, representations: name -> what the workflow asks of its class, with a digest of the code

    Raises
    ------
    InputError: a name, a class, an argument, a phase space or a file does not fit
    """
    config = config | sweeps.expand(config)
    cut_to_size(config)
    check(config)
    if config["students"]:
        fixed_point.check(config)
    known = known_entries(config)
    return {
        "config": config,
        "known": known,
        "entries": check_inputs(config, root, known),
        "device": device.resolve(config["device"]),
        "scripts": {path.stem: code_digest.digest(path) for path in Path(root).glob("workflow/scripts/*.py")},
        "figures": {name: _figure(name, root) for name in KINDS},
        "detectors": {name: _detector(config, name) for name in config["detectors"]},
        "representations": {name: _representation(entry) for name, entry in config["representations"].items()},
    }


def _figure(name: str, root: str | Path) -> dict:
    declared = registry.kind(name)
    files = Path(root) / "workflow/scripts/figure.py", inspect.getsourcefile(declared.make)
    return declared.declared() | {"code": code_digest.digest(*files)}


def _detector(config: dict, name: str) -> dict:
    entry, spec = config["detectors"][name], specs.spec_of(config, name)
    cls = detectors.DETECTORS[entry["type"]]
    kinds = {
        "energy": detectors.EnergyDetector,
        "generating": detectors.Generating,
        "reconstructing": detectors.Reconstructing,
    }
    found = {kind: issubclass(cls, base) for kind, base in kinds.items()}
    return {
        "group": cls.group,
        "trained": cls.group == "detector" and not specs.members_of(entry),
        "score_name": cls.score_axis(entry),
        **found,
        "spec": spec,
        "before": specs.before(entry),
        "code": _code_of(spec, detectors.DETECTORS),
    }


def _representation(entry: dict) -> dict:
    built = representations.build(entry)
    return {
        "needs_constituents": built.needs_constituents,
        "image": _image(built),
        # the files of encoders are a part of what it does: another one makes anew whatever is made of it
        "code": "-".join([_code_of(entry, representations.REPRESENTATIONS), *built.space.encoders]),
        "encoders": list(built.space.encoders),
    }


def _image(representation) -> dict | None:
    """Pixels, window and power of the one image in a representation; None if there is none, or several."""
    if isinstance(representation, representations.JetImage):
        return {key: getattr(representation, key) for key in ("size", "eta_range", "phi_range", "power")}
    parts = representation.parts if isinstance(representation, representations.Joined) else ()
    images = [image for image in map(_image, parts) if image]
    return images[0] if len(images) == 1 else None


def _code_of(entry: dict, registry: dict[str, type]) -> str:
    """Digest of the code of all classes that an entry names, those of its parts included."""
    return code_digest.digest(*{inspect.getsourcefile(registry[name]) for name in _types(entry) if name in registry})


def _types(entry) -> Iterator[str]:
    if isinstance(entry, dict):
        yield from (value for key, value in entry.items() if key == "type" and isinstance(value, str))
    for value in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from _types(value)


def check_inputs(config: dict, root: str | Path, known: dict[str, Entries]) -> dict[str, Entries]:
    """A quick look at the card, or at the files, of every sample that a task uses; all that a dry run can tell of them.

    Samples whose entries are ``known`` are not looked at again. Returns sample -> process -> {path: entries} of those
    with files.
    """
    entries, found = dict(known), {}
    for name in [name for name in used_samples(config) if name not in known]:
        source = config["samples"][name]["source"]
        keys = zip(sources_of(config, name), processes_of(source).items(), strict=True)
        for where, (process, of_process) in keys:
            with at(where if process else f"samples.{name}"):
                if "card" in of_process:
                    _check_cards(where, of_process, root)
                    continue
                looks = _looked_at(config, name, of_process)
                seen = {path for of in entries.get(name, {}).values() for path in of}
                if twice := seen & set(looks):
                    raise InputError(f"{min(twice)}: another process has it, too. Take it out of one of them.")
            entries.setdefault(name, {})[process] = {path: look.entries for path, look in looks.items()}
            found.setdefault(name, {})[where] = list(looks.values())
    declarations.check_samples(config, root, found)
    return entries


def _check_cards(where: str, source: dict, root: str | Path) -> None:
    """InputError unless the cards and profiles of a generation are there, and go together."""
    for name in cards.files_of(source):
        cards.find(name, root)
    pileup, to = source.get("pileup") or source.get("zero_bias"), source.get("pileup_profile")
    of = pileup and _profile(pileup["mean"], "mean", root)
    if to is not None:
        with at(f"{where}.pileup_profile"):
            check_reweighted(pileup)
            check_wide(of, _profile(to, "it", root))


def _profile(entry, place: str, root: str | Path) -> Profile:
    return Profile.of(cards.find(entry, root) if isinstance(entry, str) else entry, place)


def _looked_at(config: dict, name: str, source: dict) -> dict[str, Found]:
    """What the files of a source of a sample offer; InputError if a task cannot use them."""
    looks = sources.check_files(source, name)
    for path in looks:
        if re.search(r"\{.*\}", path) and "://" not in path:
            raise InputError(f"{path}: to Snakemake braces are wildcards. Rename the file, or make a link to it.")
    present = frozenset.intersection(*(look.given for look in looks.values()))
    _check_present(config, name, {"name": name, "present": present})
    if not all(look.official_split for look in looks.values()):
        check_split(config, name)
    return looks


def admit_sample(config: dict, name: str) -> None:
    """Read the first events of one sample, and raise InputError unless every task that names it can use it.

    Files of more than ``ADMITTED`` events are read to their end by the jobs that they are for; of a sample that is
    split in the order of time as much is read as shows every part.
    """
    entry = config["samples"][name]
    in_time, needed = isinstance(entry["split"], dict), _parts(config, name)
    there, whole = np.zeros(len(SPLITS), int), True
    for where, source in sources_of(config, name).items():
        if "card" in source:
            whole = False
            continue
        with at(where if "processes" in entry["source"] else f"samples.{name}"):
            found = np.zeros(len(SPLITS), int)
            for events in _beginning(name, entry, source):
                found += np.bincount(events.split, minlength=len(SPLITS))
                if found.sum() > ADMITTED and (not in_time or (there + found)[needed].all()):
                    whole = False
                    break
            there += found
            _check_present(config, name, events.meta)
    with at(f"samples.{name}"):
        for key, task in config["tasks"].items():
            for part in parts_needed(config, task, name):
                if not there[SPLITS.index(part)] and (whole or in_time):
                    raise InputError(f"there are no {part} events. Change 'split', or add files that have them.")
            if name == task["background"] and whole:
                specs.check_calibration(f"tasks.{key}", task, config, int(there[SPLITS.index("valid")]))


def _parts(config: dict, name: str) -> list[int]:
    """The parts of a sample that tasks need."""
    return [
        SPLITS.index(part)
        for part in {x for task in config["tasks"].values() for x in parts_needed(config, task, name)}
    ]


def _beginning(name: str, entry: dict, source: dict) -> Iterator[Events]:
    """The events of the files of a source; of a process among several none needs to pass."""
    return sources.stream_of(
        source, name=name, selection=entry["selection"], split=entry["split"], part="processes" in entry["source"]
    )


def _check_present(config: dict, name: str, meta: dict) -> None:
    """InputError if a sample of this ``meta`` lacks what a representation needs in a task that names the sample."""
    for task in config["tasks"].values():
        if name in (task["background"], *task["signals"]):
            used = {config["detectors"][detector]["representation"] for detector in task["detectors"]}
            for representation in sorted(used | {config["evaluation"]["supervised"]}):
                representations.build(config["representations"][representation]).check_present(meta)


def facts_of(source: dict) -> dict[str, list[int] | None]:
    """{path: [size, time of last change]} of a source's files, None for those that are read over the network."""
    files = [of["files"] for of in processes_of(source).values() if "files" in of]
    return _stats(path for patterns in files for path in find_files(patterns))


def known_entries(config: dict) -> dict[str, Entries]:
    """Sample -> process -> {path: entries} of the samples whose stamp holds."""
    found = {}
    for name in used_samples(config):
        stamp = FOLDER / f"{name}.json"
        if not generated_jets(config["samples"][name]["source"]) and stamp.is_file():
            seen = read_json(stamp)
            if {**seen, "processes": None} == _stamp(config, name, None):
                found[name] = seen["processes"]
    return found


def admit(config: dict, entries: dict[str, Entries], known: dict[str, Entries]) -> None:
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
            admit_sample(config, name)
            write_json(FOLDER / f"{name}.json", _stamp(config, name, of_files))


def _stamp(config: dict, name: str, entries: Entries | None) -> dict:
    tables = {table for entry in config["samples"].values() for table in menu_tables(entry.get("menu"))}
    facts = facts_of(config["samples"][name]["source"]) | _stats(tables)
    return {"files": facts, "configuration": config, "processes": entries}


def _stats(paths: Iterable[str]) -> dict[str, list[int] | None]:
    stats = {path: None if "://" in path else Path(path).stat() for path in paths}
    return {path: found and [found.st_size, found.st_mtime_ns] for path, found in stats.items()}
