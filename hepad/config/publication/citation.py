"""What to cite for a run: hepad itself, and the papers that its methods, or their modules, name."""

import re
import sys
from collections.abc import Iterator, Mapping

from hepad.config.results import Results
from hepad.detectors import DETECTORS
from hepad.detectors.flows import FLOWS
from hepad.representations import REPRESENTATIONS
from hepad.samples.phase_space import meta_of
from hepad.samples.readers import READERS
from hepad.samples.simulation import pythia

PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def papers(results: Results) -> dict[str, str]:
    """Address of a paper -> which of the run's methods it is of."""
    found: dict[str, list[str]] = {}
    for name, docs in dict.fromkeys(_methods(results)):
        for number in next(filter(None, map(PAPER.findall, docs)), []):
            found.setdefault(f"https://arxiv.org/abs/{number}", []).append(name)
    return {address: f"arXiv:{address.rpartition('/')[2]}, of {', '.join(names)}" for address, names in found.items()}


def _methods(results: Results) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Detectors and what is in them, representations, and where samples come from, each with its docstrings."""
    used = [results.config["detectors"][name] for name in results.detectors]
    for entry in used:
        yield from _named(entry, DETECTORS | FLOWS)
        yield from _named(results.config["representations"][entry["representation"]], REPRESENTATIONS)
    for sample in results.samples:
        meta = meta_of(results.there(f"events/{sample}.h5"))
        yield from (_documented(READERS[name]) for name in meta.get("readers", ()) if name in READERS)
        if "generator" in meta:
            yield "Pythia", (pythia.__doc__,)


def _documented(cls: type) -> tuple[str, tuple[str, ...]]:
    return cls.__name__, (cls.__doc__ or "", sys.modules[cls.__module__].__doc__ or "")


def _named(entry, known: Mapping[str, type]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Of all entries with a type that are in this one."""
    if isinstance(entry, Mapping) and entry.get("type") in known:
        yield _documented(known[entry["type"]])
    inner = entry.values() if isinstance(entry, Mapping) else entry if isinstance(entry, list) else ()
    for value in inner:
        yield from _named(value, known)


def text(source: str, found: Mapping[str, str]) -> str:
    """The citation file of hepad, with the papers of the run as comments."""
    lines = [f"#   {description}: {address}" for address, description in found.items()]
    return "\n".join([source.rstrip(), "", "# papers of the methods and data of this run:", *lines, ""])
