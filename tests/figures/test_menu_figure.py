"""The figure of a menu shows the numbers of its table."""

import numpy as np
import pytest

from hepad.figures.menu import menu_rates, read_seeds
from hepad.figures.style import UNRESOLVED, style
from hepad.trigger.seed_tables import ALL, COLUMNS, write_seeds

CONFIG: dict = {}


def row(seed, sample, total, stage="menu", resolved=True, khz=28608.8):
    ends = {f"total{end}": total * factor for end, factor in (("", 1), ("_low", 0.9), ("_high", 1.2))}
    if seed != ALL:
        ends |= {f"pure{end}": total * factor / 2 for end, factor in (("", 1), ("_low", 0.9), ("_high", 1.2))}
    if khz and sample == "zero_bias":
        ends |= {key.replace("total", "total_khz").replace("pure", "pure_khz"): x * khz for key, x in ends.items()}
    found = {"task": "level1", "stage": stage, "seed": seed, "sample": sample, "resolved": resolved, **ends}
    return {column: found.get(column) for column in COLUMNS}


def rows(**more):
    shares = {"Jet": (1e-4, 0.8), "Met": (1e-3, 0.1), "Never": (0.0, 0.0), ALL: (2e-3, 0.85)}
    return [
        row(seed, sample, share, resolved=seed != "Jet", **more)
        for seed, both in shares.items()
        for sample, share in zip(("zero_bias", "top"), both, strict=True)
    ]


def drawn(table):
    with style(CONFIG):
        return menu_rates(table, "zero_bias", {"top": "top pairs"}, CONFIG)


def points(ax, gid):
    lines = [container.lines[0] for container in ax.containers if container.lines[0].get_gid() == gid]
    return {round(line.get_ydata()[0]): line.get_xdata()[0] for line in lines}


@pytest.mark.parametrize("khz", [28608.8, None])
def test_seeds_stand_by_falling_rate_with_total_and_pure(khz, tmp_path):
    write_seeds(tmp_path / "menu.csv", rows(khz=khz))
    figure = drawn(read_seeds(tmp_path / "menu.csv"))
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["Met", "Jet", "Never", ALL]
    unit = khz or 1.0
    assert points(left, "total") == pytest.approx({0: 1e-3 * unit, 1: 1e-4 * unit, 3: 2e-3 * unit})
    assert points(left, "pure") == pytest.approx({0: 5e-4 * unit, 1: 5e-5 * unit})
    (container,) = right.containers
    np.testing.assert_allclose(container.lines[0].get_xdata(), [0.1, 0.8, 0.0, 0.85])
    assert ("kHz" in left.get_xlabel()) == bool(khz)


def test_what_is_not_resolved_is_grey():
    left = drawn(rows()).axes[0]
    colors = {round(c.lines[0].get_ydata()[0]): c.lines[0].get_color() for c in left.containers}
    assert colors[1] == UNRESOLVED
    assert colors[0] == "black"


def test_a_first_stage_has_panels_of_its_own():
    figure = drawn([*rows(stage="first"), *rows(stage="menu")])
    assert len(figure.axes) == 4
