"""What the workflow has to know before it has jobs: the checked configuration, its files, and what its classes are.

Finding out takes seconds, since it needs torch, the readers and every class that the configuration names. Snakemake
begins each job of a batch system, and each one of a group, by reading the workflow anew; so its main process writes the
plan to ``results/admitted/plan.json``, and jobs read it. It holds for one configuration and one state of the package.
"""

import copy
import inspect
from collections.abc import Iterator
from pathlib import Path

from hepad import code_digest
from hepad.errors import InputError
from hepad.io import read_json, write_json

PATH = Path("results/admitted/plan.json")


def of(config: dict) -> dict:
    """What a plan is made from: the configuration as it is given, and the files of the package."""
    package = Path(__file__).parent
    stats = {str(path.relative_to(package)): path.stat() for path in sorted(package.rglob("*.py"))}
    return {"config": copy.deepcopy(config), "package": {name: [s.st_size, s.st_mtime_ns] for name, s in stats.items()}}


def read(about: dict) -> dict | None:
    """The plan that was written for ``of(config)``; None if there is none, a damaged one, or one for something else."""
    try:
        written = read_json(PATH)
    except InputError:
        return None
    return written["plan"] if written.get("of") == about else None


def write(plan: dict, about: dict) -> None:
    """Leave the plan for the jobs."""
    write_json(PATH, {"of": about, "plan": plan})


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
    entries: sample -> {path: entries} of those with files
    device: where trainings run
    scripts: name -> digest of the code that it runs, the classes that the configuration names apart
    detectors, representations: name -> what the workflow asks of its class, with a digest of the code

    Raises
    ------
    InputError: a name, a class, an argument, a phase space or a file does not fit
    """
    from hepad import admission, configuration, device, sweeps

    config = config | sweeps.expand(config)
    configuration.cut_to_size(config)
    configuration.check(config)
    if config["students"]:
        from hepad import fixed_point

        fixed_point.check(config)
    known = admission.known_entries(config)
    return {
        "config": config,
        "known": known,
        "entries": configuration.check_inputs(config, root, known),
        "device": device.resolve(config["device"]),
        "scripts": {path.stem: code_digest.digest(path) for path in Path(root).glob("workflow/scripts/*.py")},
        "detectors": {name: _detector(entry) for name, entry in config["detectors"].items()},
        "representations": {name: _representation(entry) for name, entry in config["representations"].items()},
    }


def _detector(entry: dict) -> dict:
    from hepad import detectors

    cls = detectors.DETECTORS[entry["type"]]
    kinds = {
        "energy": detectors.EnergyDetector,
        "generating": detectors.Generating,
        "reconstructing": detectors.Reconstructing,
    }
    found = {kind: issubclass(cls, base) for kind, base in kinds.items()}
    return {"group": cls.group, "score_name": cls.score_name, **found, "code": _code_of(entry, detectors.DETECTORS)}


def _representation(entry: dict) -> dict:
    from hepad import representations

    built = representations.build(entry)
    return {
        "needs_constituents": built.needs_constituents,
        "image": _image(built),
        "code": _code_of(entry, representations.REPRESENTATIONS),
    }


def _image(representation) -> dict | None:
    """Pixels, window and power of the one image in a representation; None if there is none, or several."""
    from hepad.representations import JetImage, Joined

    if isinstance(representation, JetImage):
        return {key: getattr(representation, key) for key in ("size", "eta_range", "phi_range", "power")}
    parts = representation.parts if isinstance(representation, Joined) else ()
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
