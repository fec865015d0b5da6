"""The figure that a note shows first: rejection against signal efficiency, and the other way round, of a few."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from hepad.errors import InputError
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.seed_spread import SeedSpread, spreads
from hepad.figures.efficiency import EPS_B, EPS_S, SUPERVISED_COLOR, records_of
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, band, label, palette, settings

MOST = 4  # detectors
NAMED = 5  # curves that are asked for by name: with the supervised one as many as can be told apart
DECADES = 1.3  # of the ratio's axis, beyond which powers of ten are ticks enough


@figure(
    {"{task}/headline_{signal}": Shown("Headline")},
    reads={"evaluation": "evaluation/{task}/{signal}.json"},
    needs=("background", "families", "working_point"),
    labels=("background", "signal", "detectors"),
    priority=10,
)
def headline(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Background rejection 1/ε_B against the efficiency of {signal}, and ε_S against ε_B (task {task}). Drawn are the
    best detector of each family, at most four, by the median ε_S at the working point, a choice that looked at the
    signal; the best simple opponent, likewise; and the supervised trees, which have seen the signal. A line is the
    median of a detector's trainings, its band where a further training is expected with 68 %, from the scatter of the
    trainings and from all counts. Below, the rejection over that of the simple opponent. Lines end where fewer than 10
    independent background jets pass.
    """
    found, groups = spreads(records_of(job))
    chosen = choose(found, groups, job)
    names = [job.labels[name] for name in (job.background, job.signal)]
    curves = headline_curves({name: found[name] for name in chosen}, groups, job.style, names=names)
    yield f"{job.task}/headline_{job.signal}", curves


def choose(found: dict[str, SeedSpread], groups: dict[str, str], job: SimpleNamespace) -> list[str]:
    """Who is drawn: those that were asked for by name; otherwise of each family of detectors the best, at most four, in
    their order, and the best opponent. Without a detector, four opponents take their place. And what is supervised.

    Best is the largest median ε_S at the job's working point, or median AUC where nothing is resolved there, as on the
    page. InputError: too many are asked for.
    """
    families = {job.labels[name]: family for name, family in job.families.items()}
    order = sorted(found, key=lambda name: list(families).index(name) if name in families else len(families))
    of = {group: [name for name in order if groups[name] == group] for group in ("detector", "baseline", "supervised")}
    if job.named:
        if len(blind := of["detector"] + of["baseline"]) > NAMED:
            raise InputError(f"figure headline: {len(blind)} detectors are too many to be told apart. Name {NAMED}.")
        return [name for name in order if name in blind] + of["supervised"]
    at = {name: _at(job.working_point, x) for name, x in found.items()}
    best = sorted(of["baseline"], key=lambda name: at[name], reverse=True)[: 1 if of["detector"] else MOST]
    of_families = {}
    for name in sorted(of["detector"], key=lambda name: at[name], reverse=True):
        of_families.setdefault(families[name], name)
    shown = list(of_families.values())[:MOST]
    return [name for name in of["detector"] if name in shown] + best + of["supervised"]


def _at(eps_b: float, spread: SeedSpread) -> tuple[float, float]:
    """The median ε_S, below all others where it is not resolved, and the median AUC."""
    place = np.log(eps_b), np.log(spread.eps_b)
    known = np.interp(*place, spread.independent) >= MIN_COUNT
    return float(np.interp(*place, spread.eps_s)) if known else -1.0, spread.auc[0]


def headline_curves(
    spreads: dict[str, SeedSpread], groups: dict[str, str], config: dict, *, names: list[str]
) -> Figure:
    """1/ε_B against ε_S over its ratio to the first opponent, and beside it ε_S against ε_B.

    Parameters
    ----------
    spreads: by the name that the legend shows
    groups: name -> 'detector', 'baseline' or 'supervised'
    config: style config, whose ``header`` is written inside
    names: of the background and the signal
    """
    if not spreads:
        raise InputError("figures: there are no curves to draw. Give the task detectors.")
    opponent = next((name for name in spreads if groups[name] == "baseline"), None)
    figure = Figure(figsize=(9.6, 4.9), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[3, 1], hspace=0.02)
    rejection, right = figure.add_subplot(grid[0 if opponent else slice(None), 0]), figure.add_subplot(grid[:, 1])
    ratio = figure.add_subplot(grid[1, 0], sharex=rejection) if opponent else None
    looks = {name: {"color": color} for name, color in palette(spreads, config).items()}
    for name, spread in spreads.items():
        if groups[name] == "supervised":
            looks[name] = {"color": SUPERVISED_COLOR, "linestyle": "--"}
        elif name == opponent:
            looks[name] |= {"linestyle": (0, (4, 1.2))}
        role = "opponent: " if name == opponent else "supervised: " if groups[name] == "supervised" else ""
        draw_curve(rejection, right, name, resolved(spread), looks[name] | {"label": role + name})
        if opponent:
            _ratio(ratio, name, resolved(spread), resolved(spreads[opponent]), looks[name])
    _finish(rejection, ratio, right)
    _, *of_jets = settings(config)["header"].split(", ")
    background, signal = names
    within = "\n".join((f"{signal} in {background}", *of_jets))
    label(rejection, config, right, within=within)
    return figure


def resolved(spread: SeedSpread) -> SeedSpread:
    """The part of a curve at which enough independent background events pass."""
    good = spread.independent >= MIN_COUNT
    arrays = (spread.eps_b, spread.eps_s, spread.low, spread.high, spread.independent)
    return SeedSpread(*(values[good] for values in arrays), auc=spread.auc, trainings=spread.trainings)


def draw_curve(rejection: Axes, right: Axes, name: str, spread: SeedSpread, look: dict) -> None:
    """One curve with its band in both; where no background event passes any more nothing is drawn."""
    (line,) = rejection.plot(spread.eps_s, 1 / spread.eps_b, gid=name, **look)
    band(line, 1 / spread.eps_b, spread.low, spread.high, "x")
    (line,) = right.plot(spread.eps_b, spread.eps_s, gid=name, **look)
    band(line, spread.eps_b, spread.low, spread.high)


def rejection_at(eps_s: np.ndarray, spread: SeedSpread, of: str = "eps_s") -> np.ndarray:
    """1/ε_B at signal efficiencies (P,) of the median or of 'low' or 'high'; NaN where the curve has none."""
    found = np.maximum.accumulate(getattr(spread, of))
    return np.exp(np.interp(eps_s, found, -np.log(spread.eps_b), left=np.nan, right=np.nan))


def _ratio(ax: Axes, name: str, spread: SeedSpread, opponent: SeedSpread, look: dict) -> None:
    eps_s = np.linspace(0.01, 0.99, 99)
    below = rejection_at(eps_s, opponent)
    middle, low, high = (rejection_at(eps_s, spread, of) / below for of in ("eps_s", "low", "high"))
    (line,) = ax.plot(eps_s, middle, gid=name, **look)
    band(line, eps_s, low, high)


def _finish(rejection: Axes, ratio: Axes | None, right: Axes) -> None:
    lowest = min((line.get_xdata().min() for line in right.lines if len(line.get_xdata())), default=1e-2)
    eps = np.geomspace(lowest, 1, 200)
    look = {"color": "black", "linewidth": 0.8, "linestyle": (0, (1, 2)), "gid": "random", "label": "random"}
    rejection.plot(eps, 1 / eps, **look)
    right.plot(eps, eps, **look)
    rejection.set(xlim=(0, 1), yscale="log", ylim=(1, 1.3 / lowest), ylabel=r"background rejection $1/\epsilon_B$")
    rejection.legend(loc="upper right", handlelength=2.2, fontsize=7.5)
    right.set(xscale="log", xlim=(lowest, 1), ylim=(0, 1.02), xlabel=EPS_B, ylabel=EPS_S)
    if ratio is None:
        rejection.set_xlabel(EPS_S)
        rejection.tick_params(axis="x", pad=8)  # 10^0 and 0.0 meet in the corner
        return
    rejection.tick_params(labelbottom=False)
    ratio.set(xlabel=EPS_S, yscale="log")
    ratio.set_ylabel("ratio to\nopponent", fontsize=8)
    low, high = ratio.get_ylim()
    ratio.yaxis.set_major_locator(LogLocator(subs=(1,) if np.log10(high / low) > DECADES else (1, 2, 5)))
    ratio.yaxis.set_major_formatter("{x:g}")
    ratio.yaxis.set_minor_formatter("")
    ratio.axhline(1, color=UNRESOLVED, linewidth=0.8, zorder=0)
