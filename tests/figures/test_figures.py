"""Figures: what is on the axes, and that equal numbers make equal files."""

import io
from itertools import pairwise
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from PIL import Image

from hepad.errors import InputError
from hepad.evaluation.binned_efficiency import efficiency_against
from hepad.evaluation.roc import evaluate, threshold_at
from hepad.evaluation.seed_spread import spread
from hepad.figures.binned_efficiency import efficiency_against_variable
from hepad.figures.efficiency import efficiency_curves
from hepad.figures.histograms import input_histograms
from hepad.figures.images import average_images, jet_images
from hepad.figures.inputs import inputs
from hepad.figures.model_samples import beside_data
from hepad.figures.model_selection import model_selection_curves
from hepad.figures.reconstructions import reconstructed_images
from hepad.figures.scores import score_histograms
from hepad.figures.style import (
    CYCLE,
    EXPERIMENTS,
    UNRESOLVED,
    label,
    palette,
    palette_png,
    panels,
    save,
    settings,
    style,
)
from hepad.figures.summary import auc_summary
from hepad.figures.training import training_curves
from hepad.representations import Space
from hepad.representations.features import Features

CONFIG = {"sqrt_s_tev": 14}
GROUPS = {"NAE": "detector", "AE": "detector", "mass": "baseline", "width": "baseline", "trees": "supervised"}


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(1)
    return np.exp(rng.normal(0, 1, 3000)), {"top": np.exp(rng.normal(2, 1, 2000)), "svj": np.exp(rng.normal(1, 1, 999))}


@pytest.fixture(scope="module")
def evaluations(scores):
    shifts = dict(zip(GROUPS, (1.0, 0.7, 1.1, 0.1, 3.0), strict=True))
    return {name: evaluate(scores[0], scores[1]["top"] * shift) for name, shift in shifts.items()}


@pytest.fixture(autouse=True)
def neutral():
    with style(CONFIG):
        yield


def gids(ax):
    return [artist.get_gid() for artist in ax.get_children() if artist.get_gid()]


def texts(figure):
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def alone(evaluations):
    """Bands of one training each."""
    return {name: spread([evaluation]) for name, evaluation in evaluations.items()}


def test_a_line_and_a_band_for_several_trainings(evaluations):
    three = spread([evaluations["AE"], evaluations["NAE"], evaluations["AE"]])
    (ax,) = efficiency_curves({"AE": three}, {"AE": "detector"}, CONFIG).axes
    (line,) = (line for line in ax.lines if line.get_gid() == "detector")
    assert len(ax.collections) == 1
    assert line.get_label() == "AE × 3 ({:.3f} [{:.3f}, {:.3f}])".format(*three.auc)
    curve = evaluations["AE"].curve  # the median of two alike and another
    expected = np.interp(np.log(line.get_xdata()), np.log(curve.eps_b), curve.eps_s)
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-9)


def test_efficiency_curves(evaluations):
    figure = efficiency_curves(alone(evaluations), GROUPS, CONFIG, title="QCD → top")
    left, right = figure.axes
    for ax in (left, right):
        assert ax.get_xscale() == "log"
        assert ax.get_xlim() == (1e-4, 1)
        assert "background efficiency" in ax.get_xlabel()
        assert gids(ax).count("random") == 1
        assert gids(ax).count("supervised") == 1
    # each panel has its own group and the best of the other
    assert (gids(left).count("detector"), gids(left).count("baseline")) == (2, 1)
    assert (gids(right).count("detector"), gids(right).count("baseline")) == (1, 2)
    assert gids(left).count("unresolved") == 4
    lines = {line.get_label(): line for line in left.lines}
    nae = next(line for text, line in lines.items() if text.startswith("NAE"))
    curve = evaluations["NAE"].curve
    # the coloured part starts where ten background events pass, the grey part ends there
    assert nae.get_xdata()[0] == curve.eps_b[curve.independent >= 10][0]
    grey = [line for line in left.lines if line.get_gid() == "unresolved"]
    assert all(line.get_color() == UNRESOLVED for line in grey)
    assert all(line.get_xdata()[-1] <= 10.5 / 3000 for line in grey)
    assert f"{evaluations['NAE'].auc.value:.3f}" in nae.get_label()
    assert next(line for line in left.lines if line.get_gid() == "baseline").get_label().startswith("mass")
    assert "supervised (not blind)" in texts(figure)
    assert "14 TeV" in texts(figure)
    assert len(left.collections) == 4  # one band per curve


def test_efficiency_curves_of_some_or_no_baselines(evaluations):
    figure = efficiency_curves(alone(evaluations), GROUPS, CONFIG, baselines=["width"])
    assert "mass" not in texts(figure)
    assert len(efficiency_curves(alone(evaluations), GROUPS, CONFIG, baselines=[]).axes) == 1
    one = efficiency_curves(alone({"mass": evaluations["mass"]}), GROUPS, CONFIG)
    assert gids(one.axes[0]).count("baseline") == 1
    with pytest.raises(InputError, match="no curves"):
        efficiency_curves({}, GROUPS, CONFIG)
    with pytest.raises(InputError, match="detector"):
        efficiency_curves(alone(evaluations), GROUPS | {"AE": "detectors"}, CONFIG)


def test_lines_of_many_detectors_differ(evaluations):
    many = {f"d{i}": spread([evaluations["AE"]]) for i in range(14)}
    axes = efficiency_curves(many, dict.fromkeys(many, "detector"), CONFIG).axes
    lines = [[line for line in ax.lines if line.get_gid() == "detector"] for ax in axes]
    assert [len(of) for of in lines] == [5, 5, 4], "more than six curves cannot be told apart"
    looks = {(line.get_color(), line.get_linestyle()) for of in lines for line in of}
    assert len(looks) == 14


def test_score_histograms(scores):
    background, signals = scores
    thresholds = {eps: threshold_at(background, eps) for eps in (0.1, 0.01)}
    figure = score_histograms(background, signals, CONFIG, thresholds=thresholds, score_name="energy")
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel().startswith("energy")
    lines = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "threshold"]
    assert lines == pytest.approx(list(thresholds.values()))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["background", "top", "svj", *(rf"threshold at $\epsilon_B$ = {eps}" for eps in (0.1, 0.01))]


def test_histograms_are_normalised_with_what_lies_outside(scores):
    background, signals = scores
    outside = {"far": np.r_[signals["top"], np.full(10, 1e9)]}
    (ax,) = score_histograms(background, outside, CONFIG).axes
    steps = [patch.get_data().values for patch in ax.patches]
    assert len(steps) == 3  # the background's area and outline, the signal
    assert [values.sum() for values in steps] == pytest.approx([1, 1, 1])
    # signed scores stay on a linear axis; a constant one is still drawn
    assert score_histograms(background - 5, signals, CONFIG).axes[0].get_xscale() == "linear"
    assert score_histograms(np.ones(9), {"s": np.ones(7)}, CONFIG).axes
    with pytest.raises(InputError, match="'anomaly score' of 'far'"):
        score_histograms(background, {"far": np.array([1, np.nan])}, CONFIG)


def test_weights_enter_histograms():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (4000, 1))
    weights = np.where(values[:, 0] > 0, 3.0, 1.0)
    figure = input_histograms(("x",), values, {}, CONFIG, weights={"background": weights})
    heights = figure.axes[0].patches[0].get_data()
    assert heights.values.sum() == pytest.approx(1)
    right = heights.values[heights.edges[:-1] > 1e-9].sum()
    assert right == pytest.approx(0.75, abs=0.1)  # one bin lies across 0
    assert right > 0.6


def test_input_histograms(scores):
    rng = np.random.default_rng(2)
    columns = ("multiplicity", "mass [GeV]", "tau21", "C2", "D2")
    x = np.column_stack([rng.poisson(40, 500), *rng.exponential(50, (4, 500))])
    figure = input_histograms(columns, x, {"top": x + 1}, CONFIG, background_name="QCD")
    assert [ax.get_xlabel() for ax in figure.axes[:5]] == list(columns)
    assert [ax.axison for ax in figure.axes] == [True] * 5 + [False] * 3
    # whole numbers are never split over bins
    edges = figure.axes[0].patches[0].get_data().edges
    assert np.all(edges % 1 == 0.5)
    with pytest.raises(InputError, match="5 columns"):
        input_histograms(columns, x, {"top": x[:, :3]}, CONFIG)


def test_inputs_of_images_alone_are_their_largest_and_their_bright_pixels(tmp_path):
    x = torch.zeros(3, 1, 2, 2)
    x[0, 0] = torch.tensor([[0.9, 0.1], [0.0, 0.0]])
    x[1, 0] = 0.25
    x[2, 0] = torch.tensor([[0.999, 0.001], [0.0, 0.0]])  # the second is below 1 % of the first
    files = {}
    for name in ("qcd", "top"):
        files[name] = tmp_path / f"{name}.h5"
        beside = np.zeros(3, int), np.ones(3), np.arange(3), np.arange(3), np.zeros((3, 4), np.float32)
        Features(x, Space((1, 2, 2), (), 4), *beside).write(files[name])
    job = SimpleNamespace(files={"features": files}, labels={"qcd": "QCD", "top": "top"}, style=CONFIG, task="qcd")
    ((path, figure),) = inputs.make(job)
    assert path == "qcd/inputs"
    assert [ax.get_xlabel() for ax in figure.axes] == ["largest pixel", "pixels above 1 % of it"]
    heights, edges, _ = figure.axes[1].patches[0].get_data()  # of whole numbers
    found = {round((low + high) / 2): h for h, low, high in zip(heights, edges, edges[1:], strict=False) if h}
    assert found == {count: pytest.approx(1 / 3) for count in (1, 2, 4)}


def test_efficiency_against_variable():
    rng = np.random.default_rng(3)
    mass, score = rng.uniform(0, 300, 4000), rng.random(4000)
    score[mass > 250] = 0
    binned = efficiency_against(score, 0.95, mass, np.linspace(0, 400, 9))
    results = {"jet $p_T$ [GeV]": {"QCD": binned, "top": binned}, "jet mass [GeV]": {"QCD": binned, "top": binned}}
    figure = efficiency_against_variable(results, CONFIG, eps_b=0.05)
    assert [ax.get_xlabel() for ax in figure.axes] == list(results)
    for ax in figure.axes:
        assert ax.get_yscale() == "log"
        assert len(ax.containers) == 2
        assert len(ax.containers[0].lines[0].get_xdata()) == 5  # 250 to 300 has no passing event, above it is empty
        (limit, _) = [line for line in ax.lines if line.get_gid() == "upper limit"]
        assert limit.get_ydata() == pytest.approx([binned.high[5]])
        assert gids(ax).count("working point") == 1


def test_a_variable_over_decades_has_a_logarithmic_axis():
    rng = np.random.default_rng(4)
    ht, score = rng.exponential(300, 4000), rng.random(4000)
    wide, narrow = ([0, 20, 100, 500, 2500], [0, 200, 500, 2500])
    for edges, scale in ((wide, "log"), (narrow, "linear")):
        binned = efficiency_against(score, 0.5, ht, edges)
        (ax,) = efficiency_against_variable({"HT": {"QCD": binned}}, CONFIG).axes
        assert ax.get_xscale() == scale
        x = ax.containers[0].lines[0].get_xdata()
        low, high = np.maximum(edges[:-1], ax.get_xlim()[0]), np.array(edges[1:])
        middle = np.sqrt(low * high) if scale == "log" else (low + high) / 2
        np.testing.assert_allclose(x, middle)
        assert ax.get_xlim() == (10 if scale == "log" else 0, 2500)


def test_training_curves():
    shared = {"epoch": 1.0, "learning_rate": 1e-3}
    first = [{"phase": "autoencoder", "step": i, "loss": 1 / i, "valid_loss": 2 / i, **shared} for i in range(1, 30)]
    plus = {"valid_loss": None, "energy_positive": 1.0, "energy_negative": 1.2}
    second = [{"phase": "energy", "step": i, "loss": -0.2, **plus, **shared} for i in range(1, 9)]
    figure = training_curves(first + second, CONFIG)
    losses, energy_loss, energies = figure.axes
    assert gids(losses) == ["loss", "valid_loss"]
    assert losses.get_yscale() == "log"
    assert gids(energy_loss) == ["loss"]
    assert energy_loss.get_yscale() == "linear"
    assert gids(energies) == ["energy_positive", "energy_negative"]
    assert list(energies.lines[1].get_ydata()) == [1.2] * 8
    assert len(training_curves(first, CONFIG).axes) == 1
    with pytest.raises(InputError, match="history is empty"):
        training_curves([], CONFIG)


def test_jet_images_share_scale_and_axes():
    rng = np.random.default_rng(4)
    images = {row: {version: rng.random((40, 40)) ** 9 for version in "abc"} for row in ("QCD", "top")}
    figure = jet_images(images, CONFIG)
    shown = [ax.images[0] for ax in figure.axes[:6]]
    assert len({id(image.norm) for image in shown}) == 1
    assert isinstance(shown[0].norm, LogNorm)
    assert shown[0].get_extent() == [-0.58, 0.58, -0.70, 0.70]
    assert shown[0].origin == "lower"
    assert "eta" in figure.get_supxlabel()
    assert "phi" in figure.get_supylabel()
    assert "fraction of jet" in figure.axes[6].get_ylabel()
    assert len(average_images({"QCD": images["QCD"]["a"]}, CONFIG).axes) == 2
    with pytest.raises(InputError, match="not all zero"):
        average_images({"QCD": np.zeros((40, 40))}, CONFIG)


def test_reconstructions():
    rng = np.random.default_rng(5)
    x, y = rng.random((2, 4, 40, 40))
    figure = reconstructed_images(x, y, np.arange(4.0), CONFIG, names=["QCD"] * 2 + ["top"] * 2)
    np.testing.assert_allclose(figure.axes[8].images[0].get_array(), y[0] - x[0])
    norm = figure.axes[8].images[0].norm
    assert norm.vmin == -norm.vmax
    assert "score 3" in figure.axes[3].texts[0].get_text()
    with pytest.raises(InputError, match="one shape"):
        reconstructed_images(x, y[:2], np.arange(4.0), CONFIG)


def test_images_have_the_window_that_they_are_given():
    image = np.random.default_rng(1).dirichlet(np.ones(400)).reshape(20, 20)
    look = {"config": CONFIG, "half_widths": (0.3, 0.9)}
    drawn = [
        jet_images({"QCD": {"no filter": image, "filter": image}}, **look),
        average_images({"QCD": image, "top": image}, **look),
        reconstructed_images(np.stack([image] * 2), np.stack([image[::-1]] * 2), np.ones(2), **look),
    ]
    for figure in drawn:
        FigureCanvasAgg(figure).draw()
        for ax in (ax for ax in figure.axes if ax.images):
            assert tuple(ax.images[0].get_extent()) == (-0.3, 0.3, -0.9, 0.9)
            assert (ax.get_xlim(), ax.get_ylim()) == ((-0.3, 0.3), (-0.9, 0.9)), "ticks leave the window as it is"
            if ax.get_subplotspec().is_last_row():
                boxes = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
                inside = [box for box, x in zip(boxes, ax.get_xticks(), strict=False) if abs(x) <= 0.3]
                assert len(inside) == 3
                assert all(left.x1 < right.x0 for left, right in pairwise(inside))
    samples = {"QCD": (np.stack([image] * 3), np.ones(3))}
    figure = beside_data(samples, (), **look)
    extents = [tuple(shown.get_extent()) for shown in figure.axes[0].images]
    assert [(right - left, top - bottom) for left, right, bottom, top in extents] == [pytest.approx((0.6, 1.8))] * 3
    assert "< 0.3 across" in figure.axes[0].get_xlabel()
    assert "< 0.9 upwards" in figure.axes[0].get_xlabel()


def test_auc_summary(evaluations):
    shared = {"task": "qcd", "seed": 1}
    records = [
        {**shared, "detector": name, "signal": signal, "group": GROUPS[name], "evaluation": evaluation}
        for name, evaluation in evaluations.items()
        for signal in ("top", "svj")
    ]
    figure = auc_summary(records, "qcd", CONFIG)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["NAE", "AE", "mass", "width", "trees"]
    assert len(ax.containers) == len(records)
    assert "Supervised, not blind" in texts(figure)
    best = [line for line in ax.lines if line.get_gid() == "best baseline"]
    assert [line.get_xdata()[0] for line in best] == [evaluations["mass"].auc.value] * 2
    colors = {line.get_label(): line.get_color() for line in ax.lines if line.get_label() in ("top", "svj")}
    assert colors == palette(["top", "svj"], CONFIG), "a signal has one colour in all figures"
    with pytest.raises(InputError, match="no result of the task 'tops'"):
        auc_summary(records, "tops", CONFIG)


def test_published_values_stand_at_their_detector_in_the_colour_of_their_signal(evaluations):
    shared = {"task": "qcd", "seed": 1, "group": "detector"}
    records = [{**shared, "detector": name, "signal": signal, "evaluation": evaluations[name]}
               for name in ("NAE", "AE") for signal in ("top", "svj")]  # fmt: skip
    published = [{"detector": "AE", "signal": "svj", "auc": 0.93, "source": "arXiv:1"},
                 {"detector": "AE", "signal": "top", "auc": 0.1, "source": "arXiv:1"}]  # fmt: skip
    figure = auc_summary(records, "qcd", CONFIG, published)
    (ax,) = figure.axes
    rows = {text.get_text(): y for text, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    near, far = [line for line in ax.lines if line.get_gid() == "published"]
    assert (near.get_xdata()[0], near.get_color()) == (0.93, palette(["top", "svj"], CONFIG)["svj"])
    assert rows["AE"] < near.get_ydata()[0] < rows["AE"] + 0.5
    assert far.get_xdata()[0] >= ax.get_xlim()[0], "what is below the axis stands at its edge"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels.count("published, other events: arXiv:1") == 1


def test_saved_files_are_identical(evaluations, tmp_path):
    for name in ("one", "two"):
        figure = efficiency_curves(alone({"AE": evaluations["AE"]}), GROUPS, CONFIG)
        save(figure, tmp_path / name)
    for suffix in ("pdf", "png"):
        content = (tmp_path / f"one.{suffix}").read_bytes()
        assert content == (tmp_path / f"two.{suffix}").read_bytes()
        assert b"CreationDate" not in content
    save(figure, tmp_path / "three.v1")  # a dot in the name is not a suffix
    assert sorted(p.name for p in tmp_path.glob("three*")) == ["three.v1.pdf", "three.v1.png"]
    assert len(list(tmp_path.iterdir())) == 6


def test_a_png_is_small_and_looks_like_what_was_drawn(tmp_path):
    """Bands, thin lines in rare colours, and a colour map: no pixel is off by more than what an eye takes for equal."""
    figure, axes = panels(1, 2, 3, 3)
    x = np.linspace(0, 1, 50)
    for i, color in enumerate(CYCLE):
        axes[0, 0].plot(x, x + i, color=color, linewidth=0.6)
        axes[0, 0].fill_between(x, x + i - 0.3, x + i + 0.3, color=color, alpha=0.2)
    axes[0, 1].imshow(np.hypot(*np.mgrid[-1:1:40j, -1:1:40j]), cmap="viridis")
    full = io.BytesIO()
    figure.savefig(full, format="png")
    drawn, few = Image.open(full), Image.open(io.BytesIO(palette_png(Image.open(full), 256)))
    assert (few.mode, few.size) == ("P", drawn.size)
    assert few.info["dpi"] == pytest.approx(drawn.info["dpi"])
    off = np.abs(np.asarray(few.convert("RGB"), int) - np.asarray(drawn.convert("RGB"), int))
    assert off.max() <= 20
    assert off.mean() < 2
    save(figure, tmp_path / "few")
    assert Image.open(tmp_path / "few.png").mode == "P"
    assert (tmp_path / "few.png").stat().st_size < 0.4 * len(full.getvalue())


@pytest.mark.parametrize("experiment", [None, *EXPERIMENTS])
def test_experiment_styles(experiment):
    config = CONFIG | {"experiment": experiment, "label": "Simulation Preliminary"}
    before = dict(mpl.rcParams)
    with style(config):
        figure, axes = panels(1, 1, 3, 3)
        label(axes[0, 0], config, title="QCD → top")
        figure.savefig(io.BytesIO(), format="png", dpi=20)
    assert dict(mpl.rcParams) == before
    found = texts(figure)
    assert (experiment or "") in found
    assert found.count("Simulation Preliminary") == 1
    assert "14 TeV" in found
    assert "13" not in found


def test_the_users_matplotlibrc_does_not_matter():
    with mpl.rc_context({"font.size": 40, "axes.facecolor": "red"}), style(CONFIG):
        assert mpl.rcParams["font.size"] == 9
        assert mpl.rcParams["axes.facecolor"] == "white"


def test_palette():
    names = [f"d{i}" for i in range(9)]
    assert len(set(palette(names, {}).values())) == 9
    config = {"colors": {"d3": CYCLE[0], "elsewhere": CYCLE[1]}}
    colors = palette(names[:4], config)
    assert colors["d3"] == CYCLE[0]
    assert [colors[name] for name in names[:3]] == list(CYCLE[1:4])
    assert "elsewhere" not in colors


def test_bad_style_is_refused():
    with pytest.raises(InputError, match=r"'experment'.*Did you mean 'experiment'"):
        settings({"experment": "CMS"})
    with pytest.raises(InputError, match="ATLAS"):
        settings({"experiment": "CDF"})
    with pytest.raises(InputError, match="no colour"):
        settings({"colors": {"AE": "blu"}})


def test_the_chosen_and_the_best_candidate_are_marked():
    def record(signal, area):
        rows = [
            {"step": 10 * (i + 1), "auc": a, "auc_low": a - 0.01, "auc_high": a + 0.01, "wasserstein": 1 / (i + 1)}
            for i, a in enumerate(area)
        ]
        return {"signal": signal, "criterion": "wasserstein", "chosen_step": 30, "candidates": rows}

    records = [record("top", [0.7, 0.9, 0.8]), record("dark", [0.9, 0.6, 0.7])]
    figure = model_selection_curves(records, CONFIG)
    measured, areas = figure.axes
    assert [line.get_gid() for line in measured.lines] == ["wasserstein", "chosen"]
    stars = [
        line.get_xydata()[0].tolist() for line in areas.lines if line.get_marker() == "*" and len(line.get_xdata())
    ]
    assert stars == [[20, 0.9], [10, 0.9]]
    assert [line.get_xdata()[0] for ax in figure.axes for line in ax.lines if line.get_gid() == "chosen"] == [30, 30]
    with pytest.raises(InputError, match="no candidates"):
        model_selection_curves([], CONFIG)


def test_without_an_energy_of_collisions_none_is_written():
    with style({"sqrt_s_tev": None}):
        figure = training_curves([{"phase": "a", "step": 1, "loss": 1.0}], {"sqrt_s_tev": None}, title="AE")
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert "AE" in texts
    assert not [text for text in texts if "TeV" in text]
