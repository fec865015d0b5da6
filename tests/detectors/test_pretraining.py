"""An energy that starts from a fitted AE starts from what it would have trained itself."""

import pytest
import torch
from test_detectors import ENERGY, IMAGE, NO_LATENT, SMALL, events

import hepad
from hepad import detectors
from hepad.config import specs, subjects
from hepad.detectors import defaults
from hepad.detectors.training.checkpoint import Checkpoint
from hepad.errors import InputError

STILL = {"steps": 1, "batch": 64, "learning_rate": 1e-12}  # an energy phase that leaves the weights where they are
BACKGROUND = events(IMAGE, 800, False, 1), events(IMAGE, 200, False, 2)
TRAINING = ENERGY["pretraining"]
KINDS = {"NAE": ("NAE", ENERGY), "WNAE": ("WNAE", NO_LATENT), "MPDR": ("MPDR", ENERGY)}


def fit(name, arguments, before=None, background=BACKGROUND, seed=3):
    detector = detectors.build({"type": name, "arguments": arguments}, IMAGE, seed)
    if before:
        detector.adopt({"ae": before})
    return detector, detector.fit(*background, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def autoencoder():
    return fit("AE", {"autoencoder": SMALL, "training": TRAINING})[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_what_it_would_have_trained(kind, autoencoder):
    name, arguments = KINDS[kind]
    arguments = arguments | {"training": STILL}
    own, by_itself = fit(name, arguments)
    taken, from_ae = fit(name, arguments, autoencoder)
    assert from_ae.facts["autoencoder_error"] == by_itself.facts["autoencoder_error"]  # bit for bit
    theirs, ours = own.energy.autoencoder.state_dict(), taken.energy.autoencoder.state_dict()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert {record["phase"] for record in from_ae.history} == {"energy"}
    assert {record["phase"] for record in by_itself.history} == {"autoencoder", "energy"}
    x = events(IMAGE, 50, True, 5)
    torch.testing.assert_close(taken.score(x), own.score(x), rtol=1e-5, atol=0)
    torch.testing.assert_close(taken.reconstruct(x), autoencoder.reconstruct(x), rtol=1e-4, atol=1e-7)


def test_the_energy_phase_leaves_the_ae_as_it_was(autoencoder):
    before = {name: value.clone() for name, value in autoencoder.state_dict().items()}
    detector, _ = fit("NAE", ENERGY, autoencoder)
    assert all(torch.equal(before[name], value) for name, value in autoencoder.state_dict().items())
    assert not torch.equal(detector.energy.autoencoder.encoder[1][0].weight, autoencoder.model.encoder[1][0].weight)
    assert set(detector.state_dict()) == set(
        detectors.build({"type": "NAE", "arguments": ENERGY}, IMAGE, 3).state_dict()
    )


def test_a_checkpoint_of_another_start_is_not_gone_on_from(autoencoder, tmp_path):
    other, _ = fit("AE", {"autoencoder": SMALL, "training": TRAINING | {"steps": 300}})
    told = []
    for start in (autoencoder, other, autoencoder):
        state = Checkpoint(tmp_path / "c")
        detector = detectors.build({"type": "NAE", "arguments": ENERGY | {"training": STILL}}, IMAGE, 3)
        detector.adopt({"ae": start})
        detector.fit(*BACKGROUND, generator=torch.Generator().manual_seed(3), checkpoint=state)
        told.append(state.belongs_to)
    assert told[0] == told[2] != told[1]


def test_manifolds_of_another_code_train_themselves(autoencoder):
    detector, found = fit("MPDR", ENERGY | {"training": STILL, "manifolds": [4, 6]}, autoencoder)
    assert {record["phase"] for record in found.history} == {"autoencoder, 6 latents", "energy"}
    theirs, ours = autoencoder.model.state_dict(), detector.models[0].state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_is_no_start_is_named(autoencoder):
    other, _ = fit("AE", {"autoencoder": SMALL, "training": TRAINING}, background=[2 * x for x in BACKGROUND])
    with pytest.raises(InputError, match="fitted to other events"):
        fit("NAE", ENERGY, other)
    with pytest.raises(InputError, match="another network"):
        fit("NAE", ENERGY | {"autoencoder": SMALL | {"hidden_dims": [64]}}, autoencoder)
    with pytest.raises(InputError, match="sees other inputs"):
        fit("NAE", ENERGY | {"n_components": 8}, autoencoder)
    with pytest.raises(InputError, match="a code of 4, and none of the manifolds has one"):
        fit("MPDR", ENERGY | {"kind": "scalar", "manifolds": [5, 6]}, autoencoder)
    nae, _ = fit("NAE", ENERGY | {"training": STILL}, autoencoder)
    with pytest.raises(InputError, match="NAE is no AE"):
        fit("NAE", ENERGY, nae)


def test_the_axes_of_the_components_are_those_of_the_ae():
    """They are found with random numbers, others for every seed: the network of the AE knows its own alone."""
    few = {"autoencoder": SMALL, "n_components": 8}
    ae, _ = fit("AE", few | {"training": TRAINING}, seed=5)
    nae, found = fit("NAE", ENERGY | few | {"training": STILL}, ae, seed=3)
    x = events(IMAGE, 50, False, 6)
    torch.testing.assert_close(nae.reconstruct(x), ae.reconstruct(x), rtol=1e-4, atol=1e-7)
    assert found.facts["autoencoder_r2"] > 0.5


def test_in_python_a_fitted_ae_is_given():
    ae = hepad.AE(autoencoder=SMALL, training=TRAINING).fit(*BACKGROUND)
    given = {"training": ENERGY["training"], "latent_chain": ENERGY["latent_chain"]}
    given["visible_chain"] = ENERGY["visible_chain"]
    started = hepad.NAE(pretraining=ae, **given).fit(*BACKGROUND)
    assert started.facts["autoencoder_r2"] == ae.facts["r2"]
    assert {record["phase"] for record in started.history} == {"energy"}
    assert started.spec["arguments"]["autoencoder"] == SMALL | {"hidden_dims": [128]}
    with pytest.raises(InputError, match="NAE: autoencoder: it is that of the AE in 'pretraining'"):
        hepad.NAE(pretraining=ae, autoencoder=SMALL, **given)
    for wrong in (hepad.AE(), hepad.Mixture(n_gaussians=2).fit(*BACKGROUND)):
        with pytest.raises(InputError, match="is no fitted AE"):
            hepad.NAE(pretraining=wrong, **given)


def test_a_started_detector_is_saved_whole(tmp_path):
    ae = hepad.AE(autoencoder=SMALL, training=TRAINING).fit(*BACKGROUND)
    nae = hepad.NAE(pretraining=ae, training=STILL).fit(*BACKGROUND)
    nae.save(tmp_path / "nae.safetensors")
    loaded, x = hepad.load(tmp_path / "nae.safetensors"), events(IMAGE, 20, True, 5)
    assert (loaded.score(x) == nae.score(x)).all()
    assert loaded.get_params()["pretraining"] == TRAINING


CONFIG = {
    "representations": {"image": {"type": "JetImage"}},
    "detectors": {
        "ae": {"type": "AE", "representation": "image", "autoencoder": SMALL, "training": TRAINING, "seeds": [1]},
        "nae": {"type": "NAE", "representation": "image", "pretraining": "ae", "training": STILL},
        "both": {"type": "Combination", "representation": "image", "members": ["ae", "nae"]},
    },
    "tasks": {"jets": {"background": "qcd", "signals": ["top"], "detectors": ["nae", "both"], "seeds": [1, 2]}},
}


def test_a_name_becomes_the_settings_of_the_ae():
    expected = {"pretraining": TRAINING, "autoencoder": SMALL, "training": STILL}
    assert specs.spec_of(CONFIG, "nae") == {"type": "NAE", "arguments": expected}
    assert specs.spec_of(CONFIG, "both")["arguments"]["members"][1]["arguments"] == expected
    assert [specs.before(CONFIG["detectors"][name]) for name in CONFIG["detectors"]] == [[], ["ae"], ["ae", "nae"]]


def test_each_seed_starts_from_its_own_and_members_from_what_there_is():
    described = {
        name: {"before": specs.before(entry), "trained": name != "both"} for name, entry in CONFIG["detectors"].items()
    }
    plan = {"config": CONFIG, "detectors": described}
    of = {
        (name, seed): subjects.Subject(plan, {"task": "jets", "detector": name, "seed": str(seed)}).before
        for name in described
        for seed in (1, 2)
    }
    assert of["ae", 1] == []
    assert [of["nae", seed] for seed in (1, 2)] == [["ae/1"], ["ae/2"]]
    assert [of["both", seed] for seed in (1, 2)] == [["ae/1", "nae/1"], ["ae/1", "nae/2"]]


@pytest.mark.parametrize("start", ["on_manifold", "data", "persistent"])
def test_defaults_fit_every_start_of_the_chains(start):
    arguments = defaults.complete("NAE", IMAGE, {"start": start})
    detectors.build({"type": "NAE", "arguments": arguments}, IMAGE, 1)
    assert ("latent_chain" in arguments) == ("replay" in arguments) == (start == "on_manifold")
