"""The figure of worst-case regret: its points, its order, what is framed, and that nothing meets."""

import pytest
from test_note import check_no_collisions, look  # noqa: F401

from hepad.errors import InputError
from hepad.figures.regret import MOST, regret_rows

NAMES = {"QCD → top": ("qcd", "top"), "QCD → semivisible jets": ("qcd", "svj"), "top → QCD": ("swap", "qcd")}


def row(name, group, *shortfalls):
    """The worst of some shortfalls in the order of ``NAMES``, as of :func:`hepad.evaluation.regret.regrets`."""
    found = [{"task": task, "signal": signal, "opponent": "o0", "shortfall": value}
             for (task, signal), value in zip(NAMES.values(), shortfalls, strict=False)]  # fmt: skip
    worst = max(found, key=lambda of: of["shortfall"])
    value = worst["shortfall"]
    return {"detector": name, "group": group, "n_signals": len(found), "trainings": 1, "regret": value,
            "low": value - 0.008, "high": value + 0.006, **{k: worst[k] for k in ("task", "signal", "opponent")},
            "eps_s_ratio": 0.5, "ratio_task": "qcd", "ratio_signal": "top", "remark": "",
            "shortfalls": found}  # fmt: skip


@pytest.fixture
def rows():
    ahead = row("d0", "detector", -0.03, -0.01, 0.0)
    return [ahead, row("d1", "detector", 0.01, 0.05), row("o0", "baseline", 0.0, 0.2, 0.7)]


LABELS = {"d0": "NAE, images", "d1": "AE, vectors", "o0": "−log p(mass)"}


def test_points_are_the_differences_to_the_best_opponent(rows, look):  # noqa: F811
    figure = regret_rows(rows, NAMES, LABELS, look)
    check_no_collisions(figure)
    (ax,) = figure.axes
    places = {(line.get_xdata()[0], line.get_ydata()[0], line.get_color()) for line in ax.lines
              if len(line.get_xdata()) == 1 and line.get_gid() is None}  # fmt: skip
    points = {(x, y) for x, y, _ in places}
    assert points == {(-of["shortfall"], y) for y, found in enumerate(rows) for of in found["shortfalls"]}
    colors = {name: line.get_color() for line in ax.lines if (name := line.get_label()) in NAMES}
    for y, found in enumerate(rows):
        for of in found["shortfalls"]:
            name = next(name for name, place in NAMES.items() if place == (of["task"], of["signal"]))
            assert (-of["shortfall"], y, colors[name]) in places
    worst = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_gid() == "worst"]
    assert worst == [(-found["regret"], y) for y, found in enumerate(rows)]
    intervals = [tuple(line.get_xdata()) for line in ax.lines if line.get_gid() == "interval"]
    assert intervals == [(-found["high"], -found["low"]) for found in rows]
    assert ax.get_xlim()[0] < -0.7
    assert ax.get_xlim()[1] > 0.03
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the smallest regret is on top"


def test_opponents_and_detectors_of_some_tasks_are_told_apart(rows, look):  # noqa: F811
    figure = regret_rows(rows, NAMES, LABELS, look)
    texts = [(text.get_text(), text.get_fontstyle()) for text in figure.axes[0].get_yticklabels()]
    assert texts == [("NAE, images", "normal"), ("AE, vectors (2 of 3)", "normal"), ("−log p(mass)", "italic")]


def test_what_fits_and_what_there_is_not(rows, look):  # noqa: F811
    many = [row(f"x{i}", "detector", 0.01 * i, 0.0, 0.0) for i in range(40)]
    figure = regret_rows(many, NAMES, {f"x{i}": f"a detector with a name of some length, {i}" for i in range(40)}, look)
    check_no_collisions(figure)
    assert len(figure.axes[0].get_yticklabels()) == MOST
    narrow = regret_rows([row("d0", "detector", 0.001, 0.0, 0.0)], NAMES, LABELS, look)
    check_no_collisions(narrow)
    with pytest.raises(InputError, match="no detector has a simple opponent"):
        regret_rows([], NAMES, LABELS, look)
