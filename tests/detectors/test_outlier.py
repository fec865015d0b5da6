"""Detectors of other libraries: their own scores, fitted again from a file to the last bit, and nothing executed."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

import hepad
from hepad import detectors
from hepad.detectors.outlier import MODELS, PYOD
from hepad.errors import InputError
from hepad.representations import Space
from hepad.trigger.export.onnx_export import export

SPACE = Space((5,), tuple("abcde"))
THEIRS = {
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    "OneClassSVM": lambda seed: OneClassSVM(),
    "LocalOutlierFactor": lambda seed: LocalOutlierFactor(novelty=True),
    "EllipticEnvelope": lambda seed: EllipticEnvelope(random_state=seed),
}


def spec_of(model, library="sklearn", **arguments):
    return {"type": "Outlier", "arguments": {"model": model, "library": library, **arguments}}


def fitted(x, seed=0, **arguments):
    detector = detectors.build(spec_of(**arguments), SPACE, 0)
    held = x[:100] + torch.rand(100, 5, generator=torch.Generator().manual_seed(0))
    detector.fit(x, held, generator=torch.Generator().manual_seed(seed))
    return detector


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(1)
    train = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)) + 100
    return torch.tensor(train, dtype=torch.float32), torch.tensor(rng.normal(100, 3, (60, 5)), dtype=torch.float32)


def seen(detector, x):
    """What the model is given of events, as numpy."""
    normal = detector.normalise(x)
    return ((normal - detector.shift) / detector.width).double().numpy()


@pytest.mark.parametrize("model", MODELS["sklearn"])
def test_scores_are_those_of_scikit_learn(cloud, model):
    train, x = cloud
    detector = fitted(train, model=model)
    events = seen(detector, train)
    np.testing.assert_allclose(events.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(events.std(0, ddof=1), 1, atol=1e-5)
    theirs = THEIRS[model](int(detector.seed)).fit(events)
    assert np.array_equal(detector.score(x).numpy(), -theirs.score_samples(seen(detector, x)).astype(np.float32))


def test_a_robust_envelope_is_a_mahalanobis_distance(cloud):
    train, x = cloud
    detector = fitted(train, model="EllipticEnvelope", arguments={"support_fraction": 1.0})
    center, inverse = train.numpy().mean(0), np.linalg.inv(np.cov(train.numpy().T))
    expected = [mahalanobis(event, center, inverse) ** 2 for event in x.numpy()]
    # of all events; what is left of robustness is a reweighting by the median, a single factor
    ratio = detector.score(x).numpy() / expected
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=0.25)


@pytest.mark.parametrize("model", MODELS["sklearn"])
def test_a_file_is_fitted_again_to_the_last_bit(cloud, model, tmp_path):
    train, x = cloud
    detector = fitted(train, model=model, sample=300)
    path = tmp_path / "m.safetensors"
    detectors.save(detector, path, spec_of(model, sample=300))
    for global_seed in (1, 2):  # nothing but the file counts
        np.random.seed(global_seed)  # noqa: NPY002
        torch.manual_seed(global_seed)
        assert torch.equal(detectors.load(path).score(x), detector.score(x))
    with safe_open(path, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} <= {torch.float32, torch.float64, torch.int64}  # noqa: SIM118
        assert file.get_tensor("sample").shape == (300, 5)


def test_the_sample_is_of_training_events_and_drawn_by_the_seed(cloud):
    train, x = cloud
    one, again, other = (fitted(train, seed, model="IsolationForest", sample=200) for seed in (0, 0, 1))
    assert torch.equal(one.score(x), again.score(x))
    assert not torch.equal(one.sample, other.sample)
    distances = np.linalg.norm(one.sample.numpy()[:, None] - seen(one, train)[None], axis=2)
    assert distances.min(1).max() < 1e-5
    assert len(np.unique(distances.argmin(1))) == 200


def test_fewer_events_than_the_sample_may_have(cloud):
    train, x = cloud
    assert torch.equal(
        fitted(train, model="LocalOutlierFactor", sample=500).score(x),
        fitted(train, model="LocalOutlierFactor", sample=9000).score(x),
    )


def test_a_library_that_fits_otherwise_is_found_out(cloud, tmp_path, monkeypatch):
    train, x = cloud
    path = tmp_path / "m.safetensors"
    detectors.save(fitted(train, model="IsolationForest"), path, spec_of("IsolationForest"))
    own = IsolationForest.score_samples
    monkeypatch.setattr(IsolationForest, "score_samples", lambda self, y: own(self, y) ** 2)
    with pytest.raises(InputError, match=r"fitted again with sklearn .* other scores .* 'provenance'"):
        detectors.load(path).score(x)


def test_a_sample_that_was_changed_is_found_out(cloud, tmp_path):
    """Even by who writes a digest that fits."""
    train, x = cloud
    path = tmp_path / "m.safetensors"
    detectors.save(fitted(train, model="IsolationForest"), path, spec_of("IsolationForest"))
    with safe_open(path, framework="pt") as file:
        notes = json.loads(file.metadata()["hepad"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["sample"][:, 0] = tensors["sample"][:, 0] ** 2  # its cuts would follow a change of units
    del notes["digest"]
    save_file(tensors, path, metadata={"hepad": json.dumps(notes)})
    with pytest.raises(InputError, match="other scores than when the file was written"):
        detectors.load(path).score(x)
    notes["spec"]["arguments"]["model"] = "system"
    save_file(tensors, path, metadata={"hepad": json.dumps(notes)})
    with pytest.raises(InputError, match="model of library 'sklearn' 'system' is unknown"):
        detectors.load(path)


def test_a_state_that_is_loaded_into_a_fitted_one_counts(cloud):
    train, x = cloud
    one, other = fitted(train, model="IsolationForest"), fitted(train, 1, model="IsolationForest")
    assert not torch.equal(one.score(x), other.score(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.score(x), other.score(x))


WRONG = [
    ({"model": "IsolationForrest"}, "Did you mean 'IsolationForest'"),
    ({"model": "ECOD"}, "model of library 'sklearn' 'ECOD' is unknown"),
    ({"library": "weka"}, "library 'weka' is unknown"),
    ({"arguments": {"n_estimator": 5}}, "argument of IsolationForest 'n_estimator' is unknown. Did you mean"),
    ({"arguments": {"random_state": 5}}, "'random_state' is unknown"),
    ({"arguments": {"n_estimators": 10**6}}, "n_estimators: 1000000 is no number up to 10000"),
    ({"arguments": {"max_features": float("nan")}}, "max_features: nan is no number"),
    ({"arguments": {"max_features": [1, 2]}}, "neither a number, a text nor true or false"),
    ({"arguments": {"n_estimators": "many"}}, "IsolationForest cannot be fitted: .*n_estimators"),
    ({"model": "LocalOutlierFactor", "arguments": {"novelty": False}}, "'novelty' is unknown"),
    ({"model": "OneClassSVM", "arguments": {"nu": 2.0}}, "OneClassSVM cannot be fitted: .*'nu'"),
    ({"model": "OneClassSVM", "arguments": {"kernel": "precomputed"}}, "OneClassSVM cannot be fitted"),
    ({"sample": 1}, "sample: 1 must be at least 2"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_arguments(cloud, arguments, message):
    with pytest.raises(InputError, match=message):
        fitted(cloud[0], **{"model": "IsolationForest", **arguments})


def test_it_has_no_graph_and_says_so(cloud, tmp_path):
    path = tmp_path / "m.safetensors"
    detectors.save(fitted(cloud[0], model="IsolationForest"), path, spec_of("IsolationForest"))
    with pytest.raises(InputError, match=r"^Outlier: its score has no ONNX graph: .* student"):
        export(path, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_missing_library_is_told_with_its_remedy(cloud, tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    path = tmp_path / "m.safetensors"
    spec = spec_of("IsolationForest")
    detectors.save(fitted(cloud[0], model="IsolationForest"), path, spec)
    monkeypatch.setattr("hepad.detectors.outlier.import_module", absent)
    with pytest.raises(InputError, match=r"not installed .*: pip install 'hepad\[pyod\]'"):
        detectors.build(spec_of("ECOD", "pyod"), SPACE, 0)
    with pytest.raises(InputError, match=r"m\.safetensors: Outlier: .* is not installed") as caught:
        detectors.load(path)
    assert "Delete" not in str(caught.value)


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=[] if name in ("ECOD", "KNN", "PCA") else [pytest.mark.slow]) for name in PYOD]
)
def test_models_of_pyod(cloud, model, tmp_path):
    """The same bits from a file, and each score one of an event, whoever stands beside it."""
    pytest.importorskip("pyod")
    train, x = cloud
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own old ways
        detector = hepad.Outlier(model=model, library="pyod").fit(train, train[:100] + 0.1)
        path = tmp_path / "m.safetensors"
        detector.save(path)
        scores = detector.score(x)
        assert np.array_equal(hepad.load(path).score(x), scores)
        far = train.mean(0) + 30 * train.std(0) * torch.tensor([[1.0, -1, 1, -1, 1]])
        inside = detector.score(train)
        assert detector.score(far)[0] > np.median(inside)
        alone = np.concatenate([detector.score(event[None]) for event in x[:20]])
        np.testing.assert_allclose(scores[:20], alone, rtol=1e-4, atol=1e-4 * scores.std())


def test_ecod_ranks_an_event_among_the_training_events(cloud):
    """-log of the shares of events below and above (Z. Li et al., TKDE 2022), of each column."""
    pytest.importorskip("pyod")
    train, x = cloud
    detector = hepad.Outlier(model="ECOD", library="pyod").fit(train, train[:100] + 0.1)
    for event, found in zip(x[:20].numpy(), detector.score(x[:20]), strict=True):
        both = np.concatenate([train.numpy(), event[None]]).astype(np.float64)
        left, right = -np.log([(s * both <= s * event).mean(0) for s in (1, -1)])
        skewness = np.sign(((both - both.mean(0)) ** 3).mean(0))
        own = np.where(skewness < 0, left, right)
        assert found == pytest.approx(np.maximum(np.maximum(left, right), own).sum(), rel=1e-4)


def test_a_score_of_another_library_has_no_gradient_and_says_so(cloud):
    train, x = cloud
    detector = hepad.Outlier(model="EllipticEnvelope").fit(train)
    with pytest.raises(InputError, match=r"the score of Outlier has no gradient\. Use method='occlusion'"):
        hepad.explain(detector, x[:3], train, method="gradients")


def test_a_column_counts_once():
    with pytest.raises(InputError, match=r"Outlier: variables: \['a', 'b', 'a'\]: one is there twice"):
        detectors.build({"type": "Outlier", "arguments": {"variables": ["a", "b", "a"]}}, Space((2,), ("a", "b")), 0)


def test_of_no_images_nothing_is_fitted():
    """Of one the validation takes it."""
    for count in (0, 1):
        with pytest.raises(InputError, match="there are no training events"):
            hepad.Outlier().fit(np.full((count, 1, 8, 8), 1 / 64))
