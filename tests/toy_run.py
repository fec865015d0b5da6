"""A small run for tests of the workflow: two samples of toy jets in files, and an autoencoder of vectors."""

from collections.abc import Callable
from pathlib import Path

import yaml

from hepad.events import Events
from hepad.samples.root_output import write_root

SAMPLES = {"one": (1, 1), "two": (2, 2)}  # seed, prongs


def toy_run(make_events: Callable[..., Events], folder: Path, steps: int, events: tuple[int, int] = (900, 400)) -> dict:
    """The configuration of a task 'jets', in which 'ae' is trained for ``steps`` on 'one', the signal is 'two'.

    The files with so many ``events`` of the two are written to ``folder``.
    """
    window, samples = {"pt": [550, 650], "abs_eta": 2.0}, {}
    for (name, (seed, prongs)), count in zip(SAMPLES.items(), events, strict=True):
        write_root(make_events(count, seed, prongs=prongs), folder / f"{name}.root")
        samples[name] = {"source": {"files": [str(folder / f"{name}.root")]}, "selection": window}
    autoencoder = {"hidden_dims": [64], "latent_dim": 2}
    return {
        "samples": samples,
        "representations": {"vector": {"type": "EventVector", "variables": ["mass", "multiplicity", "girth"]}},
        "detectors": {
            "ae": {"type": "AE", "representation": "vector", "autoencoder": autoencoder, "training": {"steps": steps}}
        },
        "tasks": {"jets": {"background": "one", "signals": ["two"], "detectors": ["ae"]}},
        "evaluation": {"supervised": "vector"},
    }


def written(config: dict, folder: Path) -> Path:
    """The path of the configuration, in ``folder``."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "config.yaml"
