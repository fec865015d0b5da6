"""What a configuration declares of rates, menus, budgets, beams and pile-up, against the cards and the files.

Most of it is used when the trainings are over; here it is refused before the first job. The numbers are checked by what
will take them: :mod:`hepad.trigger.rates`, :mod:`hepad.trigger.menu`, :mod:`hepad.samples.simulation`.
"""

import difflib
import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hepad.config.loading import generated_jets, sources_of, used_samples
from hepad.errors import InputError, at, check_choice
from hepad.evaluation.model_samples import MODEL, STAGES
from hepad.figures.style import settings
from hepad.registry import check_types
from hepad.samples.metadata import merge_meta
from hepad.samples.phase_space import SAME_ENERGY, check_energy
from hepad.samples.readers.base import Found
from hepad.samples.simulation import cards
from hepad.samples.simulation.settings import Generation
from hepad.trigger import rate_tables, rates
from hepad.trigger.menu import acceptance
from hepad.trigger.seeds import check_seed
from hepad.trigger.stages import Stages, check_keys, own_keys, stages_of

# stands for what a generation will find, or a file that is not looked at may say
UNKNOWN = {"cross_section_pb": 1.0, "acceptance": 1.0}
KINDS = {"zero_bias": rates.zero_bias, "cross_section": rates.cross_section}
MOST_CHUNKS = 1000  # their seeds are a thousand apart
USUAL_KHZ = [0.15, 0.3, 1, 3, 10]  # of the schema: nobody asked for them


def check(config: dict) -> None:
    """InputError unless what is declared makes sense without a look at cards and files."""
    for key in ("samples", "tasks", "students", "evaluation", "style", "chunk_events", "checkpoint_seconds"):
        for where, value in _numbers(config.get(key), key):
            if math.isnan(value) or (math.isinf(value) and ".selection." not in where):
                raise InputError(f"{where}: {value} is no finite number. Give one.")
    for name, entry in config["samples"].items():
        for key in ("rate", "menu"):
            if entry.get(key) == {}:
                raise InputError(f"samples.{name}.{key}: nothing is in it. Fill it, or leave it out.")
        sources = sources_of(config, name)
        for where, source in sources.items():
            if "card" in source:
                _check_generation(where, source, entry["selection"])
        if "processes" in entry["source"]:
            _check_processes(name, entry, sources)
        if "processes" in entry["source"] or "card" in entry["source"]:
            _scale(name, entry, UNKNOWN | _generated(entry["source"]))
        elif (entry.get("rate") or {}).get("kind"):
            _scale(name, entry, UNKNOWN)
        for key in ("cross_section_pb", "sum_weights"):
            if key in entry["source"]:
                raise InputError(
                    f"samples.{name}.source.{key}: this is of one of several 'processes'. Of a sample of one process "
                    f"write the cross-section into samples.{name}.rate."
                )
        if entry.get("menu"):
            with at(f"samples.{name}."):
                check_keys(entry["menu"])
    for task, entry in config["tasks"].items():
        _check_contamination(task, entry, config)
    _check_style(config)
    for name, entry in config["students"].items():
        formats = [str(text).replace(" ", "") for text in entry["formats"]]
        if twice := next((text for text in formats if formats.count(text) > 1), None):
            raise InputError(f"students.{name}.formats: '{twice}' is there twice. Remove one of them.")


def check_samples(config: dict, root: str | Path, looks: dict[str, dict[str, list[Found]]]) -> None:
    """InputError unless what is declared fits the cards and the files.

    Parameters
    ----------
    root: of the repository, in which the cards are
    looks: sample -> {key of a source: what each of its files offers}; a sample of files that is not in it was seen
        before
    """
    facts = {
        name: _sum_of(name, [_facts(*source, root, looks.get(name)) for source in sources_of(config, name).items()])
        for name in used_samples(config)
    }
    for where, task in config["tasks"].items():
        background, entry = task["background"], config["samples"][task["background"]]
        if facts[background] is not None:
            _check_budgets(background, entry, facts[background], config["evaluation"]["rates_khz"])
            _check_bits(background, entry, {name: facts[name] for name in (background, *task["signals"])})
        for signal in task["signals"] if not task["any_window"] else ():
            energies = [(facts[name] or {}).get("sqrt_s_tev") for name in (background, signal)]
            if None not in energies and not math.isclose(*energies, rel_tol=SAME_ENERGY):
                raise InputError(
                    f"tasks.{where}: the collisions of background '{background}' have {energies[0]:g} TeV, those of "
                    f"signal '{signal}' {energies[1]:g} TeV: their scores would differ by that alone. Use samples that "
                    f"agree, or set 'tasks.{where}.any_window: true' to compare them all the same."
                )
    for name, found in facts.items():
        check_energy(config["style"]["sqrt_s_tev"], (found or {}).get("sqrt_s_tev"), name)


def _facts(where: str, source: dict, root: str | Path, looks: dict[str, list[Found]] | None) -> dict | None:
    """What a source says: ``meta`` of its events as far as it is known, ``triggers``, ``sqrt_s_tev``; or None."""
    if "card" in source:
        card = cards.find(source["card"], root)
        energy = cards.sqrt_s_tev(card, source["settings"])
        if source.get("pileup"):
            other = cards.sqrt_s_tev(cards.find(source["pileup"]["card"], root))
            if None not in (energy, other) and not math.isclose(energy, other, rel_tol=SAME_ENERGY):
                raise InputError(
                    f"{where}.pileup.card: its collisions have {other:g} TeV, those of "
                    f"{source['card']} {energy:g} TeV. Correct Beams:eCM in one of the cards."
                )
        return {"meta": _generated(source), "generated": True, "triggers": [], "sqrt_s_tev": energy}
    if looks is None:
        return None
    meta = merge_meta([found.meta for found in looks[where]])
    if ".processes." in where and not {"cross_section_pb"} & {*meta, *source}:
        raise InputError(f"{where}.cross_section_pb: missing, and its files do not say what it is. Add it, in pb.")
    bits = sorted({bit for found in looks[where] for bit in found.triggers})
    return {"meta": meta, "generated": False, "triggers": bits, "sqrt_s_tev": meta.get("sqrt_s_tev")}


def _sum_of(name: str, facts: list[dict | None]) -> dict | None:
    """What a sample says of which the processes say ``facts``; None if one of them was seen before."""
    if len(facts) == 1 or None in facts:
        return facts[0] if len(facts) == 1 else None
    energies = sorted({found["sqrt_s_tev"] for found in facts} - {None})
    if energies and not math.isclose(energies[0], energies[-1], rel_tol=SAME_ENERGY):
        raise InputError(
            f"samples.{name}.source.processes: their collisions have {energies[0]:g} and {energies[-1]:g} TeV. Use "
            "cards and files of one energy."
        )
    bits = sorted({bit for found in facts for bit in found["triggers"]})
    sqrt_s_tev = energies[0] if energies else None
    return {"meta": _generated({}), "generated": True, "triggers": bits, "sqrt_s_tev": sqrt_s_tev}


def _generated(source: dict) -> dict:
    """What the events will say of their rate."""
    return {"rate": {"kind": "zero_bias" if source.get("zero_bias") else "cross_section"}}


def _scale(name: str, entry: dict, meta: dict) -> rates.Scale | None:
    said, given = (meta.get("rate") or {}).get("kind"), entry.get("rate") or {}
    kind = given.get("kind", said)
    if said and kind in KINDS and kind != said:
        raise InputError(
            f"samples.{name}.rate: kind '{kind}' does not fit these events, which are "
            + ("bunch crossings" if said == "zero_bias" else "those of a process, one in each event")
            + f". Write 'kind: {said}', or leave 'kind' out."
        )
    if kind in KINDS:
        check_types(KINDS[kind], given, f"samples.{name}.rate")
    with at(f"samples.{name}."):
        return rate_tables.declared_scale(name, entry, meta)


def _check_budgets(name: str, entry: dict, facts: dict, budgets_khz: list[float]) -> None:
    meta = facts["meta"] | (UNKNOWN if facts["generated"] else {})
    if (scale := _scale(name, entry, meta)) is None:
        return
    known = scale.kind == "zero_bias" or not facts["generated"] or set(UNKNOWN) <= set(entry["rate"])
    whole = min(scale.hz, scale.crossing_hz) if known and budgets_khz != USUAL_KHZ else scale.crossing_hz
    for budget in budgets_khz:
        if 1000 * budget > whole:
            what = f"all of '{name}'" if whole < scale.crossing_hz else "all bunch crossings"
            raise InputError(
                f"evaluation.rates_khz: {budget:g} kHz is more than the rate of {what}, {whole / 1000:.6g} kHz. Remove "
                f"it, or correct samples.{name}.rate."
            )


def _stages(name: str, menu: dict | None, bits: Iterable[str]) -> Stages:
    try:
        return stages_of(menu, bits)
    except InputError as error:
        raise InputError(f"samples.{name}.{error}" if str(error).startswith("menu") else str(error)) from None


def _check_bits(name: str, entry: dict, facts: dict[str, dict | None]) -> None:
    """The patterns of a background's menu, and its seeds, against the trigger bits of it and of its signals."""
    if not (menu := entry.get("menu")):
        return
    for part, where in ((menu, f"samples.{name}.menu"), (menu.get("after", {}), f"samples.{name}.menu.after")):
        if own := own_keys(part):
            _check_menu(name, own, where, facts)


def _check_menu(name: str, menu: dict, where: str, facts: dict[str, dict | None]) -> None:
    bits = facts[name]["triggers"]
    for pattern in menu.get("bits", ()):
        _check_matched(f"{where}.bits", pattern, bits, f"the trigger bits of '{name}'")
    with_all = {key: value for key, value in menu.items() if key != "without"}
    seeds = _stages(name, with_all, bits).menu.prescales
    for pattern in menu.get("without", ()):
        _check_matched(f"{where}.without", pattern, list(seeds), "the seeds of the menu")
    left = _stages(name, menu, bits).menu
    for sample, of_sample in facts.items():
        if of_sample is not None:
            names = [*of_sample["triggers"], *left.seeds]
            with at(f"{where}: sample '{sample}'"):
                for seed, text in left.seeds.items():
                    with at(f"seeds.{seed}"):
                        check_seed(text, of_sample["triggers"])
                acceptance(left, np.zeros((0, len(names)), bool), names)


def _check_matched(where: str, pattern: str, names: list[str], what: str) -> None:
    if any(fnmatchcase(name, pattern) for name in names):
        return
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(pattern.lower(), lower, n=1)
    hint = f" Did you mean '{lower[close[0]]}'?" if close else ""
    some = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" or "none; see 'triggers' in docs/readers.md"
    raise InputError(f"{where}: '{pattern}' matches none of {what}.{hint} There are {len(names)}: {some}.")


def _check_generation(where: str, source: dict, selection: dict | str) -> None:
    keys = ("pileup", "zero_bias", "level1", "leading", "matching", "response", "settings")
    with at(where, TypeError, ValueError):
        Generation(source["card"], selection, **{key: source[key] for key in keys})


def _check_processes(name: str, entry: dict, sources: dict[str, dict]) -> None:
    """InputError unless the processes of a sample can be added."""
    key = f"samples.{name}.source.processes"
    for where, source in sources.items():
        if source.get("zero_bias"):
            raise InputError(f"{where}.zero_bias: crossings have all processes in them. Take it out of the sum.")
    for shared in ("level1", "leading"):
        if len({source[shared] for source in sources.values() if "card" in source}) > 1:
            raise InputError(f"{key}: they differ in '{shared}'. Write it once, beside 'processes'.")
    if (chunks := sum(source["chunks"] for source in sources.values() if "card" in source)) > MOST_CHUNKS:
        raise InputError(
            f"{key}: {chunks} chunks are more than {MOST_CHUNKS}. Lower 'chunks', or raise chunk_events.generation."
        )
    for key in ("cross_section_pb", "acceptance"):
        if key in (entry.get("rate") or {}):
            raise InputError(f"samples.{name}.rate.{key}: that of a sum is made of its processes. Leave it out.")


def _check_contamination(where: str, task: dict, config: dict) -> None:
    """Whether the first signal has training events enough, if both are generated and their numbers are known."""
    names = (task["background"], task["signals"][0])
    entries = [config["samples"][name] for name in names if name in config["samples"]]
    jets = [generated_jets(entry["source"]) for entry in entries]
    if len(entries) < len(names) or None in jets:
        return
    there, signals = (number * sum(entry["split"][:2]) for number, entry in zip(jets, entries, strict=True))
    for fraction in config["evaluation"]["contamination"]:
        if fraction * there > signals:
            raise InputError(
                f"evaluation.contamination: {fraction:g} of the {there:.0f} training events of '{names[0]}' are more "
                f"than the {signals:.0f} of '{names[1]}' (tasks.{where}). Lower it, or raise "
                f"samples.{names[1]}.source.jets."
            )


def _check_style(config: dict) -> None:
    if not (colors := config["style"]["colors"]):
        return
    settings(config["style"])
    samples, labels = ({e.get("label", name) for name, e in config[k].items()} for k in ("samples", "detectors"))
    labels |= samples | {f"{label} (window: any)" for label in samples} | {MODEL, *STAGES}
    for name in colors:
        if not config["students"]:  # whose formats are names, too
            check_choice("style.colors: label", name, labels)


def _numbers(value, where: str) -> Iterator[tuple[str, float]]:
    """(path of the key, number) of all numbers with a point in a part of the configuration."""
    if isinstance(value, float):
        yield where, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _numbers(item, f"{where}.{key}")
