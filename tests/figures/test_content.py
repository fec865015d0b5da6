"""What a drawn figure shows, read back as numbers."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.roc import evaluate
from hepad.evaluation.seed_spread import spread
from hepad.figures.content import Axis, axis, contents
from hepad.figures.efficiency import efficiency_curves
from hepad.figures.headline import headline_curves
from hepad.figures.histograms import input_histograms
from hepad.figures.images import average_images
from hepad.figures.model_samples import beside_data
from hepad.figures.overview import heat_map
from hepad.figures.style import UNRESOLVED, band, inside, style

CONFIG = {"sqrt_s_tev": 14}
GROUPS = {"NAE": "detector", "mass": "baseline", "trees": "supervised"}


@pytest.fixture(autouse=True)
def neutral():
    with style(CONFIG):
        yield


@pytest.fixture(scope="module")
def spreads():
    rng = np.random.default_rng(3)
    background = rng.normal(0, 1, 3000)
    return {name: spread([evaluate(background, rng.normal(shift, 1, 900)) for _ in range(n)])
            for name, shift, n in (("NAE", 1.5, 3), ("mass", 1.0, 1), ("trees", 2.5, 1))}  # fmt: skip


def only(figure):
    (panel,) = contents(figure)
    return panel


def by_name(panel):
    return {curve.name: curve for curve in panel.curves}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jet $p_T$ [GeV]", Axis("jet $p_T$", "GeV")),
        (r"$\epsilon_S$", Axis(r"$\epsilon_S$")),
        ("change of the rate\nper collision [%]", Axis("change of the rate per collision", "%")),
        ("rate [kHz]; all events 40 kHz", Axis("rate; all events 40 kHz", "kHz")),
        ("", Axis("")),
    ],
)
def test_labels_have_names_and_units(text, expected):
    assert axis(text) == expected


def test_a_band_is_the_interval_of_its_line(spreads):
    """Colours that come again tell no line from another: a band names its own."""
    figure = efficiency_curves(spreads, GROUPS, CONFIG | {"colors": dict.fromkeys(spreads, "#123456")})
    panel, *_ = contents(figure)
    assert panel.x == Axis(r"background efficiency $\epsilon_B$")
    assert not any(name.startswith("random") for name in by_name(panel))
    for name, of in spreads.items():
        (curve,) = (curve for curve in panel.curves if curve.name.startswith(name))
        good = of.independent >= MIN_COUNT
        assert not good.all()
        np.testing.assert_array_equal([curve.x, curve.y], [of.eps_b[good], of.eps_s[good]])
        np.testing.assert_array_equal(curve.y_ends, [of.low[good], of.high[good]])
        assert curve.x_ends is None


def test_intervals_lie_along_the_axis_that_they_were_drawn_along(spreads):
    figure = headline_curves(spreads, GROUPS, CONFIG, names=["QCD", "top"])
    rejection, right, ratio = contents(figure)
    good = spreads["NAE"].independent >= MIN_COUNT
    low, high = spreads["NAE"].low[good], spreads["NAE"].high[good]
    curve = by_name(rejection)["NAE"]
    np.testing.assert_array_equal(curve.y, 1 / spreads["NAE"].eps_b[good])
    np.testing.assert_array_equal(curve.x_ends, [low, high])
    assert curve.y_ends is None
    np.testing.assert_array_equal(by_name(right)["NAE"].y_ends, [low, high])
    assert {"opponent: mass", "supervised: trees"} < set(by_name(rejection))
    assert set(by_name(ratio)) == set(by_name(rejection)), "a panel without a legend has the names of its neighbour's"
    nowhere = np.isnan(by_name(ratio)["opponent: mass"].y)
    assert nowhere.any()
    assert np.isnan(by_name(ratio)["opponent: mass"].y_ends[:, nowhere]).all()


def test_histograms_are_there_once_with_their_errors():
    rng = np.random.default_rng(1)
    samples = {"QCD": rng.normal(0, 1, (500, 1)), "top": rng.normal(1, 1, (300, 1))}
    panel = only(
        input_histograms(("$m$ [GeV]",), samples["QCD"], {"top": samples["top"]}, CONFIG, background_name="QCD")
    )
    assert (panel.x, panel.y) == (Axis("$m$", "GeV"), Axis("fraction of jets"))
    assert list(by_name(panel)) == ["QCD", "top"]
    for name, curve in by_name(panel).items():
        edges, values = curve.edges, samples[name][:, 0]
        counts = np.histogram(np.clip(values, edges[0], edges[-1] - 1e-9), edges)[0]
        np.testing.assert_allclose(curve.y, counts / len(values))
        np.testing.assert_allclose(curve.y_ends[1] - curve.y, np.sqrt(counts) / len(values), atol=1e-12)


def test_points_have_names_of_their_axis_and_of_the_legend():
    figure = Figure()
    ax = figure.subplots()
    for y, (value, color) in enumerate([(0.8, "C0"), (0.7, "C0"), (0.6, UNRESOLVED), (0.9, "C1")]):
        ax.errorbar([value], [y % 3 + 0.1], xerr=[[0.1], [0.02 * y]], marker="o", linestyle="none", color=color)
    ax.plot([0.5], [2], linestyle="none", marker="v", color="C1", markerfacecolor="white", gid="upper limit")
    ax.barh(1, 0.3, color="C2", label="expected")
    ax.scatter([0.1, 0.2], [0, 0], 14, ["C3", UNRESOLVED], gid="each")
    ax.set_yticks(range(3), ["AE", "NAE,\nimages", "mass"])
    for color, name in (("C0", "top"), ("C1", "SVJ")):
        ax.plot([], [], "o", color=color, label=name)
    ax.axvline(0.75, color="C0", gid="best", label="best for top")
    ax.axhline(0.5)
    ax.set_xlabel("AUC")
    inside(ax, "one\npanel", "black")
    figure.legend()
    panel = only(figure)
    assert (panel.title, panel.x, panel.y) == ("one, panel", Axis("AUC"), Axis("name"))
    assert panel.marks == {"best for top": 0.75}
    found = by_name(panel)
    assert set(found) == {"top", "SVJ", "SVJ, upper limit", "expected", "each"}
    assert found["top"].y.tolist() == ["AE", "NAE, images"]
    np.testing.assert_allclose(found["top"].x_ends, [[0.7, 0.6], [0.8, 0.72]])
    assert (found["SVJ"].y.tolist(), found["SVJ"].x.tolist()) == (["AE"], [0.9])
    assert found["SVJ, upper limit"].x.tolist() == [0.5]
    assert (found["expected"].y.tolist(), found["expected"].x.tolist()) == (["NAE, images"], [0.3])
    assert found["each"].x.tolist() == [0.1]


def test_a_band_without_a_line_has_both_of_its_ends():
    figure = Figure()
    ax = figure.subplots()
    (line,) = ax.plot([1, 2, 3], [5, 6, 7], label="value")
    band(line, np.array([1, 2, 3, 4]), np.array([4, np.nan, 6, 0]), np.array([6, 7, 9, 1]))
    ax.fill_between([1, 2], [0, 1], [2, 3], label="expected")
    found = by_name(only(figure))
    np.testing.assert_array_equal(found["value"].y_ends, [[4, np.nan, 6], [6, np.nan, 9]])
    assert found["expected, from"].y.tolist() == [0, 1]
    assert found["expected, to"].y.tolist() == [2, 3]


def test_a_mesh_has_the_edges_of_its_cells_and_the_label_of_the_colours():
    rng = np.random.default_rng(2)
    images = {name: rng.exponential(1e-3, (6, 4)) for name in ("QCD", "top")}
    images["QCD"][2, 1] = 0
    figure = average_images(images, CONFIG, half_widths=(0.4, 0.9))
    panels = contents(figure)
    assert [panel.title for panel in panels] == ["QCD", "top"]
    floor = max(image.max() for image in images.values()) * 1e-4
    for panel, image in zip(panels, images.values(), strict=True):
        (mesh,) = panel.meshes
        assert mesh.z == Axis("fraction of jet $p_T$ per pixel")
        np.testing.assert_allclose(mesh.x, np.linspace(-0.4, 0.4, 5))
        np.testing.assert_allclose(mesh.y, np.linspace(-0.9, 0.9, 7))
        np.testing.assert_allclose(mesh.values, np.where(image > floor, image, 0))
        assert mesh.floor == pytest.approx(floor)
        assert panel.x.name.startswith(r"$\Delta\eta$")
        assert panel.y.name.startswith(r"$\Delta\phi$")


def test_an_axis_without_ticks_has_a_label_of_the_panel():
    images = {
        name: (np.random.default_rng(1).exponential(1, (2, 3, 3)), np.array([0.5, 1])) for name in ("QCD", "start")
    }
    first, second = contents(beside_data(images, (), CONFIG))
    assert (first.title.split(",")[-1].strip(), second.title.split(",")[-1].strip()) == ("QCD", "start")
    assert {panel.y for panel in (first, second)} == {Axis("y")}
    assert len(first.meshes) == 2
    np.testing.assert_allclose(second.meshes[0].values, images["start"][0][0])


@pytest.mark.parametrize(("origin", "extent"), [("upper", None), ("lower", None), ("upper", (0, 2, 0, 3))])
def test_rows_of_a_mesh_go_with_the_axis(origin, extent):
    figure = Figure()
    ax = figure.subplots()
    ax.imshow(np.arange(1, 7).reshape(3, 2), origin=origin, extent=extent, norm=LogNorm(2, 6))
    (mesh,) = only(figure).meshes
    expected = np.array([[0, 0], [3, 4], [5, 6]])
    np.testing.assert_array_equal(mesh.values, expected[::-1] if extent else expected)
    np.testing.assert_array_equal(mesh.y, [0, 1, 2, 3] if extent else [-0.5, 0.5, 1.5, 2.5])


def test_cells_with_names_say_what_is_not_known():
    values = {"AE": [0.3, np.nan], "mass": [np.inf, 0.2]}
    (mesh,) = only(heat_map(values, ["QCD →\ntop", "QCD → SVJ"], CONFIG, 0.01, 1)).meshes
    cells = {(x, y): mesh.values[j, i] for j, y in enumerate(mesh.y) for i, x in enumerate(mesh.x)}
    assert cells[("QCD → top", "AE")] == 0.3
    assert cells[("QCD → SVJ", "mass")] == 0.2
    assert np.isnan([cells[("QCD → SVJ", "AE")], cells[("QCD → top", "mass")]]).all()
