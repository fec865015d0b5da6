"""Students: they follow their teacher, see background alone, and are the same when made again."""

import csv
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import ROOT
from scipy.stats import spearmanr

from hepad.detectors.training.settings import Schedule
from hepad.errors import CollapseError, InputError
from hepad.evaluation.scores import read_scores, write_scores
from hepad.figures import registry
from hepad.figures.student import student_efficiencies
from hepad.figures.style import style
from hepad.representations import Space
from hepad.storage.files import write_rows
from hepad.trigger import student as students
from hepad.trigger.fixed_point import Format, compare, of_events, types_of
from hepad.trigger.rates import zero_bias

VECTOR = Space((4,), ("a", "b", "c", "d"))
IMAGE = Space((1, 8, 8), (), 64)
BOTH = Space((66,), ("mass", "met"), 64)
SHORT = Schedule(600, batch=128, learning_rate=5e-3, ema_decay=0.98)


def background(space: Space, n: int, seed: int = 1) -> torch.Tensor:
    """Correlated columns around 100; images with a few bright pixels that sum to one."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, max(len(space.columns), 1), generator=g)
    columns = 100 + 10 * (z + z.roll(1, 1))
    image = torch.rand(n, space.pixels, generator=g) ** 6
    image = image / image.sum(1, keepdim=True).clamp(min=1e-9)
    return torch.cat([image, columns[:, : len(space.columns)]], 1).view(n, *space.shape)


def teacher(x: torch.Tensor) -> torch.Tensor:
    """Distance from the mean event."""
    flat = x.flatten(1)
    pixels, columns = flat[:, :-4] * 10, (flat[:, -4:] - 100) / 10 if flat.shape[1] == 4 else flat[:, -4:]
    return pixels.square().sum(1) + columns.square().sum(1)


def distilled(space: Space, spec: dict, score=teacher, seed: int = 3, **options):
    student = students.build(spec, space, seed)
    generator = torch.Generator().manual_seed(seed)
    fit = students.distil(
        student, score, background(space, 3000), background(space, 500, 2), SHORT, generator=generator, **options
    )
    return student, fit


@pytest.fixture(scope="module")
def fitted():
    return distilled(VECTOR, {"hidden_dims": [24, 12]})


def test_a_student_follows_its_teacher_on_background_and_on_outliers(fitted):
    student, fit = fitted
    x = background(VECTOR, 2000, 7)
    assert spearmanr(student.score(x).numpy(), teacher(x).numpy()).statistic > 0.95
    assert fit.facts["rank"] > 0.95
    assert fit.facts["rank_outliers"] > 0.95
    assert fit.facts["parameters"] == 4 * 24 + 24 + 24 * 12 + 12 + 12 + 1


def test_a_convolutional_student_follows_its_teacher():
    student, fit = distilled(IMAGE, {"network": "convolutional", "hidden_dims": [24], "channels": 6})
    assert fit.facts["rank"] > 0.8
    assert student.inputs == (1, 8, 8)


@pytest.mark.parametrize("share", [0, 2.5])
def test_any_number_of_outliers_will_do(share):
    asked = []
    _, fit = distilled(VECTOR, {"hidden_dims": [8]}, lambda x: asked.append(len(x)) or teacher(x), share=share)
    assert min(asked) > 0
    assert sum(asked) == 3000 + 3500 + share * 3500
    assert ("rank_outliers" in fit.facts) == bool(share)


def test_scores_are_bits_of_background_rate(fitted):
    student, _ = fitted
    x = background(VECTOR, 20_000, 8)
    scores = student.score(x)
    for bits in (2, 4, 6):
        assert float((scores > bits).float().mean()) == pytest.approx(2.0**-bits, rel=0.35)


def test_bits_of_known_ranks():
    t = students.bits(torch.tensor([0.0, 1.0, 1.0, 3.0]))
    values = t(torch.tensor([-1.0, -0.5, 0.5, 1.0, 3.0]))
    expected = -torch.log2(torch.tensor([5.0, 5.0, 4.0, 2.0, 1.0]) / 5)
    torch.testing.assert_close(values, expected)
    assert float(t(torch.tensor([1e9]))) == pytest.approx(np.log2(5))


@pytest.mark.parametrize("space", [VECTOR, IMAGE, BOTH])
def test_outliers_are_made_of_background_entries(space):
    x = background(space, 400)
    out = students.outliers(x, space, 300, torch.Generator().manual_seed(1))
    assert out.shape == (300, *space.shape)
    flat, columns = out.flatten(1), x.flatten(1)
    for k in range(space.pixels, flat.shape[1]):
        assert torch.isin(flat[:, k], columns[:, k]).all()  # each an entry of some event
    if space.pixels:
        torch.testing.assert_close(flat[:, : space.pixels].sum(1), torch.ones(300))
        assert flat[:, : space.pixels].min() >= 0
    else:  # correlations are broken in part: there are events between none and all entries exchanged
        same = (flat.unsqueeze(1) == columns).sum(2).amax(1)
        assert set(same.tolist()) >= {1, 2, 4}


def test_outliers_of_pixels_that_do_not_sum_to_one_stay_in_their_range():
    space = Space((1, 8, 8), (), 64, unit_sum=False)
    out = students.outliers(torch.rand(100, 1, 8, 8), space, 100, torch.Generator().manual_seed(1))
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_student_sees_no_signal():
    """The teacher is asked about nothing but background and what is made of its entries."""
    asked = []
    distilled(VECTOR, {"hidden_dims": [8]}, lambda x: asked.append(x) or teacher(x))
    entries = torch.cat([background(VECTOR, 3000), background(VECTOR, 500, 2)])
    for x in asked:
        assert all(torch.isin(x[:, k], entries[:, k]).all() for k in range(4))
    assert sum(map(len, asked)) == 3000 + 500 + 1500 + 250 + 3000


def test_the_same_seed_gives_the_same_student_and_another_one_does_not(fitted):
    student, _ = fitted
    again, _ = distilled(VECTOR, {"hidden_dims": [24, 12]})
    other, _ = distilled(VECTOR, {"hidden_dims": [24, 12]}, seed=4)
    x = background(VECTOR, 100, 9)
    assert torch.equal(student.score(x), again.score(x))
    assert not torch.equal(student.score(x), other.score(x))


def test_a_student_from_its_file_is_the_same(fitted, tmp_path):
    student, _ = fitted
    students.save(student, tmp_path / "s.safetensors", {"hidden_dims": [24, 12]})
    loaded = students.load(tmp_path / "s.safetensors")
    x = background(VECTOR, 100, 9)
    assert torch.equal(student.score(x), loaded.score(x))
    assert loaded.largest == pytest.approx(np.log2(3001))


def test_damaged_and_foreign_files_are_refused(fitted, tmp_path):
    path = tmp_path / "s.safetensors"
    students.save(fitted[0], path, {"hidden_dims": [24, 12]})
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a student"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a usable student"):
            students.load(path)
    students.save(fitted[0], path, {"hidden": [24, 12]})
    with pytest.raises(InputError, match="of an earlier version of hepad: 'hidden' is called 'hidden_dims' now"):
        students.load(path)
    students.save(fitted[0], path, {"hidden_dims": [24]})  # another network than the tensors
    with pytest.raises(InputError, match="not a usable student"):
        students.load(path)


def test_scales_are_powers_of_two_and_pooling_keeps_the_sum(fitted):
    student, _ = fitted
    mantissa, _ = np.frexp(student.scale.numpy())
    assert (mantissa == 0.5).all()
    pooled = students.build({"pool": 4}, BOTH, 1)
    x = background(BOTH, 10)
    prepared = pooled.prepare(x)
    assert prepared.shape == (10, 6)
    torch.testing.assert_close(prepared[:, :4].sum(1), torch.ones(10))
    torch.testing.assert_close(prepared[:, 4:], x[:, 64:])
    corner = x[:, :64].view(10, 8, 8)[:, :4, 4:].sum((1, 2))
    torch.testing.assert_close(prepared[:, 1], corner)


@pytest.mark.parametrize(
    ("space", "spec", "message"),
    [
        (VECTOR, {"pool": 2}, "needs pixels"),
        (IMAGE, {"pool": 3}, "blocks of 3"),
        (BOTH, {"network": "convolutional"}, "Use 'dense'"),
        (IMAGE, {"network": "convolutional", "kernel": 9}, "kernel 9"),
        (IMAGE, {"network": "convolution"}, "Did you mean 'convolutional'"),
        (VECTOR, {"hiden": [3]}, "Did you mean 'hidden_dims'"),
    ],
)
def test_unsuitable_students_are_refused(space, spec, message):
    with pytest.raises(InputError, match=message):
        students.build(spec, space, 1)


def test_a_teacher_that_nothing_can_follow_is_refused():
    generator = torch.Generator().manual_seed(1)
    with pytest.raises(CollapseError, match="does not follow its teacher"):
        distilled(VECTOR, {"hidden_dims": [4]}, lambda x: torch.rand(len(x), generator=generator))


@pytest.mark.parametrize("text", ["", "6,16", "16,0", "1", "40", "a", "8,4,2"])
def test_formats_that_mean_nothing_are_refused(text):
    with pytest.raises(InputError, match="formats"):
        Format.of(text)


def test_integer_bits_hold_what_they_have_to(fitted):
    student, _ = fitted
    types = types_of(student, Format.of(8), background(VECTOR, 3000))
    for name in ("dense1", "dense2", "output"):
        integer = int(types[name]["weight"].split(",")[1])
        largest = float(getattr(student.network, name).weight.detach().abs().max())
        assert 2.0 ** (integer - 2) <= largest < 2.0 ** (integer - 1)
    assert types["output"]["result"] == "fixed<8,5,TRN,SAT>"  # log2(3001) = 11.6 < 2^4
    assert types_of(student, Format.of("16,6"), background(VECTOR, 100))["dense1"]["weight"] == "fixed<16,6,RND,SAT>"


def scores_of(n: int, shift: float, seed: int):
    rng = np.random.default_rng(seed)
    exact = rng.normal(shift, 1, n)
    coarse = np.floor(2 * exact)
    return {"student/fixed<8,*>": coarse, "student/float": exact + 1e-6, "detector/teacher": exact}, None, None


def test_comparison_is_at_one_rate_and_coarse_scores_stay_within_it():
    b, s = scores_of(20_000, 0, 1), scores_of(5000, 2, 2)
    rows = compare(b, s, None, (), (0.1, 0.01))
    assert [row["eps_b"] for row in rows[:2]] == [0.1, 0.01]
    assert [row["engine"] for row in rows[::2]] == ["detector/teacher", "student/float", "student/fixed<8,*>"]
    by = {(row["engine"], row["eps_b"]): row for row in rows}
    assert by["detector/teacher", 0.01]["n_background_passed"] == 200
    assert by["student/float", 0.01]["eps_s"] == by["detector/teacher", 0.01]["eps_s"]
    assert by["student/fixed<8,*>", 0.01]["n_background_passed"] < 200  # ties never exceed the budget
    assert all(row["eps_s_low"] <= row["eps_s"] <= row["eps_s_high"] for row in rows)
    in_hz = compare(b, s, zero_bias(), (zero_bias().hz * 0.01 / 1e3,), ())
    assert in_hz[0]["eps_s"] == by["detector/teacher", 0.01]["eps_s"]
    with pytest.raises(InputError, match="not in"):
        compare(b, s, None, (), (0.0,))


def test_the_figure_shows_each_engine_at_each_rate():
    b, s = scores_of(20_000, 0, 1), scores_of(500, 2, 2)
    rows = [{"signal": "top", **row} for row in compare(b, s, zero_bias(), (1, 3000), ())]
    names = {"detector/teacher": "AE", "student/float": "float", "student/fixed<8,*>": "fixed"}
    with style({}):
        figure = student_efficiencies(rows, names, {}, title="QCD")
    assert len(figure.axes) == 2
    assert "1 kHz" in figure.axes[0].get_xlabel()
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(names.values())
    points = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in points] == [row["eps_s"] for row in rows[1::2]]
    # 1 kHz is less than one of these events: grey
    assert {line.get_color() for line in figure.axes[0].lines if len(line.get_xdata())} == {"#bbbbbb"}
    with pytest.raises(InputError, match="no student"):
        student_efficiencies([], names, {})


def scored(path, event_id, scores: dict, weight=None) -> None:
    """A file of scores, a row a jet."""
    n = len(event_id)
    weight = np.ones(n) if weight is None else weight
    beside = SimpleNamespace(weight=weight, event_id=event_id, cluster=event_id + 100, jet=np.zeros((n, 4)))
    write_scores(path, [(scores, beside)])


def test_an_event_counts_once_with_its_highest_score(tmp_path):
    ids = np.array([7, 7, 3, 9, 9, 9])
    scores = {"student/float": np.array([1.0, 2, 5, 0, 4, 3]), "detector/teacher": np.array([6.0, 1, 1, 2, 3, 9])}
    scored(tmp_path / "b.h5", ids, scores, weight=np.array([2.0, 2, 1, 3, 3, 3]))
    of_engines, weights, cluster = of_events(*read_scores(tmp_path / "b.h5"))
    assert of_engines["student/float"].tolist() == [5, 2, 4]  # events 3, 7, 9
    assert of_engines["detector/teacher"].tolist() == [1, 6, 9]
    assert weights.tolist() == [1, 2, 3]
    assert cluster.tolist() == [103, 107, 109]


@pytest.mark.parametrize("rate", [None, {"kind": "zero_bias"}])
def test_the_table_of_a_student_counts_events_at_the_configured_rates(tmp_path, make_events, rate):
    """The script of the workflow, on jets of which every second event has two."""
    rng = np.random.default_rng(1)
    engines = ("detector/teacher", "student/float")
    written = {}
    for name, n, shift in (("one", 20_000, 0.0), ("two", 3000, 2.0)):
        ids = np.concatenate([np.arange(n), np.arange(n // 2)])
        written[name] = ids, {engine: rng.normal(shift, 1, len(ids)).astype(np.float32) for engine in engines}
        scored(tmp_path / f"{name}.h5", *written[name])
    make_events(20, 1).write(tmp_path / "events.h5")
    khz, eps_b = (400.0, 2500.0), (0.05, 0.003)
    params = SimpleNamespace(samples=["one", "two"], rate=rate, khz=khz, eps_b=eps_b)
    table = tmp_path / "s.csv"
    output = SimpleNamespace(table=table, comparison=tmp_path / "s.json")
    given = SimpleNamespace(scores=tmp_path, events=tmp_path / "events.h5")
    job = SimpleNamespace(params=params, input=given, output=output, log=[tmp_path / "log"])
    runpy.run_path(ROOT / "workflow" / "scripts" / "compare_student.py", {"snakemake": job})
    rows = list(csv.DictReader(table.open()))
    labels = {"one": "background", "two": "signal", "ae": "AE"}
    words = {"student": "s", "background": "one", "teacher": "ae", "labels": labels}
    given = {"files": {"comparison": output.comparison}, "style": {}}
    (drawn,) = registry.draw("student", SimpleNamespace(**words, **given), tmp_path / "figures")
    assert drawn == tmp_path / "figures/students/s"
    assert drawn.with_suffix(".png").stat().st_size > 3000
    budgets = eps_b if rate is None else khz
    assert [float(row["khz"] or row["eps_b"]) for row in rows[:2]] == list(budgets)
    total = 1 if rate is None else zero_bias().hz / 1e3
    for row in rows:
        best = {}
        for name, (ids, scores) in written.items():
            best[name] = np.full(ids.max() + 1, -np.inf)
            np.maximum.at(best[name], ids, scores[row["engine"]])
        passed = int((best["one"] > float(row["threshold"])).sum())  # as read: a digit less and one more would pass
        budget = float(row["khz"] or row["eps_b"]) / total
        assert passed == int(row["n_background_passed"]) == int(budget * 20_000)
        assert float(row["eps_s"]) == pytest.approx((best["two"] > float(row["threshold"])).mean(), rel=1e-5)


def test_thresholds_are_written_with_all_digits(tmp_path):
    row = {"threshold": 0.1 + 0.2, "threshold_low": np.float64(1) / 3, "eps_b": 0.1 + 0.2}
    write_rows(tmp_path / "t.csv", list(row), [row])
    (read,) = csv.DictReader((tmp_path / "t.csv").open())
    assert float(read["threshold"]) == 0.1 + 0.2
    assert float(read["threshold_low"]) == 1 / 3
    assert read["eps_b"] == "0.3"
