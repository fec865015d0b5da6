"""What a configuration must satisfy before anything runs: names, classes, arguments and phase space.

The schema (workflow/schemas/config.schema.yaml) has checked keys and types already; here are the checks that relate one
part of the configuration to another. Each failure is an InputError that names the path of the key.
"""

import re
from contextlib import contextmanager
from pathlib import Path

import yaml

from hepad import detectors, representations
from hepad.errors import InputError, choose
from hepad.samples import READERS


def refuse_duplicate_keys(path: str | Path) -> None:
    """InputError if a mapping of the YAML file has a key twice (YAML would silently keep the last)."""
    try:
        root = yaml.compose(Path(path).read_text(), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    _walk(root, path, "")


def _walk(node, path, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = f"{where}.{key.value}" if where else str(key.value)
            if key.value in seen and key.value != "<<":
                raise InputError(
                    f"{path}, line {key.start_mark.line + 1}: '{name}' is defined twice. Rename or remove one of them."
                )
            seen.add(key.value)
            _walk(value, path, name)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _walk(value, path, f"{where}[{i}]")


def detector_spec(entry: dict) -> dict:
    """A detector's entry as :func:`hepad.detectors.build` takes it."""
    arguments = {key: value for key, value in entry.items() if key not in ("type", "representation", "label")}
    return {"type": entry["type"], "arguments": arguments}


@contextmanager
def _at(where: str):
    """Put the path of the key in front of an InputError's message."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def check(config: dict) -> None:
    """Raise InputError unless every name, class, argument and phase space in ``config`` fits the others."""
    for name, entry in config["samples"].items():
        _check_sample(name, entry)
    spaces = {}
    for name, entry in config["representations"].items():
        with _at(f"representations.{name}"):
            spaces[name] = representations.build(entry).space
    for name, entry in config["detectors"].items():
        with _at(f"detectors.{name}"):
            space = spaces[choose("representation", entry["representation"], spaces)]
            detectors.build(detector_spec(entry), space, seed=0)
    choose("evaluation.ceiling", config["evaluation"]["ceiling"], config["representations"])
    for name, task in config["tasks"].items():
        _check_task(f"tasks.{name}", task, config)


def _check_sample(name: str, entry: dict) -> None:
    source = entry["source"]
    if ("card" in source) == ("files" in source):
        raise InputError(
            f"samples.{name}.source: give either 'card' (generate with Pythia) or 'files' (read ROOT or HDF5)."
        )
    if "files" in source:
        choose(f"samples.{name}.source.reader", source["reader"], READERS)
    for key in ("jets", "chunks", "seed"):
        if "card" in source and key not in source:
            raise InputError(f"samples.{name}.source.{key} is missing: a generated sample needs it.")
    if abs(sum(entry["split"]) - 1) > 1e-9:
        raise InputError(f"samples.{name}.split: {entry['split']} does not sum to 1 (train, valid, test).")
    if entry["selection"] != "any" and not entry["selection"]["pt"][0] < entry["selection"]["pt"][1]:
        raise InputError(f"samples.{name}.selection.pt: {entry['selection']['pt']} is not a window [low, high] in GeV.")


def _check_task(where: str, task: dict, config: dict) -> None:
    samples = config["samples"]
    background = choose(f"{where}.background", task["background"], samples)
    for detector in task["detectors"]:
        choose(f"{where}.detectors", detector, config["detectors"])
    for signal in task["signals"]:
        choose(f"{where}.signals", signal, samples)
        if signal == background:
            raise InputError(f"{where}.signals: '{signal}' is the background of this task; remove it from the signals.")
        windows = [samples[name]["selection"] for name in (background, signal)]
        if windows[0] != windows[1] and not task["any_window"]:
            raise InputError(
                f"{where}: the selection of signal '{signal}' ({_window(windows[1])}) is not that of its background "
                f"'{background}' ({_window(windows[0])}); their scores would differ by phase space alone. Make them "
                f"equal, or set '{where}.any_window: true' to compare them all the same."
            )


def _window(selection) -> str:
    if selection == "any":
        return "any"
    low, high = selection["pt"]
    return f"{low:g} < pt < {high:g} GeV, |eta| < {selection['abs_eta']:g}"


def safe_name(name: str) -> bool:
    """Whether a name can be part of a file name and of a shell command."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None
