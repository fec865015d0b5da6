"""What ``hepad monitor`` found, for people: sentences, a table, a figure and a page."""

import base64
import html
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hepad.config.monitoring import COMPARED, Monitored
from hepad.evaluation.efficiency import clopper_pearson
from hepad.figures.drift import rates_in_time
from hepad.figures.style import save
from hepad.storage.files import atomic_path, write_rows

NAMES = {name: name.replace("_", " ") for name in COMPARED} | {"score": "the score"}
COLUMNS = (
    "run", "luminosity_block", "events", "passed", "share", "low", "high", "expected", "outside", "risen", "fallen",
    "alarm",
)  # fmt: skip
WORDS = {"pileup": "collisions", "n_pv": "vertices"}
FOLLOWS = 0.01  # p-value below which a rate is said to follow the pile-up
MOVED = 1e-4  # p-value below which a distribution is said to have moved
TIED = 0.9  # of the asked share; if fewer pass, it is said
STEP = 5.0  # standard deviations of the largest step of a share, of a hundred that are looked at


def write(found: Monitored, folder: Path, style: dict) -> list[Path]:
    """Write ``monitor.csv``, ``monitor.pdf`` and .png, and the page ``monitor.html``."""
    folder.mkdir(parents=True, exist_ok=True)
    drift = found.drift
    rows = [
        {
            "run": int(run), "luminosity_block": int(block), "events": int(found.events[i]),
            "passed": int(found.passed[i]), "share": float(drift.share[i]), "low": float(drift.low[i]),
            "high": float(drift.high[i]), "expected": float(drift.expected[i]),
            "outside": int(found.outside[i]), "risen": float(drift.risen[i]),
            "fallen": float(drift.fallen[i]), "alarm": int(drift.alarm is not None and i >= drift.alarm),
        }
        for i, (run, block) in enumerate(found.sections)
    ]  # fmt: skip
    write_rows(folder / "monitor.csv", COLUMNS, rows)
    save(rates_in_time(found.sections, drift, style), folder / "monitor")
    picture = base64.b64encode((folder / "monitor.png").read_bytes()).decode()
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in report(found))
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(found.key)}: rate</title>'
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}img{max-width:100%}</style>"
        f"<h1>Rate of {html.escape(found.key)}</h1>{lines}"
        f'<img alt="rate in time" src="data:image/png;base64,{picture}">'
    )
    with atomic_path(folder / "monitor.html") as partial:
        partial.write_text(page)
    return [folder / name for name in ("monitor.html", "monitor.csv", "monitor.pdf")]


def report(found: Monitored) -> Iterator[str]:
    """Sentences for people."""
    drift, threshold = found.drift, found.threshold
    share, k, n = (float(x) for x in found.reference.effective(threshold))
    yield (
        f"{found.key}: {found.passed.sum()} of {found.events.sum()} events in {len(found.sections)} sections pass "
        f"{threshold:.6g}, which {found.reference.count(threshold)} of {found.reference.whole.n} reference events pass"
        + ("." if found.reference.plain else f": {share:.4g} by weight, as well known as by {k:.4g} of {n:.4g}.")
    )
    if share < TIED * found.eps_b:
        yield f"Many events have the same score: {share:.3g} pass, where {found.eps_b:g} were asked for."
    yield from _of_pileup(found)
    if np.isinf(drift.delay):
        expected = float(np.nansum(drift.expected * found.events))
        yield (
            f"TOO FEW: a change by the factor {found.factor:g} that is looked for would not be found in half of such "
            f"runs. {expected:.3g} events were expected to pass. Give more files, a larger --eps-b, or a larger "
            "--reference."
        )
    else:
        yield (
            f"A change by the factor {found.factor:g} that is looked for would be found after {drift.delay:.0f} "
            f"sections in half of the cases; {found.false_alarms:g} of steady runs ring."
        )
    for factor, delay in found.smaller.items():
        when = f"after {delay:.0f} sections" if np.isfinite(delay) else "not found in this run"
        yield f"A change by {factor:g} would be found with --factor {factor:g}: {when}."
    if drift.alarm is None:
        sums = {"risen": drift.risen, "fallen": drift.fallen}
        way = max(sums, key=lambda name: sums[name].max())
        top = int(sums[way].argmax())
        zeros = np.flatnonzero(sums[way][: top + 1] == 0)
        run, block = found.sections[zeros[-1] + 1 if len(zeros) and zeros[-1] < top else 0]
        yield (
            f"No alarm: the sums stay below {drift.level:.1f}. The highest, that of a rate that has {way}, reaches "
            f"{sums[way][top]:.1f}, on its way since run {run}, section {block}."
        )
    else:
        run, block = found.sections[drift.alarm]
        first_run, first_block = found.sections[drift.began]
        yield (
            f"ALARM in run {run}, section {block}: the rate has {drift.direction}, from about run {first_run}, section "
            f"{first_block} on; since then {_ratio(found)} as many pass as are expected. "
            + (
                "The events since are too few for a threshold."
                if found.restored is None
                else f"A threshold of {found.restored:.6g} would pass {found.eps_b:g} of the events since."
            )
        )
    yield from _of_window(found)
    moved = [name for name, (_, p, *_) in found.changed.items() if p < MOVED]
    when = "since then" if drift.alarm is not None else "of all events"
    if found.changed and not moved:
        name, (distance, p, *_) = max(found.changed.items(), key=lambda item: (-item[1][1], item[1][0]))
        yield (
            f"No distribution has moved (p-values above {MOVED:g}). Farthest from the reference {when}: {NAMES[name]}, "
            f"by {distance:.3f} of the cumulative distribution (p-value {p:.2g}, for the {len(found.changed)} that "
            "were looked at)."
        )
    for name in moved:
        distance, p, before, after = found.changed[name]
        yield (
            f"WARNING: the distribution of {NAMES[name]} is not that of the reference, {when}: its mean is "
            f"{after:.5g}, there {before:.5g}; it is off by {distance:.3f} of the cumulative distribution "
            f"(p-value {p:.2g})."
        )


def _ratio(found: Monitored) -> str:
    """How many times as many events pass as are expected since the change, with the interval of their number."""
    since = slice(found.drift.began, None)
    passed = int(found.passed[since].sum())
    expected = float(np.nansum(found.drift.expected[since] * found.events[since]))
    low, high = (x * found.events[since].sum() for x in clopper_pearson(passed, int(found.events[since].sum())))
    return f"{passed / expected:.3g} [{low / expected:.3g}, {high / expected:.3g}] times"


def _of_window(found: Monitored) -> Iterator[str]:
    """How many events have no jet in the window of the training, and whether that changes."""
    whole = found.outside + found.events
    if not found.outside.sum():
        return
    share = f"{found.outside.sum()} of {whole.sum()} events have no jet in the window of the training and are left out"
    place, before, after, z = _step(found.outside, whole)
    if abs(z) < STEP:
        yield f"{share}."
        return
    run, block = found.sections[place]
    yield (
        f"WARNING: {share}: {before:.3g} of all before run {run}, section {block}, {after:.3g} from there on. "
        "Something moves jets across its edges, and the rate is of those that are left."
    )


def _step(part: np.ndarray, whole: np.ndarray) -> tuple[int, float, float, float]:
    """The section from which on a share of events changes most: its number, the share before and after, and z."""
    k, n = np.cumsum(part)[:-1], np.cumsum(whole)[:-1]
    later, rest = part.sum() - k, whole.sum() - n
    if not len(n) or not (n.min() and rest.min()):
        return 0, 0.0, 0.0, 0.0
    mean = part.sum() / whole.sum()
    z = (later / rest - k / n) / np.sqrt(max(mean * (1 - mean), 1e-12) * (1 / n + 1 / rest))
    i = int(np.abs(z).argmax())
    return i + 1, float(k[i] / n[i]), float(later[i] / rest[i]), float(z[i])


def _of_pileup(found: Monitored) -> Iterator[str]:
    """What the rate has to do with the pile-up."""
    if not found.pileup:
        yield (
            "Pile-up is not known of all events, 'pileup' or 'n_pv': a rate that follows it rings an alarm when the "
            "luminosity falls."
        )
        return
    edges, (k, n, _), what = found.strata.edges, found.strata.reference, WORDS[found.pileup]
    yield (
        f"Pile-up: {found.average[1]:.1f} {what} on average, {found.average[0]:.1f} in the reference. Sections are "
        f"compared with the reference at the same number, in {len(k)} intervals."
    )
    flat = f"(p-value of a flat rate {found.strata.p_flat:.2g})."
    if found.strata.p_flat < FOLLOWS:
        yield (
            f"The rate follows the pile-up: of the reference {k[0] / n[0]:.3g} pass with {edges[0]:.4g} to "
            f"{edges[1]:.4g} {what}, and {k[-1] / n[-1]:.3g} with {edges[-2]:.4g} to {edges[-1]:.4g} {flat}"
        )
    elif len(k) > 1:
        yield f"The rate does not follow the pile-up, as far as is known {flat}"
    if found.beyond:
        yield (
            f"{found.beyond} events are left out: their pile-up is beyond {edges[0]:.4g} to {edges[-1]:.4g}, where "
            "99 % of the reference are."
        )
