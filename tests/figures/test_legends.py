"""Legends show lines as they are drawn: what is dashed in a panel has gaps in the legend, what is solid has none."""

import numpy as np
import pytest
from crossings import scores_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D

from hepad.evaluation import seed_spread
from hepad.evaluation.diagnostics import copies, diagnose, scored_variables
from hepad.evaluation.roc import evaluate
from hepad.figures.diagnostics import diagnostics_page
from hepad.figures.efficiency import efficiency_curves
from hepad.figures.rates import rate_curves
from hepad.figures.style import style
from hepad.figures.training import training_curves
from hepad.figures.trigger import trigger_curves

CONFIG = {"sqrt_s_tev": 14}
MANY = 12  # more than there are colours


def gaps(figure) -> dict[str, tuple[bool, int]]:
    """Text of each legend entry that is a line -> (whether it is dashed, number of gaps that the page shows in it)."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(300)
    canvas.draw()
    page = np.asarray(canvas.buffer_rgba())[::-1, :, :3].astype(int)  # from below, as coordinates are
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes)]
    found = {}
    for legend in filter(None, legends):
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if not isinstance(handle, Line2D) or handle.get_linestyle() in ("None", "none", ""):
                continue
            (left, y), (right, _) = handle.get_transform().transform(handle.get_xydata())[[0, -1]]
            row = page[int(y), int(left) + 1 : int(right) - 1]
            ink = (row < 200).any(axis=1)
            inner = ink[ink.argmax() : len(ink) - ink[::-1].argmax()]
            found[text.get_text()] = (handle.get_linestyle() != "-", int(np.sum(np.diff(inner.astype(int)) == -1)))
    return found


def curves():
    rng = np.random.default_rng(1)

    def band(shift):
        scores = rng.normal(0, 1, 4000), rng.normal(shift, 1, 1000)
        return seed_spread.spread([evaluate(*scores, eps_b=(0.1,), eps_s=(0.3,))])

    groups = {f"{group} {i}": group for group in ("detector", "baseline") for i in range(MANY)} | {
        "trees": "supervised"
    }
    return {name: band(0.1 * i) for i, name in enumerate(groups)}, groups


@pytest.fixture(scope="module")
def page(events):
    """The records of as many detectors."""
    background = events["zero_bias"]
    rng = np.random.default_rng(1)
    of_copies = {name: e.jet[:, 0].astype(float) for name, e in copies(background[:300], rng).items()}
    of, weight, scores = scored_variables([(background, scores_of(background))])
    record = diagnose(scores["ae/1"], of, weight, of_copies, (0.1, 0.03), 0.1)
    area = {"auc": {"top": (0.9, 0.89, 0.91)}, "swapped": {"top": (0.3, 0.29, 0.31)}, "contamination": None}
    return {f"detector {i}": record | area for i in range(MANY)}


HISTORY = [
    {
        "phase": "energy",
        "step": i,
        "loss": 1.0 - i / 9,
        "valid_loss": 2.0,
        "energy_positive": 1.0,
        "energy_negative": 2.0,
    }
    for i in range(1, 4)
]
FIGURES = {
    "efficiency": lambda *_: efficiency_curves(*curves(), CONFIG),
    "trigger": lambda *_: trigger_curves(*curves(), CONFIG, khz=100.0),
    "diagnostics": lambda page, _: diagnostics_page(page, dict.fromkeys(page, "detector"), CONFIG),
    "training": lambda *_: training_curves(HISTORY, CONFIG),
    "rates": lambda _, counted: rate_curves(counted[0], {"top": "top pairs"}, CONFIG),
}


@pytest.mark.parametrize("experiment", [None, pytest.param("ATLAS", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(of, marks=pytest.mark.slow) if of == "trigger" else of for of in FIGURES]
)
def test_a_dashed_line_is_dashed_in_the_legend(page, records, name, experiment):
    with style({"experiment": experiment}):
        found = gaps(FIGURES[name](page, records))
    assert any(dashed for dashed, _ in found.values())
    assert any(not dashed for dashed, _ in found.values())
    for text, (dashed, number) in found.items():
        assert (number > 0) == dashed, (text, number)
