"""Figures for a note: their numbers are those of the tables, nothing collides, colours and samples are the same."""

import io
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from command_line import ROOT
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from schema import validate
from scipy.stats import spearmanr

from hepad.config import preflight, subjects
from hepad.detectors import DETECTORS, Variable
from hepad.errors import InputError
from hepad.evaluation import seed_spread
from hepad.evaluation.anomalous import displays, most_anomalous
from hepad.evaluation.roc import evaluate
from hepad.events.kinematics import delta_phi
from hepad.figures import KINDS, colors, registry
from hepad.figures.correlation import correlation_matrix, rank_correlation
from hepad.figures.events import event_displays
from hepad.figures.headline import choose, headline_curves
from hepad.figures.histograms import input_histograms
from hepad.figures.overview import heat_map
from hepad.figures.score_grid import score_panels
from hepad.figures.scores import score_histograms
from hepad.figures.seeds import seed_points
from hepad.figures.style import label, panels, save, style
from hepad.figures.trainings import training_page
from hepad.samples.phase_space import of_sample, phase_space

META = {"generator": "Pythia 8", "jet_radius": 0.8, "sqrt_s_tev": 13.6, "window": {"pt": [550, 650], "abs_eta": 2.0}}
GROUPS = {"AE": "detector", "VAE": "detector", "NAE": "detector", "mass": "baseline", "trees": "supervised"}
SHIFTS = {"AE": 1.0, "VAE": 1.3, "NAE": 1.6, "mass": 0.9, "trees": 3.0}
LOOKS = {"neutral": None, "CMS": "CMS", "ATLAS": "ATLAS"}


@pytest.fixture(scope="module")
def trainings():
    """Name -> evaluations of its trainings, three of the first."""
    rng = np.random.default_rng(1)

    def one(shift):
        return evaluate(rng.normal(0, 1, 8000), rng.normal(shift, 1, 3000), eps_b=(0.1, 0.01), eps_s=(0.2, 0.3, 0.5))

    return {name: [one(shift + 0.05 * i) for i in range(3 if name == "AE" else 1)] for name, shift in SHIFTS.items()}


@pytest.fixture(scope="module")
def spreads(trainings):
    return {name: seed_spread.spread(of) for name, of in trainings.items()}


@pytest.fixture(params=LOOKS)
def look(request):
    config = {"experiment": LOOKS[request.param], "label": "Simulation Preliminary"} | of_sample(META, "QCD")
    with style(config):
        yield config


@pytest.fixture(scope="module")
def plan():
    """Of the default configuration."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    validate(config)
    return preflight.make(config, str(ROOT))


def headline(spreads, config):
    return headline_curves(spreads, GROUPS, config, names=["QCD", "semivisible jets"])


def line(ax, gid):
    (found,) = (line for line in ax.lines if line.get_gid() == gid)
    return found


def tick_labels(axis):
    """Those within the axis; the others are not drawn."""
    low, high = sorted(axis.get_view_interval())
    places = zip(axis.get_majorticklocs(), axis.get_major_ticks(), strict=False)
    return [tick.label1 for place, tick in places if low <= place <= high and tick.label1.get_visible()]


def check_no_collisions(figure):
    """No two texts meet, no legend covers a text, and none of them leaves the page; returns the renderer."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [*figure.texts, *(text for ax in figure.axes for text in ax.texts)]
    for ax in (ax for ax in figure.axes if ax.axison):
        texts += [ax.xaxis.label, ax.yaxis.label, ax.title, *tick_labels(ax.xaxis), *tick_labels(ax.yaxis)]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    legends = [legend for legend in (*figure.legends, *(ax.get_legend() for ax in figure.axes)) if legend]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    boxes += [("legend", legend.get_window_extent(renderer)) for legend in legends]
    page = figure.bbox.padded(1)
    assert boxes
    for name, box in boxes:
        assert page.contains(*box.p0), f"{name!r} leaves the page"
        assert page.contains(*box.p1), f"{name!r} leaves the page"
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not first.padded(-1).overlaps(second.padded(-1)), f"{one!r} meets {other!r}"
    return renderer


def test_curves_have_the_numbers_of_the_tables(trainings, spreads, look):
    rejection, right, ratio = headline(spreads, look).axes
    for name in ("VAE", "NAE", "mass"):
        (evaluation,) = trainings[name]
        drawn = line(rejection, name)
        for r in (r for r in evaluation.rejections if r.resolved):
            found = np.exp(np.interp(r.eps_s, drawn.get_xdata(), np.log(drawn.get_ydata())))
            assert found == pytest.approx(r.inverse_eps_b, rel=0.03)
        for p in (p for p in evaluation.working_points if p.resolved):
            found = np.interp(np.log(p.eps_b), np.log(line(right, name).get_xdata()), line(right, name).get_ydata())
            assert found == pytest.approx(p.eps_s.value, abs=0.01)
    # the median of three, and where a further training is expected
    (row,) = (
        seed_spread.together(*([getattr(e.working_points[0].eps_s, k) for e in trainings["AE"]] for k in ends))
        for ends in (("value", "low", "high"),)
    )
    ae = line(right, "AE")
    assert np.interp(np.log(0.1), np.log(ae.get_xdata()), ae.get_ydata()) == pytest.approx(row[0], abs=0.01)
    at, of = line(ratio, "NAE").get_xydata().T
    expected = {r.eps_s: r.inverse_eps_b for r in trainings["NAE"][0].rejections}
    below = {r.eps_s: r.inverse_eps_b for r in trainings["mass"][0].rejections}
    for eps_s in (0.3, 0.5):
        assert np.interp(eps_s, at, of) == pytest.approx(expected[eps_s] / below[eps_s], rel=0.05)
    np.testing.assert_allclose(line(ratio, "mass").get_ydata()[20:80], 1)


def test_lines_end_where_ten_independent_events_pass(spreads, look):
    _, right, _ = headline(spreads, look).axes
    for name, spread in spreads.items():
        assert line(right, name).get_xdata()[0] == spread.eps_b[spread.independent >= 10][0]


def test_nothing_collides_in_a_headline(spreads, look):
    long = {"AE": "AE, images", "VAE": "ConvVAE + planar flow, images", "mass": "Gaussian mixture, PCA + vector"}
    renamed = {long.get(name, name): spread for name, spread in spreads.items()}
    groups = {long.get(name, name): group for name, group in GROUPS.items()}
    figure = headline_curves(renamed, groups, look, names=["low-$p_T$ QCD", "semivisible jets"])
    renderer = check_no_collisions(figure)
    ax = figure.axes[0]
    covers = [ax.get_legend().get_window_extent(renderer)]
    covers += [text.get_window_extent(renderer) for text in ax.texts if text.get_gid() == "within"]
    for curve in ax.lines:
        points = curve.get_transform().transform(curve.get_xydata())
        assert not any(box.contains(*point) for box in covers for point in points[np.isfinite(points).all(1)])


def test_a_headline_says_what_it_is_of(spreads, look):
    texts = "\n".join(text.get_text() for ax in headline(spreads, look).axes for text in ax.texts)
    for words in (
        "semivisible jets in QCD",
        "anti-$k_T$ R = 0.8",
        r"550 < $p_T$ < 650 GeV",
        r"$|\eta|$ < 2",
        "13.6 TeV",
    ):
        assert words in texts


def test_the_choice_is_one_of_each_family_and_the_best_opponent(spreads):
    families = {"AE": "AE", "VAE": "AE", "NAE": "NAE", "mass": "Variable", "width": "Variable"}
    found, groups = spreads | {"width": spreads["AE"]}, GROUPS | {"width": "baseline"}
    labels = {name: name for name in families}
    job = SimpleNamespace(families=families, labels=labels, working_point=0.1, named=False)
    assert choose(found, groups, job) == ["VAE", "NAE", "width", "trees"]
    # at a working point where nothing is resolved the area decides, as on the page
    low = SimpleNamespace(**vars(job) | {"working_point": 1e-5})
    by_area = max(("mass", "width"), key=lambda name: found[name].auc[0])
    assert choose(found, groups, low)[-2] == by_area
    # who is asked for by name is drawn, in that order
    named = SimpleNamespace(**vars(job) | {"named": True, "families": dict(reversed(families.items()))})
    assert choose(found, groups, named) == ["width", "mass", "NAE", "VAE", "AE", "trees"]
    with pytest.raises(InputError, match="6 detectors are too many to be told apart"):
        choose(found | {"more": found["AE"]}, groups | {"more": "detector"}, SimpleNamespace(**vars(named) | {
            "families": families | {"more": "AE"}, "labels": labels | {"more": "more"}}))  # fmt: skip
    trivial = {name: found[name] for name in ("mass", "width", "trees")}
    assert choose(trivial, groups, job) == ["width", "mass", "trees"]


def test_every_name_of_a_score_has_its_glyphs_in_the_fonts_of_all_styles(look, recwarn):
    figure, axes = panels(1, 1, 5, 4)
    for name in sorted({cls.score_axis({}) for cls in DETECTORS.values() if cls is not Variable}):
        axes[0, 0].set_xlabel(name)
        FigureCanvasAgg(figure).draw()
    assert [str(said.message) for said in recwarn if "Glyph" in str(said.message)] == []


def test_a_headline_without_opponents_has_both_axes_and_no_ratio(spreads, look):
    figure = headline({name: spread for name, spread in spreads.items() if GROUPS[name] != "baseline"}, look)
    rejection, right = figure.axes
    check_no_collisions(figure)
    assert len(tick_labels(rejection.xaxis)) >= 5
    assert rejection.get_xlabel() == right.get_ylabel()


def test_experiments_have_their_labels_where_their_guides_ask(look):
    figure, axes = panels(1, 1, 5, 4)
    axes[0, 0].plot([0, 1], [0, 1])
    label(axes[0, 0], look, title="AE, vectors")
    check_no_collisions(figure)
    ax, experiment = axes[0, 0], look["experiment"]
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts if text.get_text().strip()}
    energy = "(13.6 TeV)" if experiment == "CMS" else r"$\sqrt{s}$ = 13.6 TeV"
    frame = ax.bbox
    beside = boxes["Simulation Preliminary"]
    if experiment:
        assert boxes[experiment].x1 < beside.x0
        (name,) = (text for text in ax.texts if text.get_text() == experiment)
        assert name.get_fontweight() == "bold"
    if experiment == "ATLAS":
        assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in (beside, boxes[energy]))
        (curve,) = ax.lines
        assert curve.get_transform().transform(curve.get_xydata())[:, 1].max() < boxes[energy].y0
    else:
        assert beside.y0 >= frame.y1
        assert boxes[energy].y0 >= frame.y1
        assert boxes[energy].x1 == pytest.approx(frame.x1, abs=2)
        (text,) = (text for text in ax.texts if text.get_text() == "Simulation Preliminary")
        assert text.get_fontstyle() == "italic"


def test_a_long_header_does_not_make_panels_narrower(look):
    figures = [panels(1, 2, 3.0, 3.0) for _ in range(2)]
    for (_, axes), header in zip(figures, ("QCD", "QCD, " + "a long text, " * 9), strict=True):
        for ax in axes.flat:
            ax.set(xticks=[0.5], yticks=[0.5])
        label(axes[0, 0], look | {"header": header}, axes[0, -1])
    for figure, _ in figures:
        check_no_collisions(figure)
    assert figures[0][1][0, 0].bbox.width == pytest.approx(figures[1][1][0, 0].bbox.width, rel=0.01)


def test_nothing_collides_in_other_figures(look, trainings):
    rng = np.random.default_rng(2)
    names = ["AE, images", "ConvVAE + planar flow, images", "Gaussian mixture, PCA + vector", "+MET", "NAE"]
    scores = {name: {"QCD": rng.exponential(1, 900), "top": rng.exponential(2, 900)} for name in names}
    history = [{"phase": phase, "step": 100 * i, "loss": 1 / i, "valid_loss": 2 / i, "energy_positive": energy,
                "energy_negative": energy} for phase, energy in (("autoencoder", None), ("energy", 1.0))
               for i in range(1, 9)]  # fmt: skip
    points = {name: [e.working_points[1] for e in of] for name, of in trainings.items()}
    page = training_page({name: history for name in names[:2]}, look, title="seed 1")
    figures = [
        score_panels(scores, dict.fromkeys(names, 3.0), dict.fromkeys(names, "anomaly score"), "QCD", look),
        score_histograms(
            scores["NAE"]["QCD"], {"top": scores["NAE"]["top"]}, look, thresholds={0.01: 4.0}, title="NAE"
        ),
        correlation_matrix(np.eye(5), names, look),
        seed_points({"top": points, "semivisible jets": points}, look, 0.01),
        heat_map({name: [0.5, 0.1] for name in names}, ["QCD →\ntop", "top →\nQCD"], look, 0.01, 4),
        page,
    ]
    for figure in figures:
        check_no_collisions(figure)
    assert all(ax.get_xlim()[0] == 0 for ax in page.axes if ax.axison), "no training begins before the step 0"


def test_one_colour_for_each_name_in_all_figures(plan, spreads):
    found = {}
    for kind, subject in subjects.figures(plan):
        for name, color in subjects.parameters(kind, subject)["colors"].items():
            assert found.setdefault(name, color) == color
    labels = {entry["label"] for kind in ("detectors", "samples") for entry in plan["config"][kind].values()}
    assert labels == set(found)
    of_detectors = [found[entry["label"]] for entry in plan["config"]["detectors"].values()]
    assert len(set(of_detectors)) == len(of_detectors)
    config = {"colors": {"NAE": "#123456"}}
    with style(config):
        rejection, right, ratio = headline(spreads, config).axes
        assert {to_hex(line(ax, "NAE").get_color()) for ax in (rejection, right, ratio)} == {"#123456"}


def test_colours_of_large_families_and_of_what_is_added():
    entries = {f"d{i}": {"type": "Mixture" if i % 3 else "AE"} for i in range(40)}
    found = colors.of_detectors(entries)
    assert len(set(found.values())) == 40
    added = colors.of_detectors(entries | {"new": {"type": "NAE"}})
    assert {name: added[name] for name in found} == found
    assert colors.of_samples(["qcd", "top"])["top"] == colors.of_samples(["qcd", "top", "dark"])["top"]


@pytest.mark.parametrize(
    ("meta", "texts"),
    [
        (META, ["anti-$k_T$ R = 0.8", "550 < $p_T$ < 650 GeV", r"$|\eta|$ < 2"]),
        (META | {"window": None}, ["anti-$k_T$ R = 0.8"]),
        ({"window": {"pt": [30, np.inf]}}, ["$p_T$ > 30 GeV"]),
        ({"window": {"pt": [0, 100], "abs_eta": 1.5}}, ["$p_T$ < 100 GeV", r"$|\eta|$ < 1.5"]),
        ({"readers": ["JetClass"], "jet_radius": 0.8}, ["anti-$k_T$ R = 0.8"]),
        ({"readers": ["Mapped"], "jet_radius": 1.0}, ["jets, R = 1"]),
        ({"generator": "Pythia 8", "level1": True, "jet_radius": 0.4}, ["jets, R = 0.4"]),
        ({}, []),
    ],
)
def test_the_phase_space_is_that_of_the_sample(meta, texts):
    assert phase_space(meta) == texts


def test_an_energy_that_contradicts_the_sample_is_refused():
    assert of_sample(META, "QCD")["sqrt_s_tev"] == 13.6
    assert of_sample(META, "QCD", 13.6)["sqrt_s_tev"] == 13.6
    assert of_sample({}, "data", 13.0)["sqrt_s_tev"] == 13.0
    assert of_sample({}, "data")["sqrt_s_tev"] is None
    with pytest.raises(InputError, match=r"say 8 TeV, but the collisions of 'QCD' have 13\.6 TeV. Leave the key out"):
        of_sample(META, "QCD", 8)


def test_a_job_takes_energy_and_phase_space_from_its_events(make_events, tmp_path):
    make_events(30, 1).write(tmp_path / "one.h5")
    job = SimpleNamespace(files={"sample": tmp_path / "one.h5"}, sample_label="QCD", colors={"AE": "#111111"}, style={})
    found = registry.style_of(job)
    assert (found["sqrt_s_tev"], found["header"].split(", ")[0]) == (14.0, "QCD")
    assert "550 < $p_T$ < 650 GeV" in found["header"]
    assert found["colors"] == {"AE": "#111111"}
    job.style = {"sqrt_s_tev": 8, "colors": {"AE": "red"}}
    with pytest.raises(InputError, match="8 TeV"):
        registry.style_of(job)


def test_a_default_run_draws_few_files(plan):
    files = 0
    for path in subjects.figure_files(plan):
        assert path.endswith(".pdf"), f"{path} is a folder of single detectors, which are drawn on request"
        files += 2
    assert 0 < files <= 120
    requested = {name for name in KINDS if registry.kind(name).on_request}
    assert {"scores", "training", "efficiency"} <= requested
    assert not requested & {"headline", "overview", "score_grid", "correlation", "seeds", "events", "trainings"}
    assert {kind["name"] for kind, _ in subjects.figures(plan)} >= requested, "they can be asked for"


def test_fonts_can_be_edited(spreads):
    page = io.BytesIO()
    with style({}):
        headline(spreads, {}).savefig(page, format="pdf")
    assert b"/Type3" not in page.getvalue()
    assert b"/Type42" in page.getvalue() or b"/CIDFontType2" in page.getvalue()


def test_cells_have_their_numbers_and_the_best_is_framed():
    values = {"AE": [0.25, np.nan], "mass": [0.5, np.inf], "trees": [0.9, 0.8]}
    with style({}):
        ax, _ = heat_map(values, ["top", "dark"], {}, 0.01, blind=2).axes
    cells = {text.get_position(): text.get_text() for text in ax.texts if text.get_text().strip() in
             ("0.250", "×", "0.500", "0.900", "0.800")}  # fmt: skip
    assert cells == {(0, 0): "0.250", (1, 0): "×", (0, 1): "0.500", (0, 2): "0.900", (1, 2): "0.800"}
    (frame,) = (patch for patch in ax.patches if patch.get_gid() == "best")
    assert frame.get_xy() == (-0.5, 0.5)


def test_rank_correlations_are_those_of_scipy():
    scores = np.random.default_rng(3).normal(size=(3, 500)) ** 3
    scores[1] += scores[0]
    np.testing.assert_allclose(rank_correlation(scores), spearmanr(scores, axis=1).statistic, atol=1e-12)


def test_variables_of_one_value_are_named_and_not_drawn(look):
    rng = np.random.default_rng(6)
    samples = [np.column_stack([rng.normal(size=(500, 2)), np.zeros(500), np.ones(500)]) for _ in range(2)]
    samples[0][3, 2] = 1  # one electron in 500 jets
    names = ("$m$ [GeV]", r"$\tau_{21}$", "electrons", "weight")
    figure = input_histograms(names, samples[1], {"top": samples[0]}, look, background_name="QCD")
    assert [ax.get_xlabel() for ax in figure.axes if ax.axison] == ["$m$ [GeV]", r"$\tau_{21}$", "electrons"]
    assert figure.legends[0].get_title().get_text() == "one value in all samples: weight = 1"
    check_no_collisions(figure)


def test_points_of_seeds_are_the_tables(trainings):
    points = {name: [e.working_points[1] for e in of] for name, of in trainings.items()}
    with style({}):
        ax, *_ = seed_points({"top": points}, {}, 0.01).axes
    drawn = {c.get_gid(): c.get_offsets()[:, 0] for c in ax.collections if c.get_gid() in points}
    for name, of in trainings.items():
        np.testing.assert_allclose(drawn[name], [e.working_points[1].eps_s.value for e in of])


def test_the_most_anomalous_events_are_shown(make_events, tmp_path):
    events = make_events(100, 4)
    scores = np.random.default_rng(5).permutation(100).astype(float)
    blocks = [(events[i : i + 30], {"ae/1": scores[i : i + 30]}) for i in range(0, 100, 30)]
    picked = most_anomalous(blocks, ["ae/1"])
    found, values = (of[picked.top["ae/1"]] for of in (picked.events, picked.scores["ae/1"]))
    np.testing.assert_array_equal(values, np.arange(99, 91, -1))
    np.testing.assert_array_equal(found.event_id, events.event_id[np.argsort(-scores)[:8]])
    jets = displays(found, values)
    for i, jet in enumerate(jets):
        pt, eta, phi = found.constituents[i, :, :3].T
        near = (np.abs(eta - found.jet[i, 1]) < 1) & (np.abs(delta_phi(phi, found.jet[i, 2])) < 1)
        assert jet.image.sum() == pytest.approx(pt[near].sum(), rel=1e-5)
        assert f"= {found.jet[i, 0]:.0f} GeV" in jet.text
        assert f"$n$ = {(pt > 0).sum()}, score {values[i]:.3g}" in jet.text
    with style({}):
        figure = event_displays({"QCD": jets, "top": jets[:3]}, {}, title="AE")
        check_no_collisions(figure)
        save(figure, tmp_path / "events")
    assert sum(bool(ax.images) for ax in figure.axes) >= 11
