"""What a configuration must satisfy before anything runs: names, classes, arguments and phase space.

The schema (workflow/schemas/config.schema.yaml) checks keys and types; here are the checks that relate one part of the
configuration to another. Each failure is an InputError that names the path of the key.
The classes are imported where they are checked: a job of a batch system reads the workflow without them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np

from hepad import naming
from hepad.annotations import hint
from hepad.errors import InputError, choose
from hepad.events import SPLITS
from hepad.io import refuse_foreign_address
from hepad.plain_yaml import load, refuse_duplicate_keys
from hepad.simulation import cards

# what a class raises on an argument that is missing or of the wrong kind
UNSUITABLE = (TypeError, ValueError, RuntimeError)
ADMITTED = 20_000
# what a detector's entry says besides the arguments of its class
RUNNING = ("type", "representation", "label", "seeds", "gpus")
# the whole numbers of an entry, or of a part of it
WHOLE = (
    ("samples", "source", ("jets", "chunks", "seed", "leading", "rows")),
    ("detectors", None, ("seeds", "gpus")),
    ("tasks", None, ("seeds",)),
    ("students", None, ("seed",)),
)


def read_configuration(path: str | Path) -> dict:
    """A configuration file, its grids of detectors expanded; InputError if it is none. Defaults are not filled in."""
    from hepad import sweeps

    refuse_duplicate_keys(path)
    config = load(path)
    missing = [key for key in ("samples", "representations", "detectors", "tasks") if key not in config]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} missing. Give the configuration of the run.")
    return sweeps.expand(config)


def refuse(error) -> NoReturn:
    """The InputError of a jsonschema ``ValidationError``: the path of the key, what is wrong, and what is allowed."""
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties":
        for key in error.instance:
            choose(f"{where}: key", key, error.schema["properties"])
    meaning = f" ({error.schema['description']})" if "description" in error.schema else ""
    if error.validator == "oneOf":
        raise InputError(
            f"{where}: exactly one alternative must be given{meaning}; it has: {', '.join(error.instance)}."
        )
    raise InputError(f"{where}: {error.message[:200]}{meaning}.{hint(error.instance)}")


def trainings(config: dict, task: str, names: list[str] | None = None) -> list[tuple[str, int]]:
    """(detector, seed) of the trainings of a task, of all its detectors unless some are named.

    The seeds are the detector's own, otherwise those of the task.
    """
    entry = config["tasks"][task]
    names = entry["detectors"] if names is None else names
    return [(d, seed) for d in names for seed in config["detectors"][d].get("seeds", entry.get("seeds", [1]))]


def detector_spec(entry: dict) -> dict:
    """A detector's entry as :func:`hepad.detectors.build` takes it."""
    arguments = {key: value for key, value in entry.items() if key not in RUNNING}
    return {"type": entry["type"], "arguments": arguments}


@contextmanager
def _at(where: str, *also: type[Exception]):
    """Put the path of the key in front of an InputError's message, and of the exceptions ``also``."""
    try:
        yield
    except (InputError, *also) as error:
        raise InputError(f"{where}: {error}") from None


def check(config: dict) -> None:
    """Raise InputError unless every name, class, argument and phase space in ``config`` fits the others."""
    from hepad import declarations, detectors, representations

    naming.check_names(config)
    naming.check_labels(config)
    for where, value in _whole_numbers(config):
        if isinstance(value, float):
            raise InputError(f"{where}: {value} is no whole number. Write {value:.0f}.")
    for name, entry in config["samples"].items():
        _check_sample(name, entry)
    spaces = {}
    for name, entry in config["representations"].items():
        with _at(f"representations.{name}", *UNSUITABLE):
            spaces[name] = representations.build(entry).space
    for name, entry in config["detectors"].items():
        if name in config["samples"]:
            raise InputError(f"detectors.{name}: this is the name of a sample, too. Rename one of them.")
        with _at(f"detectors.{name}", *UNSUITABLE):
            space = spaces[choose("representation", entry["representation"], spaces)]
            detectors.build(detector_spec(entry), space, seed=0)
    choose("evaluation.ceiling", config["evaluation"]["ceiling"], config["representations"])
    for name, task in config["tasks"].items():
        _check_task(f"tasks.{name}", task, config)
    for name in used_samples(config):
        if "card" in config["samples"][name]["source"]:  # files may come with a split of their own
            _check_split(config, name)
    declarations.check(config)


def _whole_numbers(config: dict) -> Iterator[tuple[str, object]]:
    """(key, value) of what must be a whole number, of which the schema lets 1.0 and 1e3 pass.

    They become names of files and numbers of jobs.
    """
    yield from ((f"chunk_events.{key}", value) for key, value in config.get("chunk_events", {}).items())
    for kind, inner, keys in WHOLE:
        for name, entry in config.get(kind, {}).items():
            where, values = (f"{kind}.{name}.{inner}", entry[inner]) if inner else (f"{kind}.{name}", entry)
            for key in keys:
                found = values.get(key, [])
                yield from ((f"{where}.{key}", value) for value in (found if isinstance(found, list) else [found]))


def used_samples(config: dict) -> list[str]:
    """The samples that a task names."""
    return sorted({name for task in config["tasks"].values() for name in (task["background"], *task["signals"])})


def check_inputs(config: dict, root: str | Path, known: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """A quick look at the card, or at the files, of every sample that a task uses; all that a dry run can tell of them.

    Samples whose entries are ``known`` are not looked at again. Returns sample -> {path: entries} of those with files.
    """
    from hepad import declarations, samples

    entries, found = dict(known), {}
    for name in used_samples(config):
        source = config["samples"][name]["source"]
        if name in known:
            continue
        with _at(f"samples.{name}"):
            if "card" in source:
                for part in filter(None, (source, source.get("pileup"))):
                    cards.find(part["card"], root)
                continue
            looks = samples.check_files(source, name)
            for path in looks:
                if re.search(r"\{.*\}", path) and "://" not in path:
                    raise InputError(
                        f"{path}: to Snakemake braces are wildcards. Rename the file, or make a link to it."
                    )
            present = frozenset.intersection(*(look.present for look in looks.values()))
            _refuse_missing(config, name, {"name": name, "present": present})
        if not all(look.official_split for look in looks.values()):
            _check_split(config, name)
        entries[name] = {path: look.entries for path, look in looks.items()}
        found[name] = list(looks.values())
    declarations.check_samples(config, root, found)
    return entries


def admit(config: dict, name: str) -> None:
    """Read the first events of one sample, and raise InputError unless every task that names it can use it.

    Files of more than ``ADMITTED`` events are read to their end by the jobs that they are for.
    """
    from hepad import samples

    entry = config["samples"][name]
    with _at(f"samples.{name}"):
        there = np.zeros(len(SPLITS), int)
        for events in samples.stream_of(entry["source"], name=name, selection=entry["selection"], split=entry["split"]):
            there += np.bincount(events.split, minlength=len(SPLITS))
            if there.sum() > ADMITTED:
                break
        for task in config["tasks"].values():
            if name not in (task["background"], *task["signals"]):
                continue
            # the supervised ceiling trains on signals, too
            needed = SPLITS if name == task["background"] else ("train", "test")
            for part in needed:
                if not there[SPLITS.index(part)] and there.sum() <= ADMITTED:
                    raise InputError(f"there are no {part} events. Raise 'split', or add files that have them.")
        _refuse_missing(config, name, events.meta)


def _refuse_missing(config: dict, name: str, meta: dict) -> None:
    """InputError if a sample of this ``meta`` lacks what a representation needs in a task that names the sample."""
    from hepad import representations

    for task in config["tasks"].values():
        if name in (task["background"], *task["signals"]):
            used = {config["detectors"][detector]["representation"] for detector in task["detectors"]}
            for representation in sorted(used | {config["evaluation"]["ceiling"]}):
                representations.build(config["representations"][representation]).refuse_missing(meta)


def cut_to_size(config: dict) -> None:
    """Give every generated sample without ``chunks`` as many as ``chunk_events.generation`` asks for, at most 1000."""
    for entry in config["samples"].values():
        source = entry["source"]
        if "card" in source:
            source.setdefault("chunks", min(1000, -(-source["jets"] // config["chunk_events"]["generation"])))


def _check_sample(name: str, entry: dict) -> None:
    from hepad.readers import READERS

    source = entry["source"]
    for path in source.get("files", ()):
        with _at(f"samples.{name}.source.files"):
            refuse_foreign_address(path)
    if "reader" in source:
        choose(f"samples.{name}.source.reader", source["reader"], READERS)
    if "card" in source and source["chunks"] > source["jets"]:
        raise InputError(f"samples.{name}.source: {source['chunks']} chunks are more than {source['jets']} jets.")
    if abs(sum(entry["split"]) - 1) > 1e-9:
        raise InputError(f"samples.{name}.split: {entry['split']} does not sum to 1 (train, valid, test).")
    if entry["selection"] != "any" and not entry["selection"]["pt"][0] < entry["selection"]["pt"][1]:
        raise InputError(f"samples.{name}.selection.pt: {entry['selection']['pt']} is not a window [low, high] in GeV.")


def _check_task(where: str, task: dict, config: dict) -> None:
    entries = config["samples"]
    background = choose(f"{where}.background", task["background"], entries)
    for detector in task["detectors"]:
        choose(f"{where}.detectors", detector, config["detectors"])
        shown, seeds = task["seeds"][0], config["detectors"][detector].get("seeds", task["seeds"])
        if shown not in seeds:
            raise InputError(
                f"{where}: the seeds of '{detector}' are {seeds}, without {shown}, the first of this task, whose "
                f"trainings the figures show. Add it to detectors.{detector}.seeds."
            )
    for signal in task["signals"]:
        choose(f"{where}.signals", signal, entries)
        if signal == background:
            raise InputError(f"{where}.signals: '{signal}' is the background of this task; remove it from the signals.")
        windows = [entries[name]["selection"] for name in (background, signal)]
        if windows[0] != windows[1] and not task["any_window"]:
            raise InputError(
                f"{where}: the selection of signal '{signal}' ({_window(windows[1])}) is not that of its background "
                f"'{background}' ({_window(windows[0])}); their scores would differ by phase space alone. Make them "
                f"equal, or set '{where}.any_window: true' to compare them all the same."
            )
    _check_labels(where, [background, *task["signals"]], entries)
    _check_labels(where, task["detectors"], config["detectors"])


def _check_split(config: dict, name: str) -> None:
    """InputError if the fractions leave out a part of the sample that a task needs."""
    split = config["samples"][name]["split"]
    for where, task in config["tasks"].items():
        # the supervised ceiling trains on signals, too
        needed = SPLITS if name == task["background"] else ("train", "test") if name in task["signals"] else ()
        for part, fraction in zip(SPLITS, split, strict=True):
            if part in needed and not fraction:
                raise InputError(f"tasks.{where}: '{name}' has no {part} events; raise samples.{name}.split, {split}.")


def _check_labels(where: str, names: list[str], entries: dict) -> None:
    """Figures tell samples, and detectors, apart by their labels."""
    seen = {}
    for name in names:
        label = entries[name].get("label", name)
        if label in seen:
            raise InputError(
                f"{where}: '{seen[label]}' and '{name}' have the same label '{label}'. Change one of them."
            )
        seen[label] = name


def _window(selection) -> str:
    if selection == "any":
        return "any"
    low, high = selection["pt"]
    return f"{low:g} < pt < {high:g} GeV, |eta| < {selection['abs_eta']:g}"
