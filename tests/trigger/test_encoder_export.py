"""Encoders of fitted detectors as files: the embedding of torch again, and what is refused."""

import numpy as np
import pytest
import torch

import hepad
from hepad.cli.main import main
from hepad.detectors import DETECTORS, Detector
from hepad.errors import InputError
from hepad.representations import Constituents, Embedding, EventVector, JetImage
from hepad.trigger.export.encoder_export import export_encoder

SHORT = {"steps": 200, "batch": 64, "learning_rate": 3e-3}
SMALL = {"hidden_dims": [32], "latent_dim": 3}
CHAIN = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.01}
ENERGY = {"autoencoder": SMALL, "pretraining": SHORT | {"steps": 400}, "visible_chain": CHAIN}
VECTOR = EventVector(["mass", "multiplicity", "girth"])
IMAGE = JetImage(size=12, sigma=1)
CASES = {
    "AE": (hepad.AE, IMAGE, {"autoencoder": SMALL | {"hidden_dims": [64]}, "training": SHORT | {"steps": 400}}),
    "AE of components": (hepad.AE, IMAGE, {"autoencoder": SMALL, "n_components": 6, "training": SHORT}),
    "AE of a set": (
        hepad.AE,
        Constituents(count=15),
        {"autoencoder": SMALL | {"network": "objects"}, "training": SHORT},
    ),
    "ConvVAE": (hepad.ConvVAE, VECTOR, SMALL | {"network": "dense", "beta": 1e-3, "training": SHORT | {"steps": 400}}),
    "NAE": (hepad.NAE, VECTOR, ENERGY | {"latent_chain": CHAIN, "training": SHORT}),
    "WNAE": (hepad.WNAE, VECTOR, ENERGY | {"training": SHORT | {"steps": 50}}),
    "MPDR, two manifolds": (
        hepad.MPDR,
        VECTOR,
        ENERGY | {"kind": "scalar", "manifolds": [2, 3], "latent_chain": CHAIN, "training": SHORT},
    ),
    "Contrastive": (hepad.Contrastive, VECTOR, {"embedding": 4, "hidden_dims": [32], "training": SHORT}),
    "Contrastive, images": (
        hepad.Contrastive,
        IMAGE,
        {"embedding": 8, "network": "strided", "augmentations": {"smear": 0.1}, "training": SHORT | {"steps": 400}},
    ),
}


@pytest.fixture(scope="module")
def events(make_events):
    return make_events(400, 3)


@pytest.fixture(scope="module")
def fitted(events, tmp_path_factory):
    """Case -> (the fitted detector, its file)."""
    folder, made = tmp_path_factory.mktemp("encoders"), {}

    def of_case(case):
        if case not in made:
            make, representation, arguments = CASES[case]
            detector = make(representation=representation, **arguments).fit(events)
            detector.save(folder / f"{case}.safetensors")
            made[case] = detector, folder / f"{case}.safetensors"
        return made[case]

    return of_case


@pytest.mark.parametrize("case", [*[*CASES][:-1], pytest.param([*CASES][-1], marks=pytest.mark.slow)])
def test_the_file_encodes_as_the_detector_does(fitted, events, tmp_path, case):
    detector, path = fitted(case)
    found = export_encoder(path, tmp_path / "encoder.onnx", events=detector.representation(events))
    module, x = detector.module, detector.representation(events)
    with torch.no_grad():
        expected = module.embed(module.normalise(x)).numpy()
    embedding = Embedding(detector.representation, tmp_path / "encoder.onnx")
    assert embedding.space.shape == (found.width,) == expected.shape[1:]
    assert embedding.space.encoders == (found.digest,)
    np.testing.assert_allclose(embedding(events), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    again = export_encoder(path, tmp_path / "again.onnx")
    assert again.digest == found.digest  # another export of the same model is the same file


def test_one_gaussian_on_its_embedding_is_the_contrastive_score(fitted, events, make_events, tmp_path):
    """With all events to train on; validation events divide both alike."""
    contrastive, path = fitted("Contrastive")
    export_encoder(path, tmp_path / "encoder.onnx")
    embedding = Embedding(VECTOR, tmp_path / "encoder.onnx")
    mixture = hepad.Mixture(representation=embedding, n_gaussians=1).fit(events)
    others = make_events(300, 9, prongs=2)
    mixture.window = contrastive.window = None  # toy jets of two prongs leave it
    assert np.corrcoef(mixture.score(others), contrastive.score(others))[0, 1] > 0.999


def test_detectors_with_an_encoder_are_these():
    having = {name for name, cls in DETECTORS.items() if cls.embed is not Detector.embed}
    assert having == {"AE", "ConvVAE", "Contrastive", "MPDR", "NAE", "WNAE"}


def test_a_detector_without_an_encoder_is_refused(events, tmp_path):
    hepad.Mixture(representation=VECTOR, n_gaussians=1).fit(events).save(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"Mixture has no encoder to export\. These have: AE, Contrastive, "):
        export_encoder(tmp_path / "m.safetensors", tmp_path / "encoder.onnx")
    assert not (tmp_path / "encoder.onnx").exists()


def test_a_file_that_encodes_otherwise_is_not_kept(fitted, tmp_path, monkeypatch):
    _, path = fitted("Contrastive")
    monkeypatch.setattr("hepad.trigger.export.encoder_export.TOLERANCE", -1.0)
    with pytest.raises(InputError, match="the embeddings of ONNX Runtime and of torch differ"):
        export_encoder(path, tmp_path / "encoder.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command(fitted, tmp_path, capsys):
    _, path = fitted("Contrastive")
    main(["export", str(path), "--to", str(tmp_path / "encoder.onnx"), "--encoder"])
    said = capsys.readouterr().out
    assert "events [3] to 4 numbers, opset 13" in said
    assert Embedding(VECTOR, tmp_path / "encoder.onnx").space.encoders[0] in said


@pytest.mark.parametrize(("options", "said"), [
    (["--threshold", "a=1"], "--threshold: an encoder gives no score"), (["--target", "cmssw"], "--target: an encoder"),
    (["--nan", "accept"], "--nan: an encoder"), (["--opset", "9"], "opset: 9 must be a whole number between 13 and 17"),
])  # fmt: skip
def test_options_of_scores_are_refused(fitted, tmp_path, capsys, options, said):
    _, path = fitted("Contrastive")
    with pytest.raises(SystemExit) as error:
        main(["export", str(path), "--to", str(tmp_path / "encoder.onnx"), "--encoder", *options])
    assert said in str(error.value)


def test_a_detector_on_an_embedding_names_it(fitted, events, tmp_path, capsys):
    _, path = fitted("Contrastive")
    export_encoder(path, tmp_path / "jets.onnx")
    embedding = Embedding(VECTOR, tmp_path / "jets.onnx")
    hepad.Mixture(representation=embedding, n_gaussians=2).fit(events).save(tmp_path / "m.safetensors")
    main(["export", str(tmp_path / "m.safetensors"), "--to", str(tmp_path / "score.onnx")])
    said = capsys.readouterr().out
    assert "input, in this order: jets_1, jets_2, jets_3, jets_4" in said
    assert f"run the encoder of SHA-256 {embedding.space.encoders[0]} before it" in said
    with pytest.raises(SystemExit) as error:
        main(["export", str(tmp_path / "m.safetensors"), "--to", str(tmp_path / "athena.onnx"), "--target", "athena"])
    assert "'jets_1' among them" in str(error.value)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"events": np.zeros((0, 3))}, r"events: shape \(0, 3\); at least 1 of shape \(3,\)"),
    ({"events": "results"}, "events: str is no array of numbers"), ({"events": [[1, 2]]}, r"events: shape \(1, 2\)"),
    ({"opset": 13.0}, "opset: 13.0 must be a whole number"), ({"opset": "13"}, "opset: '13' must be a whole number"),
])  # fmt: skip
def test_what_it_cannot_be_compared_on_is_refused(fitted, tmp_path, arguments, said):
    _, path = fitted("Contrastive")
    with pytest.raises(InputError, match=said):
        export_encoder(path, tmp_path / "encoder.onnx", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_any_array_of_events_will_do(fitted, events, tmp_path):
    """Also one of numpy, in double precision: the file is the same."""
    _, path = fitted("Contrastive")
    x = VECTOR(events)
    found = [export_encoder(path, tmp_path / "e.onnx", events=of) for of in (x, x.double().numpy(), x.tolist())]
    assert found[0] == found[1] == found[2]


def test_an_encoder_is_not_taken_for_a_foreign_file(fitted, tmp_path):
    _, path = fitted("Contrastive")
    export_encoder(path, tmp_path / "encoder.onnx")
    with pytest.raises(SystemExit, match=r"an encoder, which gives no score\. Its SHA-256 is"):
        main(["verify", str(tmp_path / "encoder.onnx")])
