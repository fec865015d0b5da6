"""Checks of a configuration before anything runs: names, classes, arguments and phase space.

The schema (workflow/schemas/config.schema.yaml) checks keys and types; here are the checks that relate one part of the
configuration to another. Each failure is an InputError that names the path of the key.
"""

from collections.abc import Iterator
from typing import NoReturn

from hepad import detectors, representations
from hepad.config import declarations, naming, specs
from hepad.config.loading import generated_jets, sources_of, used_samples
from hepad.errors import InputError, at, check_choice
from hepad.events import SPLITS
from hepad.events.cuts import window
from hepad.events.splits import check_until
from hepad.registry import yaml_advice
from hepad.samples.readers import READERS
from hepad.storage.files import check_address

# errors of a class whose argument is missing or of the wrong kind
UNSUITABLE = (TypeError, ValueError, RuntimeError)

# the whole numbers of a source, and of entries
OF_SOURCES = ("jets", "chunks", "seed", "leading", "rows")
WHOLE = (
    ("detectors", ("seeds", "gpus")),
    ("tasks", ("seeds",)),
    ("students", ("seed",)),
)


def raise_schema_error(error) -> NoReturn:
    """The InputError of a jsonschema ``ValidationError``: the path of the key, what is wrong, and what is allowed."""
    path = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties":
        for key in error.instance:
            check_choice(f"{path}: key", key, error.schema["properties"])
    meaning = f" ({error.schema['description']})" if "description" in error.schema else ""
    if error.validator == "oneOf":
        raise InputError(
            f"{path}: exactly one alternative must be given{meaning}; it has: {', '.join(error.instance)}."
        )
    raise InputError(f"{path}: {error.message[:200]}{meaning}.{yaml_advice(error.instance)}")


def check(config: dict) -> None:
    """Raise InputError unless every name, class, argument and phase space in ``config`` fits the others."""
    naming.check_names(config)
    naming.check_labels(config)
    for path, value in _whole_numbers(config):
        if isinstance(value, float):
            raise InputError(f"{path}: {value} is no whole number. Write {value:.0f}.")
    for name, entry in config["samples"].items():
        for where, source in sources_of(config, name).items():
            _check_source(where, source)
        _check_sample(name, entry)
    spaces = {}
    for name, entry in config["representations"].items():
        with at(f"representations.{name}", *UNSUITABLE):
            spaces[name] = representations.build(entry).space
    for name, entry in config["detectors"].items():
        if name in config["samples"]:
            raise InputError(f"detectors.{name}: this is the name of a sample, too. Rename one of them.")
        with at(f"detectors.{name}", *UNSUITABLE):
            space = spaces[check_choice("representation", entry["representation"], spaces)]
            detectors.build(specs.spec_of(config, name), space, seed=0)
    check_choice("evaluation.supervised", config["evaluation"]["supervised"], config["representations"])
    for name, task in config["tasks"].items():
        _check_task(f"tasks.{name}", task, config)
    for name in used_samples(config):
        if generated_jets(config["samples"][name]["source"]):  # files may come with a split of their own
            check_split(config, name)
    declarations.check(config)


def _whole_numbers(config: dict) -> Iterator[tuple[str, object]]:
    """(key, value) of what must be a whole number, of which the schema lets 1.0 and 1e3 pass.

    They become names of files and numbers of jobs.
    """
    yield from ((f"chunk_events.{key}", value) for key, value in config.get("chunk_events", {}).items())
    entries = [(sources_of(config, name), OF_SOURCES) for name in config["samples"]]
    entries += [({f"{kind}.{name}": x for name, x in config.get(kind, {}).items()}, keys) for kind, keys in WHOLE]
    for of, keys in entries:
        for path, entry in of.items():
            for key in keys:
                content = entry.get(key, [])
                yield from ((f"{path}.{key}", value) for value in (content if isinstance(content, list) else [content]))


def _check_source(where: str, source: dict) -> None:
    for path in source.get("files", ()):
        with at(f"{where}.files"):
            check_address(path)
    if "reader" in source:
        check_choice(f"{where}.reader", source["reader"], READERS)
    if "card" in source and source["chunks"] > source["jets"]:
        raise InputError(f"{where}: {source['chunks']} chunks are more than {source['jets']} jets.")


def _check_sample(name: str, entry: dict) -> None:
    if isinstance(entry["split"], dict):
        sources = [entry["source"], *entry["source"].get("processes", {}).values()]
        if any("card" in source for source in sources):
            raise InputError(
                f"samples.{name}.split: generated events have no run and section, and no time. Give fractions."
            )
        with at(f"samples.{name}"):
            check_until(entry["split"])
    elif abs(sum(entry["split"]) - 1) > 1e-9:
        raise InputError(f"samples.{name}.split: {entry['split']} does not sum to 1 (train, valid, test).")
    with at(f"samples.{name}."):
        window(entry["selection"])


def _check_task(key: str, task: dict, config: dict) -> None:
    entries = config["samples"]
    background = check_choice(f"{key}.background", task["background"], entries)
    for detector in task["detectors"]:
        check_choice(f"{key}.detectors", detector, config["detectors"])
        shown, seeds = task["seeds"][0], config["detectors"][detector].get("seeds", task["seeds"])
        if shown not in seeds:
            raise InputError(
                f"{key}: the seeds of '{detector}' are {seeds}, without {shown}, the first of this task, whose "
                f"trainings the figures show. Add it to detectors.{detector}.seeds."
            )
    specs.check_task(key, task, config)
    for signal in task["signals"]:
        check_choice(f"{key}.signals", signal, entries)
        if signal == background:
            raise InputError(f"{key}.signals: '{signal}' is the background of this task; remove it from the signals.")
        windows = [entries[name]["selection"] for name in (background, signal)]
        if windows[0] != windows[1] and not task["any_window"]:
            raise InputError(
                f"{key}: the selection of signal '{signal}' ({_window(windows[1])}) is not that of its background "
                f"'{background}' ({_window(windows[0])}); their scores would differ by phase space alone. Make them "
                f"equal, or set '{key}.any_window: true' to compare them all the same."
            )
    for published in task["published"]:
        for word in ("detector", "signal"):
            check_choice(f"{key}.published: {word}", published[word], task[f"{word}s"])
    _check_labels(key, [background, *task["signals"]], entries)
    _check_labels(key, task["detectors"], config["detectors"])


def check_split(config: dict, name: str) -> None:
    """InputError if the fractions leave out a part of the sample that a task needs."""
    split = config["samples"][name]["split"]
    if isinstance(split, dict):  # which parts there are the files tell
        return
    for task, entry in config["tasks"].items():
        for part in parts_needed(config, entry, name):
            if not split[SPLITS.index(part)]:
                raise InputError(f"tasks.{task}: '{name}' has no {part} events; raise samples.{name}.split, {split}.")


def parts_needed(config: dict, task: dict, name: str) -> tuple[str, ...]:
    """The parts of a sample that a task needs. A signal may be all test, unless it is to contaminate the background."""
    if name == task["background"]:
        return SPLITS
    contaminates = name == task["signals"][0] and config["evaluation"].get("contamination")
    return () if name not in task["signals"] else ("train", "test") if contaminates else ("test",)


def _check_labels(key: str, names: list[str], entries: dict) -> None:
    """Figures tell samples, and detectors, apart by their labels."""
    owners = {}
    for name in names:
        label = entries[name].get("label", name)
        if label in owners:
            raise InputError(
                f"{key}: '{owners[label]}' and '{name}' have the same label '{label}'. Change one of them."
            )
        owners[label] = name


def _window(selection) -> str:
    if selection == "any":
        return "any"
    low, high = selection["pt"]
    return f"{low:g} < pt < {high:g} GeV, |eta| < {selection['abs_eta']:g}"
