"""A score as a trigger: efficiency and significance against background efficiency and rate, of all trainings."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.seed_spread import SeedSpread, spreads
from hepad.figures.efficiency import HEADING, LOWEST_EPS_B, draw_spread, line_looks, plan_panels, records_of
from hepad.figures.headline import choose
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, label, panels
from hepad.storage.files import read_json

# ε_S ε_B^-power
QUANTITIES = {0.0: r"signal efficiency $\epsilon_S$", 0.5: r"$\epsilon_S / \sqrt{\epsilon_B}$"}


@figure(
    {"{task}/trigger_{signal}": Shown("Trigger", {"task": "{task}", "figure": "efficiency and rate, {signal}"})},
    reads={"evaluation": "evaluation/{task}/{signal}.json", "rates": "rates/{task}.json"},
    needs=("background", "families", "working_point"),
    labels=("background", "signal", "detectors"),
    on_request=True,
)
def trigger(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Signal efficiency of events, which a trigger counts, and ε_S / √ε_B against background efficiency, and against
    the rate where the background declares one. One line per detector: the median of its trainings, the band where a
    further training is expected with 68 %, from the scatter of the trainings and from all counts, those that fix the
    threshold included. Grey: fewer than 10 independent background events pass. Drawn are the
    curves of the headline figure, a choice that looked at the signal; the supervised may leave the lower panel.
    """
    of_detectors, groups = spreads(records_of(job), kind="events")
    of_detectors = {name: of_detectors[name] for name in choose(of_detectors, groups, job)}
    khz = next((record["scale_khz"] for record in read_json(job.files["rates"])), None)
    title = f"{job.labels[job.signal]} in {job.labels[job.background]}"
    curves = trigger_curves(of_detectors, groups, job.style, khz=khz, title=title)
    yield f"{job.task}/trigger_{job.signal}", curves


def trigger_curves(
    spreads: dict[str, SeedSpread],
    groups: dict[str, str],
    config: dict,
    *,
    khz: float | None = None,
    title: str = "",
) -> Figure:
    """ε_S, and below it ε_S/sqrt(ε_B), against ε_B; a second axis is the rate. One line per detector, all trainings.

    All are of events, which a trigger counts. Panels and bands are as in :func:`hepad.figures.efficiency_curves`. Where
    fewer than 10 independent background events pass, lines are grey.

    Parameters
    ----------
    spreads: by the name that the legend shows, of events
    groups: name -> 'detector', 'baseline' or 'supervised'
    config: style config
    khz: rate of the whole background sample; None: it declares none, and there is no rate
    title: what is searched in what
    """
    plan, supervised = plan_panels(spreads, groups)
    height = 3.6 + 0.08 * max(len(own) for own, _ in plan)
    figure, axes = panels(2, len(plan), 4.2, height, sharex=True, sharey="row")
    looks = line_looks(list(spreads), groups, config)
    for column, (own, guest) in zip(axes.T, plan, strict=True):
        for ax, power in zip(column, QUANTITIES, strict=True):
            for name in supervised + guest + own:
                draw_spread(ax, name, spreads[name], groups[name], looks[name], power)
        _finish(column, spreads, [spread for name, spread in spreads.items() if groups[name] != "supervised"], khz)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def _finish(column: np.ndarray, spreads: dict[str, SeedSpread], blind: list[SeedSpread], khz: float | None) -> None:
    top, bottom = column
    lowest = max(LOWEST_EPS_B, min(spread.eps_b[0] for spread in spreads.values()))
    eps = np.geomspace(lowest, 1, 200)
    for ax, line in ((top, eps), (bottom, np.sqrt(eps))):
        ax.plot(eps, line, color="black", linewidth=0.8, linestyle=(0, (1, 2)), gid="random", label="random (0.500)")
    text = f"fewer than {MIN_COUNT} independent background events pass"
    top.plot([], [], color=UNRESOLVED, linewidth=0.8, label=text)
    top.set_xscale("log")
    top.set_xlim(lowest, 1)
    top.set_ylim(0, 1.02)
    # of what is blind and resolved: the supervised trees may leave the panel
    highest = [np.max((b.eps_s / np.sqrt(b.eps_b))[b.independent >= MIN_COUNT], initial=1) for b in blind]
    bottom.set_ylim(0, 1.15 * max(highest, default=1))
    bottom.set_xlabel(r"background efficiency $\epsilon_B$, of events")
    for ax, text in zip(column, QUANTITIES.values(), strict=True):
        ax.set_ylabel(text, math_fontfamily="dejavusans")  # experiments' own math fonts lack the root sign
        ax.label_outer()
    if khz is not None:
        axis = bottom.secondary_xaxis(-0.3, functions=(lambda x: x * khz, lambda x: x / khz))
        axis.set_xlabel("rate [kHz]", gid="rate")
    handles = top.get_legend_handles_labels()
    below = -0.16 if khz is None else -0.46
    look = {"loc": "upper left", "bbox_to_anchor": (-0.02, below), "alignment": "left", "fontsize": 7.5}
    bottom.legend(*handles, title=HEADING, **look)
