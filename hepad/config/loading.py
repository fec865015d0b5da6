"""A configuration as it is read: its file, its trainings, its samples."""

from pathlib import Path

from hepad.config.plain_yaml import load
from hepad.errors import InputError

# keys of a detector's entry besides the arguments of its class
RUNNING = ("type", "representation", "label", "seeds", "gpus")


def read_configuration(path: str | Path) -> dict:
    """A configuration file, its grids of detectors expanded; InputError if it is none. Defaults are not filled in."""
    from hepad.config import migration, sweeps  # torch and all detectors take seconds, and jobs need none of them

    config = load(path)
    missing = [key for key in ("samples", "representations", "detectors", "tasks") if key not in config]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} missing. Give the configuration of the run.")
    migration.check_keys(config)
    return sweeps.expand(config)


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


def used_samples(config: dict) -> list[str]:
    """The samples that a task names."""
    return sorted({name for task in config["tasks"].values() for name in (task["background"], *task["signals"])})


def inherit(config: dict) -> None:
    """Give every process of a source the keys that stand beside ``processes``, where it has none of its own.

    Before the schema is checked, which says what is wrong with the rest.
    """
    samples = config.get("samples")
    for entry in samples.values() if isinstance(samples, dict) else ():
        source = entry.get("source") if isinstance(entry, dict) else None
        processes = source.get("processes") if isinstance(source, dict) else None
        if isinstance(processes, dict) and all(isinstance(process, dict) for process in processes.values()):
            shared = {key: value for key, value in source.items() if key not in ("processes", "card", "files")}
            for key in shared:
                del source[key]
            source["processes"] = {name: {**shared, **process} for name, process in processes.items()}


def processes_of(source: dict) -> dict[str, dict]:
    """{name: source} of the processes that a sample is the sum of; {'': source} of a sample of one."""
    return source.get("processes") or {"": source}


def sources_of(config: dict, name: str) -> dict[str, dict]:
    """{the key in the configuration: source} of the processes of a sample, or of itself."""
    key = f"samples.{name}.source"
    sources = processes_of(config["samples"][name]["source"])
    return {f"{key}.processes.{process}" if process else key: source for process, source in sources.items()}


def generated_jets(source: dict) -> int | None:
    """How many probe jets a sample has; None if any of it is read from files."""
    sources = processes_of(source).values()
    return sum(process.get("jets", 0) for process in sources) if all("card" in process for process in sources) else None


def cut_to_size(config: dict) -> None:
    """Give every generated sample without ``chunks`` as many as ``chunk_events.generation`` asks for, at most 1000."""
    for name in config["samples"]:
        for source in sources_of(config, name).values():
            if "card" in source:
                source.setdefault("chunks", min(1000, -(-source["jets"] // config["chunk_events"]["generation"])))


def menu_tables(menu: dict | None) -> list[str]:
    """The prescale tables of a background's menu and of its first stage."""
    return [part["table"] for part in (menu or {}, (menu or {}).get("after", {})) if "table" in part]
