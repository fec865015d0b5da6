"""Signal efficiency against background efficiency."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.errors import InputError, check_choice
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.seed_spread import SeedSpread, spreads
from hepad.evaluation.tables import SUPERVISED, read_records
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, band, label, palette, panels

# a colour that comes again gets the second dash pattern
LINES = {"detector": ("-", "-."), "baseline": ("--", (0, (6, 1, 1, 1, 1, 1))), "supervised": (":", ":")}
WIDTHS = {"detector": 1.5, "baseline": 1.0, "supervised": 1.8}
SUPERVISED_COLOR = "#777777"
MOST, ACROSS = 6, 3  # curves in a panel, panels in a row
EPS_S, EPS_B = r"signal efficiency $\epsilon_S$", r"background efficiency $\epsilon_B$"
LOWEST_EPS_B = 1e-4
HEADING = "name × trainings (AUC and its 68 % range)\nbands: 68 %, from trainings and from all counts"


@figure(
    {"{task}/efficiency_{signal}": Shown("Signal efficiency")},
    reads={"evaluation": "evaluation/{task}/{signal}.json"},
    needs=("background",),
    labels=("background", "signal", "detectors"),
    on_request=True,
)
def efficiency(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Signal efficiency against background efficiency for {signal} (task {task}). One line per detector: the median of
    its trainings, the band where a further training is expected with 68 %, from the scatter of the trainings and from
    all counts, those that fix the threshold included. The legend has the median AUC with its 68 % range. First the
    detectors, then the trivial baselines, in all panels the best of the other kind and the supervised trees. Curves are
    pale where fewer than 10 independent background jets pass.
    """
    of_detectors, groups = spreads(records_of(job))
    title = f"{job.labels[job.signal]} in {job.labels[job.background]}"
    yield f"{job.task}/efficiency_{job.signal}", efficiency_curves(of_detectors, groups, job.style, title=title)


def records_of(job: SimpleNamespace) -> list[dict]:
    """The evaluations of the detectors that a job shows, and of the supervised trees."""
    records = read_records([job.files["evaluation"]], job.labels | SUPERVISED)
    return [record for record in records if record["detector"] in job.labels | SUPERVISED]


def efficiency_curves(
    spreads: dict[str, SeedSpread],
    groups: dict[str, str],
    config: dict,
    *,
    title: str = "",
    baselines: list[str] | None = None,
) -> Figure:
    """ε_S against ε_B: blind detectors first, then trivial baselines, at most six curves in a panel.

    A line is the median of the detector's trainings, its band where a further one is expected with 68 %
    (:mod:`hepad.evaluation.seed_spread`). The best baseline is drawn among the detectors and the best detector among
    the baselines, so that no panel flatters; the supervised trees are in all, grey. Best means the largest AUC. Where
    fewer than 10 independent background events pass, a line is pale. The legend has the order of the AUC.

    Parameters
    ----------
    spreads: by the name that the legend shows
    groups: name -> 'detector', 'baseline' or 'supervised'
    config: style config
    title: what is searched in what, e.g. 'top in QCD'
    baselines: those to draw; None for all
    """
    plan, supervised = plan_panels(spreads, groups, baselines)
    across = min(ACROSS, len(plan))
    figure, axes = panels(-(-len(plan) // across), across, 4.2, 4.9, sharey=True)
    for ax in axes.flat[len(plan) :]:
        ax.set_axis_off()
    looks = line_looks(list(spreads), groups, config)
    for ax, (own, guest) in zip(axes.flat, plan, strict=False):
        for name in supervised + guest + own:
            draw_spread(ax, name, spreads[name], groups[name], looks[name])
        _finish(ax)
    for ax in axes.flat[: len(plan)][-across:]:  # nothing is below them
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(EPS_B)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def plan_panels(
    spreads: dict[str, SeedSpread], groups: dict[str, str], baselines: list[str] | None = None
) -> tuple[list[tuple[list[str], list[str]]], list[str]]:
    """Of each panel the names it is about and its one guest from the other group; and what is supervised.

    With that and the guest a panel has at most ``MOST`` curves.
    """
    if not spreads:
        raise InputError("figures: there are no curves to draw. Give the task detectors.")
    names = sorted(spreads, key=lambda name: -spreads[name].auc[0])
    of = {group: [name for name in names if check_choice("group", groups[name], LINES) == group] for group in LINES}
    if baselines is not None:
        of["baseline"] = [name for name in of["baseline"] if name in baselines]
    pairs = [(of["detector"], of["baseline"][:1]), (of["baseline"], of["detector"][:1])]
    room = max(MOST - 1 - len(of["supervised"]), 1)
    plan = [(own[i : i + room], guest) for own, guest in pairs for i in range(0, len(own), room)]
    return plan or [([], [])], of["supervised"]


def line_looks(names: list[str], groups: dict[str, str], config: dict) -> dict[str, dict]:
    """Colour and dashes by name; a colour that comes again gets the second pattern of its group."""
    looks, used = {}, set()
    for name, color in palette(names, config).items():
        color = SUPERVISED_COLOR if groups[name] == "supervised" else color
        looks[name] = {"color": color, "linestyle": LINES[groups[name]][color in used]}
        used.add(color)
    return looks


def draw_spread(ax: Axes, name: str, spread: SeedSpread, group: str, look: dict, power: float = 0.0) -> None:
    """ε_S ε_B^-power against ε_B with its band, grey where it is not resolved."""
    middle, low, high = (values * spread.eps_b**-power for values in (spread.eps_s, spread.low, spread.high))
    value, *ends = (f"{x:.3f}" for x in spread.auc)
    several = spread.trainings > 1
    text = f"{name} × {spread.trainings} ({value} [{', '.join(ends)}])" if several else f"{name} ({value})"
    text += ", supervised (not blind)" if group == "supervised" else ""
    resolved = spread.independent >= MIN_COUNT
    # the grey part joins the first resolved point
    faded = ~resolved | (np.cumsum(resolved) == 1)
    if not resolved.all():
        ax.plot(spread.eps_b[faded], middle[faded], color=UNRESOLVED, gid="unresolved", zorder=1, linewidth=0.8)
    line = {"linewidth": WIDTHS[group], "gid": group, "label": text, "zorder": 3 - (group != "detector")}
    (drawn,) = ax.plot(spread.eps_b[resolved], middle[resolved], **line, **look)
    band(drawn, *(values[resolved] for values in (spread.eps_b, low, high)))


def _finish(ax: Axes) -> None:
    eps = np.geomspace(LOWEST_EPS_B, 1, 200)
    ax.plot(eps, eps, color="black", linewidth=0.8, linestyle=(0, (1, 2)), gid="random", label="random (0.500)")
    ax.plot([], [], color=UNRESOLVED, linewidth=0.8, label=f"fewer than {MIN_COUNT} independent background events pass")
    ax.set_xscale("log")
    ax.set_xlim(LOWEST_EPS_B, 1)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(EPS_B)
    ax.set_ylabel(EPS_S)
    ax.label_outer()
    look = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.13), "alignment": "left", "fontsize": 7.5}
    ax.legend(title=HEADING, **look)
