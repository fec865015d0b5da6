"""Checks a configuration's rates, menus, budgets, beams and pile-up against the cards and the files.

Most of it is used when the trainings are over; here it is refused before the first job. The numbers are checked by what
will take them: :mod:`hepad.trigger.rates`, :mod:`hepad.trigger.menu`, :mod:`hepad.samples.simulation`.
"""

import difflib
import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hepad.config.loading import used_samples
from hepad.errors import InputError, at, check_choice
from hepad.evaluation.model_samples import MODEL, STAGES
from hepad.figures.style import settings
from hepad.registry import check_types
from hepad.samples.metadata import merge_meta
from hepad.samples.readers.base import Found
from hepad.samples.simulation import cards
from hepad.samples.simulation.settings import Generation
from hepad.trigger import rates, working_points
from hepad.trigger.menu import acceptance

# stands for what a generation will find, or a file that is not looked at may say
UNKNOWN = {"cross_section_pb": 1.0, "acceptance": 1.0}
KINDS = {"zero_bias": rates.zero_bias, "cross_section": rates.cross_section}
SAME_ENERGY = 1e-3
USUAL_KHZ = [0.15, 0.3, 1, 3, 10]  # defaults of the schema: nobody asked for them


def check(config: dict) -> None:
    """InputError unless what is declared makes sense without a look at cards and files."""
    for key in ("samples", "tasks", "students", "evaluation", "style", "chunk_events", "checkpoint_seconds"):
        for path, value in _numbers(config.get(key), key):
            if math.isnan(value) or (math.isinf(value) and ".selection." not in path):
                raise InputError(f"{path}: {value} is no finite number. Give one.")
    for name, entry in config["samples"].items():
        for key in ("rate", "menu"):
            if entry.get(key) == {}:
                raise InputError(f"samples.{name}.{key}: nothing is in it. Fill it, or leave it out.")
        source = entry["source"]
        if "card" in source:
            _check_generation(name, entry)
            _scale(name, entry, UNKNOWN | _generated(source))
        elif (entry.get("rate") or {}).get("kind"):
            _scale(name, entry, UNKNOWN)
        if "bits" not in (menu := entry.get("menu") or {}) or len({"table", "column"} & set(menu)):
            _menu(name, menu, ())
    for task, entry in config["tasks"].items():
        _check_contamination(task, entry, config)
    _check_style(config)
    for name, entry in config["students"].items():
        formats = [str(text).replace(" ", "") for text in entry["formats"]]
        if twice := next((text for text in formats if formats.count(text) > 1), None):
            raise InputError(f"students.{name}.formats: '{twice}' is there twice. Remove one of them.")


def check_samples(config: dict, root: str | Path, looks: dict[str, list[Found]]) -> None:
    """InputError unless what is declared fits the cards and the files.

    Parameters
    ----------
    root: of the repository, in which the cards are
    looks: sample -> what each of its files offers; a sample of files that is not in it was seen before
    """
    names = used_samples(config)
    facts = {name: _facts(name, config["samples"][name]["source"], root, looks.get(name)) for name in names}
    for task, entry in config["tasks"].items():
        background, declared = entry["background"], config["samples"][entry["background"]]
        if facts[background] is not None:
            _check_budgets(background, declared, facts[background], config["evaluation"]["rates_khz"])
            _check_bits(background, declared, {name: facts[name] for name in (background, *entry["signals"])})
        for signal in entry["signals"] if not entry["any_window"] else ():
            energies = [(facts[name] or {}).get("sqrt_s_tev") for name in (background, signal)]
            if None not in energies and not math.isclose(*energies, rel_tol=SAME_ENERGY):
                raise InputError(
                    f"tasks.{task}: the collisions of background '{background}' have {energies[0]:g} TeV, those of "
                    f"signal '{signal}' {energies[1]:g} TeV: their scores would differ by that alone. Use samples that "
                    f"agree, or set 'tasks.{task}.any_window: true' to compare them all the same."
                )
    _check_shown_energy(config["style"]["sqrt_s_tev"], {name: x["sqrt_s_tev"] for name, x in facts.items() if x})


def _check_shown_energy(shown: float | None, samples: dict[str, float | None]) -> None:
    energies = {name: value for name, value in samples.items() if value}
    if shown and energies and not any(math.isclose(shown, value, rel_tol=SAME_ENERGY) for value in energies.values()):
        name, value = next(iter(energies.items()))
        raise InputError(
            f"style.sqrt_s_tev: the figures would say {shown:g} TeV (14 if left out), but the collisions of '{name}' "
            f"have {value:g} TeV. Write 'sqrt_s_tev: {value:g}' under 'style'."
        )


def _facts(name: str, source: dict, root: str | Path, looks: list[Found] | None) -> dict | None:
    """Facts of a sample: ``meta`` of its events as far as it is known, ``triggers``, ``sqrt_s_tev``; or None."""
    if "card" in source:
        card = cards.find(source["card"], root)
        energy = cards.sqrt_s_tev(card)
        if source.get("pileup"):
            other = cards.sqrt_s_tev(cards.find(source["pileup"]["card"], root))
            if None not in (energy, other) and not math.isclose(energy, other, rel_tol=SAME_ENERGY):
                raise InputError(
                    f"samples.{name}.source.pileup.card: its collisions have {other:g} TeV, those of "
                    f"{source['card']} {energy:g} TeV. Correct Beams:eCM in one of the cards."
                )
        return {"meta": _generated(source), "generated": True, "triggers": [], "sqrt_s_tev": energy}
    if looks is None:
        return None
    meta = merge_meta([look.meta for look in looks])
    bits = sorted({bit for look in looks for bit in look.triggers})
    return {"meta": meta, "generated": False, "triggers": bits, "sqrt_s_tev": meta.get("sqrt_s_tev")}


def _generated(source: dict) -> dict:
    """The facts of rate that generated events will have."""
    return {"rate": {"kind": "zero_bias" if source["zero_bias"] else "cross_section"}}


def _scale(name: str, entry: dict, meta: dict) -> rates.Scale | None:
    expected, given = (meta.get("rate") or {}).get("kind"), entry.get("rate") or {}
    kind = given.get("kind", expected)
    if expected and kind in KINDS and kind != expected:
        raise InputError(
            f"samples.{name}.rate: kind '{kind}' does not fit these events, which are "
            + ("bunch crossings" if expected == "zero_bias" else "those of a process, one in each event")
            + f". Write 'kind: {expected}', or leave 'kind' out."
        )
    if kind in KINDS:
        check_types(KINDS[kind], given, f"samples.{name}.rate")
    with at(f"samples.{name}."):
        return working_points.declared_scale(name, entry, meta)


def _check_budgets(name: str, entry: dict, facts: dict, budgets_khz: list[float]) -> None:
    meta = facts["meta"] | (UNKNOWN if facts["generated"] else {})
    if (scale := _scale(name, entry, meta)) is None:
        return
    known = scale.kind == "zero_bias" or not facts["generated"] or set(UNKNOWN) <= set(entry["rate"])
    whole = min(scale.hz, scale.crossing_hz) if known and budgets_khz != USUAL_KHZ else scale.crossing_hz
    for budget in budgets_khz:
        if 1000 * budget > whole:
            part = f"all of '{name}'" if whole < scale.crossing_hz else "all bunch crossings"
            raise InputError(
                f"evaluation.rates_khz: {budget:g} kHz is more than the rate of {part}, {whole / 1000:.6g} kHz. Remove "
                f"it, or correct samples.{name}.rate."
            )


def _menu(name: str, entry: dict, bits: Iterable[str]):
    try:
        return working_points.menu_of(entry, bits)[0]
    except InputError as error:
        raise InputError(f"samples.{name}.{error}" if str(error).startswith("menu") else str(error)) from None


def _check_bits(name: str, entry: dict, facts: dict[str, dict | None]) -> None:
    """The patterns of a background's menu, and its seeds, against the trigger bits of it and of its signals."""
    if not (menu := entry.get("menu")):
        return
    place, bits = f"samples.{name}.menu", facts[name]["triggers"]
    for pattern in menu.get("bits", ()):
        _check_matched(f"{place}.bits", pattern, bits, f"the trigger bits of '{name}'")
    seeds = _menu(name, {key: value for key, value in menu.items() if key != "without"}, bits).prescales
    for pattern in menu.get("without", ()):
        _check_matched(f"{place}.without", pattern, list(seeds), "the seeds of the menu")
    left = _menu(name, menu, bits)
    for sample, sample_facts in facts.items():
        if sample_facts is not None:
            with at(f"{place}: sample '{sample}'"):
                acceptance(left, np.zeros((0, len(sample_facts["triggers"])), bool), sample_facts["triggers"])


def _check_matched(key: str, pattern: str, names: list[str], group: str) -> None:
    if any(fnmatchcase(name, pattern) for name in names):
        return
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(pattern.lower(), lower, n=1)
    hint = f" Did you mean '{lower[close[0]]}'?" if close else ""
    listed = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" or "none; see 'triggers' in docs/readers.md"
    raise InputError(f"{key}: '{pattern}' matches none of {group}.{hint} There are {len(names)}: {listed}.")


def _check_generation(name: str, entry: dict) -> None:
    source, keys = entry["source"], ("pileup", "zero_bias", "level1", "leading", "matching", "response")
    with at(f"samples.{name}.source", TypeError, ValueError):
        Generation(source["card"], entry["selection"], **{key: source[key] for key in keys})


def _check_contamination(task: str, settings: dict, config: dict) -> None:
    """Whether the first signal has training events enough, if both are generated and their numbers are known."""
    names = (settings["background"], settings["signals"][0])
    entries = [config["samples"].get(name) for name in names]
    if not all(entry and "card" in entry["source"] for entry in entries):
        return
    events, signals = (entry["source"]["jets"] * sum(entry["split"][:2]) for entry in entries)
    for fraction in config["evaluation"]["contamination"]:
        if fraction * events > signals:
            raise InputError(
                f"evaluation.contamination: {fraction:g} of the {events:.0f} training events of '{names[0]}' are more "
                f"than the {signals:.0f} of '{names[1]}' (tasks.{task}). Lower it, or raise "
                f"samples.{names[1]}.source.jets."
            )


def _check_style(config: dict) -> None:
    if not (colors := config["style"]["colors"]):
        return
    settings(config["style"])
    labels = {entry.get("label", name) for kind in ("samples", "detectors") for name, entry in config[kind].items()}
    labels |= {f"{label} (window: any)" for label in labels} | {MODEL, *STAGES}
    for name in colors:
        if not config["students"]:  # whose formats are names, too
            check_choice("style.colors: label", name, labels)


def _numbers(value, path: str) -> Iterator[tuple[str, float]]:
    """(path of the key, number) of all numbers with a point in a part of the configuration."""
    if isinstance(value, float):
        yield path, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _numbers(item, f"{path}.{key}")
