"""The door: what ``import hepad`` gives, in a notebook's manners, and every example in its docstrings."""

import doctest
import inspect
import json
import re
import subprocess
import sys
import textwrap
import warnings
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import layers, linear_onnx
from sklearn.base import clone
from toy_run import toy_run

import hepad
from hepad import detectors, representations
from hepad.config.loading import detector_spec
from hepad.detectors import DETECTORS, Detector
from hepad.detectors.estimator import estimator
from hepad.detectors.inputs import divided, space_of
from hepad.detectors.training.settings import Fit
from hepad.errors import InputError
from hepad.evaluation.scores import write_scores
from hepad.evaluation.tables import write_csv
from hepad.representations import REPRESENTATIONS
from hepad.representations.features import Features
from hepad.samples.root_output import write_root
from hepad.storage.files import write_json

WINDOW = {"pt": [550, 650], "abs_eta": 2.0}
VECTOR = hepad.EventVector(["mass", "multiplicity", "girth"])
SHORT = {"autoencoder": {"hidden_dims": [64], "latent_dim": 2}, "training": {"steps": 300}}
IMAGE_AE = {
    "autoencoder": {"hidden_dims": [128], "latent_dim": 4},
    "training": {"steps": 400, "batch": 64, "learning_rate": 3e-3},
}
QUICK = {"Mixture", "NearestNeighbours", "Outlier", "PCAReconstruction", "PixelNorm", "Variable"}


@pytest.fixture(scope="module")
def vectors():
    """Correlated numbers (500, 4): two directions matter."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(500, 2)) @ rng.normal(size=(2, 4)) + 0.05 * rng.normal(size=(500, 4))


@pytest.fixture(scope="module")
def images(make_events):
    return hepad.JetImage(size=12, sigma=1)(make_events(400, 5))


@pytest.fixture(scope="module")
def place(make_events, tmp_path_factory):
    """A folder with qcd.root, top.root and the results of a small run, made without the workflow."""
    folder = tmp_path_factory.mktemp("door")
    linear_onnx(folder / "encoder.onnx", *layers(90, 16)[0], (1, 30, 3))
    config = toy_run(make_events, folder, steps=300)
    for name, copy in (("one", "qcd"), ("two", "top")):
        write_root(
            make_events(400, 11 if name == "one" else 12, prongs=1 if name == "one" else 2), folder / f"{copy}.root"
        )
    results, task = folder / "results", config["tasks"]["jets"]
    write_json(results / "admitted/plan.json", {"of": {}, "plan": {"config": config}})
    representation = representations.build(config["representations"]["vector"])
    features = {}
    for name in ("one", "two"):
        events = hepad.read(folder / f"{name}.root", WINDOW)
        (results / "events").mkdir(exist_ok=True)
        events.write(results / f"events/{name}.h5")
        features[name] = Features.of(representation, events)
    spec = detector_spec(config["detectors"]["ae"])
    model, _ = detectors.train(spec, *(features[task["background"]].of_split(s) for s in ("train", "valid")), seed=1)
    (results / "models/jets/ae").mkdir(parents=True)
    (results / "scores/jets").mkdir(parents=True)
    detectors.save(model, results / "models/jets/ae/1.safetensors", spec)
    scores = {}
    for name in ("one", "two"):
        test = features[name].of_split("test")
        scores[name] = model.score(test.x).numpy()
        write_scores(results / f"scores/jets/{name}.h5", [({"ae/1": scores[name]}, test)])
    record = {"task": "jets", "detector": "ae", "signal": "two", "seed": 1, "group": "detector"}
    write_csv(results / "auc.csv", "auc", [record | {"evaluation": hepad.evaluate(scores["one"], scores["two"])}])
    return folder


# names and imports


def imported(code: str) -> set[str]:
    """Modules that a fresh process has imported after ``code``."""
    command = [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def test_import_is_light():
    modules = imported("import hepad; dir(hepad)")
    assert not {"numpy", "torch", "h5py", "uproot"} & modules
    assert {name for name in modules if name.split(".")[0] == "hepad"} == {"hepad"}


def test_evaluation_and_results_need_no_torch(place):
    code = (
        f"import hepad; r = hepad.open({str(place / 'results')!r}); r.table('auc'); s = r.scores('jets', 'one')['ae/1']"
    )
    assert "torch" not in imported(f"{code}; hepad.evaluate(s, s + 1).auc; r.events('one')")
    assert "torch" not in imported(f"import hepad; hepad.read({str(place / 'one.root')!r})")


def test_dir_shows_the_door_and_every_name_opens():
    assert set(DETECTORS) | set(REPRESENTATIONS) | {"read", "load", "open", "evaluate"} <= set(dir(hepad))
    assert all(inspect.getdoc(getattr(hepad, name)) for name in hepad.__all__)
    with pytest.raises(AttributeError, match="no attribute 'NAEE'"):
        hepad.NAEE  # noqa: B018


def test_every_detector_has_a_signature_without_data():
    for name in DETECTORS:
        parameters = inspect.signature(getattr(hepad, name)).parameters
        assert "space" not in parameters
        assert set(inspect.signature(DETECTORS[name]).parameters) - {"space"} <= set(parameters)
        assert set(getattr(hepad, name)().get_params()) == set(parameters)


@pytest.mark.parametrize("name", DETECTORS)
def test_what_a_detector_is_made_of_can_be_written_to_a_file(name):
    """As plain values, whether or not they were given as settings."""
    cls = getattr(hepad, name)
    usual = cls().get_params()
    given = {key: value for key, value in usual.items() if value is not None}
    written = json.dumps(given)
    assert json.dumps(cls(**json.loads(written)).get_params()) == json.dumps(usual)
    hints = inspect.signature(DETECTORS[name], eval_str=True).parameters
    whole = {key: hints[key].annotation(**value) for key, value in given.items()
             if key in hints and is_dataclass(hints[key].annotation)}  # fmt: skip
    assert cls(**whole).get_params() == usual


def test_defaults_are_nobodys():
    hepad.NAE().get_params()["objective"]["gamma"] = 99
    assert hepad.NAE().get_params()["objective"]["gamma"] == 0.03


# the sentence of the door


def test_read_fit_score_evaluate_save_load(place, tmp_path):
    """layout.md's door; the numbers are those of the parts that it is made of."""
    events = hepad.read(str(place / "one.root"))
    detector = hepad.AE(**SHORT).fit(VECTOR(events.of_split("train")), VECTOR(events.of_split("valid")))
    signal = hepad.read([place / "two.root"])
    scores = detector.score(VECTOR(events.of_split("test"))), detector.score(VECTOR(signal))
    assert all(isinstance(s, np.ndarray) and s.dtype == np.float32 and s.ndim == 1 for s in scores)
    auc = hepad.evaluate(*scores).auc
    by_hand = (scores[1][:, None] > scores[0]).mean()  # P(a signal scores above a background event)
    assert auc.value == pytest.approx(by_hand)
    assert by_hand > 0.8
    detector.save(tmp_path / "ae.safetensors")
    assert np.array_equal(hepad.load(tmp_path / "ae.safetensors").score(VECTOR(signal)), scores[1])


def test_the_workflow_trains_the_same_module(make_events):
    features = Features.of(VECTOR, make_events(600, 7))
    train, valid = features.of_split("train"), features.of_split("valid")
    module, fit = detectors.train({"type": "AE", "arguments": SHORT}, train, valid, seed=4)
    mine = hepad.AE(representation=VECTOR, seed=4, **SHORT).fit(train.x, valid.x)
    assert np.array_equal(mine.score(valid.x), module.score(valid.x).numpy())
    assert mine.history == fit.history


@pytest.mark.parametrize(
    "detector", [hepad.AE(**IMAGE_AE), hepad.PixelNorm(), hepad.PCAReconstruction(components=3)], ids=repr
)
def test_images_as_arrays_of_any_library(detector, images, tmp_path):
    detector = clone(detector)
    assert detector.fit(images) is detector
    expected = detector.score(images)
    assert detector.module.space.unit_sum
    assert np.array_equal(detector.score(images.numpy().astype(np.float64)), expected)
    detector.save(tmp_path / "m.safetensors")
    loaded = hepad.load(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.score(images), expected)
    assert loaded.fit(images).score(images).shape == expected.shape  # and it can be fitted anew


def test_mahalanobis_distance_of_vectors(vectors, tmp_path):
    detector = hepad.Mixture(n_gaussians=1).fit(vectors[:450], vectors[450:])
    z = (vectors - vectors[:450].mean(0)) / vectors[:450].std(0, ddof=1)
    covariance = np.cov(z[:450].T, bias=True) + 1e-3 * np.eye(4)
    distance = np.einsum("ni,ij,nj->n", z, np.linalg.inv(covariance), z)
    assert np.corrcoef(distance, detector.score(vectors))[0, 1] > 0.9999
    detector.save(tmp_path / "m.safetensors")
    assert np.array_equal(hepad.load(tmp_path / "m.safetensors").score(vectors), detector.score(vectors))


def test_vectors_have_columns_and_images_in_the_unit_interval_are_photos(vectors):
    assert np.allclose(hepad.Variable(variable="x2").fit(vectors).score(vectors), vectors[:, 1], atol=1e-5)
    assert not space_of(torch.rand(5, 1, 4, 4)).unit_sum


def test_validation_events_are_split_off_by_event(make_events):
    events = make_events(400, 9)
    twice = events[np.repeat(np.arange(400), 2)]  # two rows of each event
    detector = hepad.Mixture(representation=VECTOR, n_gaussians=1).fit(twice)
    assert (detector.facts["n_train"], detector.facts["n_valid"]) == (720, 80)
    parts = [divided(twice, 1) for _ in range(2)]
    assert not set(parts[0][0].event_id) & set(parts[0][1].event_id)
    assert np.array_equal(parts[0][1].event_id, parts[1][1].event_id)


# events


def test_events_in_and_after_load(place, tmp_path):
    events = hepad.read(place / "one.root", WINDOW)
    detector = hepad.Mixture(representation=VECTOR, n_gaussians=2).fit(events)
    detector.save(tmp_path / "m.safetensors")
    loaded = hepad.load(tmp_path / "m.safetensors")
    assert repr(loaded.get_params()["representation"]) == repr(VECTOR)
    assert loaded.window == WINDOW
    assert np.array_equal(loaded.score(events), detector.score(VECTOR(events)))


REPRESENTED = [
    hepad.JetImage(size=20, sigma=2, power=0.5),
    VECTOR,
    hepad.EventMatrix(b_jets=0),
    hepad.Constituents(count=10, features=["z", "deta"]),
    hepad.Joined([hepad.JetImage(size=8), VECTOR]),
]


@pytest.mark.parametrize("given", REPRESENTED, ids=lambda given: type(given).__name__)
def test_representations_return_from_their_entries(given, make_events):
    again = representations.build(json.loads(json.dumps(given.entry)))
    assert type(again) is type(given)
    assert again.entry == given.entry
    assert torch.equal(again(make_events(5, 1)), given(make_events(5, 1)))


def test_events_from_elsewhere_are_scored_with_a_warning(place):
    events = hepad.read(place / "one.root", {"pt": [550, 600], "abs_eta": 2.0})
    detector = hepad.Mixture(representation=VECTOR, n_gaussians=1).fit(events)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.score(events)
    everywhere = hepad.read(place / "one.root")
    outside = int((everywhere.jet[:, 0] >= 600).sum())
    with pytest.warns(UserWarning, match=f"{outside} of {len(everywhere)} events lie outside the window"):
        assert len(detector.score(everywhere)) == len(everywhere)


def test_what_it_was_fitted_with_stays_until_the_next_fit(place, tmp_path):
    events = hepad.read(place / "one.root")
    detector = hepad.PCAReconstruction(representation=hepad.JetImage(size=12), components=2).fit(events)
    before = detector.score(events)
    detector.set_params(representation=hepad.JetImage(size=12, sigma=0), components=3)
    detector.save(tmp_path / "m.safetensors")
    assert np.array_equal(detector.score(events), before)
    assert np.array_equal(hepad.load(tmp_path / "m.safetensors").score(events), before)
    assert not np.array_equal(detector.fit(events).score(events), before)


def test_columns_in_another_order_are_refused(place):
    model = hepad.load(place / "results/models/jets/ae/1.safetensors")
    events = hepad.read(place / "one.root")
    with pytest.raises(InputError, match="events need a representation"):
        model.score(events)
    model.set_params(representation=hepad.EventVector(["multiplicity", "mass", "girth"]))
    with pytest.raises(InputError, match="does not yield what it was fitted on"):
        model.score(events)
    assert len(model.set_params(representation=VECTOR).score(events)) == len(events)


def test_an_empty_image_among_jet_images_is_one(images):
    assert space_of(torch.cat([images, torch.zeros_like(images[:1])])) == space_of(images)


# scikit-learn's manners


def test_parameters_as_scikit_learn_has_them(vectors):
    detector = hepad.AE(seed=3, training={"steps": 10}, noise=0.1)
    copy = clone(detector)
    assert copy is not detector
    assert copy.get_params() == detector.get_params()
    assert copy.set_params(noise=0.0, seed=5) is copy
    assert (copy.get_params()["noise"], detector.get_params()["noise"]) == (0.0, 0.1)
    assert repr(detector) == "AE(seed=3, training={'steps': 10}, noise=0.1)"
    assert repr(hepad.NAE()) == "NAE()"
    assert copy.module is None


WRONG = [
    (lambda x: hepad.AE(trainin={}), "AE: argument 'trainin' is unknown. Did you mean 'training'"),
    (lambda x: hepad.AE(latent=3), "AE: argument 'latent' stands inside another: autoencoder={'latent_dim': 3}"),
    (lambda x: hepad.NAE(n_steps=3), "NAE: argument 'n_steps' stands inside another: "),
    (lambda x: hepad.AE(noise="much"), "AE: noise: 'much' is not what it takes"),
    (lambda x: hepad.AE(seed=1.5), "AE: seed = 1.5"),
    (lambda x: hepad.AE(representation="JetImage"), "AE: representation = 'JetImage'"),
    (lambda x: hepad.Mixture(components=3), "'components' is called 'n_gaussians' now"),
    (lambda x: hepad.Mixture().set_params(gaussians=3), "Did you mean 'n_gaussians'"),
    (lambda x: hepad.AE(training={"step": 3}).fit(x), "training: argument of Schedule 'step' is unknown"),
    (lambda x: hepad.Variable().fit(x), "'variable' of Variable is missing"),
    (lambda x: hepad.Variable(variable="mass").fit(x), "'mass' is unknown"),
    (lambda x: hepad.Mixture().score(x), "Mixture: it is not fitted yet"),
    (lambda x: hepad.Mixture().save("m.safetensors"), "Mixture: it is not fitted yet"),
    (lambda x: hepad.Mixture().fit(x[0]), "an array of shape"),
    (lambda x: hepad.Mixture().fit("qcd.root"), "neither Events nor an array"),
    (lambda x: hepad.Mixture().fit(None), "Mixture: "),
    (lambda x: hepad.Mixture().fit(x[:, None, None, :]), "the pixels lie between"),
    (lambda x: hepad.Mixture().fit(x[:, None]), "images are (N, 1, H, W), vectors (N, D)"),
    (lambda x: hepad.Mixture().fit(np.where(x > 2, np.nan, x)), "entries that are NaN or infinite"),
    (lambda x: hepad.Mixture().fit(x[:1]), "at least 2"),
    (lambda x: hepad.Mixture().fit(x, device="gpu"), "device 'gpu' is unknown"),
    (lambda x: hepad.Mixture(n_gaussians=1).fit(x).score(x[:, :3]), "it was fitted on events of shape (4,)"),
    (lambda x: hepad.load("absent.safetensors"), "there is no such file"),
    (lambda x: hepad.read("absent.root"), "absent.root"),
    (lambda x: hepad.read([]), "the list of files is empty"),
    (lambda x: hepad.open("absent"), "no results of hepad"),
    (lambda x: hepad.evaluate([], [1.0]), "the background sample is empty"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_wrong_input_gives_one_message(call, message, vectors):
    with pytest.raises(InputError) as error:
        call(vectors)
    assert message in str(error.value)


def test_events_say_what_they_are_in_a_line(make_events):
    events = make_events(50, 1)
    assert re.fullmatch(
        r"Events\(50 jets.*, pt 5\d\d to 6\d\d GeV, up to \d+ constituents; .*train.*test\)", repr(events)
    )
    with pytest.raises(InputError, match=r"split 'training' is unknown\. Did you mean 'train'"):
        events.of_split("training")


def test_events_without_a_representation(make_events):
    with pytest.raises(InputError, match="events need a representation"):
        hepad.Mixture().fit(make_events(50, 1))


def test_a_file_whose_representation_is_another_is_refused(make_events, tmp_path):
    detector = hepad.Mixture(representation=VECTOR, n_gaussians=1).fit(make_events(100, 1))
    spec = {"type": "Mixture", "arguments": {"n_gaussians": 1}}
    for more in (
        {"representation": hepad.JetImage(size=8).entry},
        {"representation": {"type": "EventMatrix", "jets": 9_000_000}},
        {"representation": {"type": "Joined", "parts": [VECTOR.entry | {"sigma": 1e300}]}},
        {"representation": "JetImage"},
        {"window": "any"},
        {"window": {"pt": [2, 1]}},
        {"seed": "one"},
    ):
        detectors.save(detector.module, tmp_path / "m.safetensors", spec, **more)
        with pytest.raises(InputError, match="not a usable hepad model"):
            hepad.load(tmp_path / "m.safetensors")


# a detector whose fitted state would not be saved


class Careless(Detector):
    """Squared distance to the mean; where the mean is kept is the fault."""

    def _fit(self, train, valid, fitting):
        self.keep(train.mean(0) + 1)
        return Fit([], {})

    def anomaly(self, x):
        return (x - self.kept()).square().flatten(1).sum(1)


class InAnAttribute(Careless):
    def keep(self, mean):
        self.center = mean

    def kept(self):
        return self.center


class InAnObject(InAnAttribute):
    def __init__(self, space):
        super().__init__(space)
        self.found = {"center": [0.0]}

    def keep(self, mean):
        self.found["center"] = mean.tolist()

    def kept(self):
        return torch.tensor(self.found["center"])


class InAPassingBuffer(InAnAttribute):
    def __init__(self, space):
        super().__init__(space)
        self.register_buffer("center", torch.zeros(space.shape), persistent=False)

    def keep(self, mean):
        self.center.copy_(mean)


class InALateBuffer(InAnAttribute):
    def keep(self, mean):
        self.register_buffer("center", mean)


class InsideAPart(InAnAttribute):
    def __init__(self, space):
        super().__init__(space)
        self.part = torch.nn.Identity()

    def keep(self, mean):
        self.part.center = mean

    def kept(self):
        return self.part.center


class InABuffer(InAPassingBuffer):
    def __init__(self, space):
        super().__init__(space)
        self.register_buffer("center", torch.zeros(space.shape))


@pytest.mark.parametrize(
    ("cls", "name"),
    [(InAnAttribute, "'center'"), (InAnObject, "'found'"), (InAPassingBuffer, "'center'"),
     (InALateBuffer, "center"), (InsideAPart, "'part.center'")],
)  # fmt: skip
def test_a_state_that_would_not_be_saved_is_refused_at_fit(cls, name, vectors):
    x = torch.from_numpy(vectors).float()
    detector = cls(space_of(x))
    with pytest.raises(InputError) as error:
        detector.fit(x, x, generator=torch.Generator().manual_seed(1))
    assert cls.__name__ in str(error.value)
    assert name in str(error.value)


def test_a_state_that_is_saved_is_not_refused(vectors, tmp_path):
    Own = estimator(InABuffer)
    try:
        Own().fit(vectors).save(tmp_path / "own.safetensors")
        assert len(hepad.load(tmp_path / "own.safetensors").score(vectors)) == len(vectors)
    finally:
        del DETECTORS["InABuffer"]


# results of the workflow


def test_results_by_name(place):
    results = hepad.open(place / "results")
    assert (results.tasks, results.samples, results.detectors) == (["jets"], ["one", "two"], ["ae"])
    assert (results.missing, results.tables) == ([], ["auc"])
    events, scores = results.events("two"), results.scores("jets", "two")
    model = results.model("jets", "ae")
    assert np.array_equal(model.score(events), scores["ae/1"])
    assert np.array_equal(results.columns("jets", "two")["event_id"], events.event_id)
    assert model.window == WINDOW
    auc = hepad.evaluate(results.scores("jets", "one")["ae/1"], scores["ae/1"]).auc
    assert float(results.table("auc")["auc"][0]) == pytest.approx(auc.value, rel=1e-5)
    assert int(results.table("auc")["n_signal"][0]) == len(events)


def test_tables_without_pandas(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = hepad.open(place / "results").table("auc")
    assert list(table["detector"]) == ["ae"]
    assert table["auc"].dtype == np.float64


def test_models_of_a_run_warn_of_events_from_elsewhere(place):
    model = hepad.open(place / "results").model("jets", "ae", seed=1)
    events = hepad.read(place / "one.root")
    events.jet[:7, 0] = 700
    with pytest.warns(UserWarning, match="7 of"):
        model.score(events)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.scores("jet", "one"), "task 'jet' is unknown. Did you mean 'jets'"),
        (lambda r: r.scores("jets", "three"), "sample of task 'jets' 'three' is unknown"),
        (lambda r: r.events("three"), "sample 'three' is unknown"),
        (lambda r: r.events("one", "tset"), "Did you mean 'test'"),
        (lambda r: r.model("jets", "nae"), "detector of task 'jets' 'nae' is unknown"),
        (lambda r: r.model("jets", "ae", seed=9), "seed 9 of 'ae'"),
        (lambda r: r.table("acu"), "Did you mean 'auc'"),
    ],
)
def test_unknown_names_of_results(call, message, place):
    with pytest.raises(InputError) as error:
        call(hepad.open(place / "results"))
    assert message in str(error.value)


def test_a_run_that_is_not_finished_says_so(tmp_path, place):
    plan = tmp_path / "admitted/plan.json"
    plan.parent.mkdir()
    plan.write_text((place / "results/admitted/plan.json").read_text())
    results = hepad.open(tmp_path)
    assert results.missing == ["models/jets/ae/1.safetensors", "scores/jets/one.h5", "scores/jets/two.h5"]
    assert "not finished, 3 files are missing" in repr(results)
    for call in (lambda: results.model("jets", "ae"), lambda: results.table("auc"), lambda: results.events("one")):
        with pytest.raises(InputError, match="the run is not finished"):
            call()
    plan.write_text('{"plan": {}}')
    with pytest.raises(InputError, match="not the plan of a run"):
        hepad.open(tmp_path)


# examples


def examples():
    names = [name for name in hepad.__all__ if name != "__version__"]
    slow = [name for name in names if name in DETECTORS and name not in QUICK]
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


@pytest.mark.parametrize("name", examples())
def test_the_example_in_the_docstring(name, place, vectors, make_events, monkeypatch):
    monkeypatch.chdir(place)
    background = vectors
    if name in ("Glow", "PixelCNN", "PixelNorm"):
        background = hepad.JetImage(size=12)(make_events(500, 3))
    known = {"hepad": hepad, "np": np, "background": background, "events": make_events(500, 2)}
    found = doctest.DocTestFinder(recurse=False).find(getattr(hepad, name), name, globs=known)
    assert sum(len(test.examples) for test in found) > 0
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert sum(runner.run(test).failed for test in found) == 0


README = Path(__file__).parents[1] / "README.md"
CODE = {
    "readme": re.search(r"^## Python\n.*?```python\n(.*?)```", README.read_text(), re.S | re.M)[1],
    "docstring": textwrap.dedent("".join(re.findall(r"^    .*\n", hepad.__doc__, re.M))),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", CODE)
def test_the_code_that_shows_the_door_runs(where, place, tmp_path, monkeypatch):
    if where == "readme":
        for name in ("qcd", "top"):
            (tmp_path / f"results/samples/{name}").mkdir(parents=True)
            (tmp_path / f"results/samples/{name}/0.root").symlink_to(place / f"{name}.root")
    else:
        for name in ("qcd.root", "top.root", "results"):
            (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(CODE[where], names)
    assert hepad.evaluate(*names["scores"]).auc.value > 0.5
