"""Sweeps: which grid they make, what its detectors are called, what tasks list, and that each is trained once."""

import copy
import re
from typing import get_args, get_origin

import pytest
import yaml
from command_line import ROOT, planned, snakemake
from schema import validate

from hepad import detectors
from hepad.config import plain_yaml, preflight, sweeps, validation
from hepad.detectors.energy_based.negative_sampling import Recovery
from hepad.detectors.networks import AutoencoderSettings
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError
from hepad.registry import dataclass_in, hints_of

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
SWEEPS = sorted((ROOT / "config" / "sweeps").glob("*.yaml"))


class Toy:
    """Takes arguments of every kind that a detector has."""

    def __init__(
        self,
        space,
        *,
        kind: str = "scalar",
        autoencoder: AutoencoderSettings,
        manifolds: tuple[int, ...] = (),
        variables: list[str] | None = None,
        pretraining: Schedule,
        training: Schedule,
        recovery: Recovery,
        flow: dict | None = None,
        gamma: float = 0.1,
        clip: float | None = None,
        wild: bool = False,
    ):
        raise NotImplementedError("an expansion builds nothing")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(detectors.DETECTORS, "Toy", Toy)


def config_of(sweep, _tasks=None, **entry):
    """A configuration with one Toy, ``toy``, that sweeps, beside a detector that does not."""
    toy = {"type": "Toy", "representation": "r", **entry, "sweep": sweep}
    return {"detectors": {"toy": toy, "other": {"type": "AE"}}, "tasks": _tasks or {"t": {"detectors": ["toy"]}}}


def points(sweep, **entry):
    """Expanded entries of one Toy with these arguments."""
    found = sweeps.expand(config_of(sweep, **entry))["detectors"]
    assert found.pop("other") == {"type": "AE"}
    return found


def test_a_list_of_values_makes_one_detector_of_each():
    found = points({"gamma": [0.1, 1.0]}, kind="scalar")
    common = {"type": "Toy", "representation": "r", "kind": "scalar"}
    assert found == {
        "toy_gamma_0p1": {**common, "gamma": 0.1, "label": "toy, γ = 0.1"},
        "toy_gamma_1": {**common, "gamma": 1.0, "label": "toy, γ = 1"},
    }


def test_inside_a_mapping():
    network = {"hidden_dims": [128, 64], "network": "dense"}
    found = points({"autoencoder.latent_dim": [8, 16]}, label="Toy, images", autoencoder=network)
    assert list(found) == ["toy_latent_dim_8", "toy_latent_dim_16"]
    assert [entry["label"] for entry in found.values()] == [
        "Toy, images, latent dim = 8",
        "Toy, images, latent dim = 16",
    ]
    assert found["toy_latent_dim_16"]["autoencoder"] == {"latent_dim": 16, "hidden_dims": [128, 64], "network": "dense"}
    assert points({"recovery.weight": [1]})["toy_weight_1"]["recovery"] == {"weight": 1}, "a mapping that is not there"


def test_the_values_take_the_place_of_that_of_the_entry():
    (found,) = points({"training.steps": [20]}, training={"steps": 10, "batch": 5}).values()
    assert list(found["training"].items()) == [("steps", 20), ("batch", 5)]


def test_a_key_that_two_arguments_have_is_named_with_the_argument():
    found = points({"training.steps": [10, 20]}, training={"learning_rate": 0.1}, pretraining={"steps": 5})
    assert list(found) == ["toy_training_steps_10", "toy_training_steps_20"]
    assert found["toy_training_steps_20"]["label"] == "toy, training steps = 20"
    assert list(points({"pretraining.learning_rate": [1]})) == ["toy_pretraining_learning_rate_1"]


def test_deep_inside_a_detector_of_a_detector():
    mix = {"type": "LatentMixture", "of": {"type": "AE", "noise": 1}, "training": {"steps": 5}}
    mix["sweep"] = {"of.autoencoder.latent_dim": [2], "of.noise": [0], "training.steps": [7]}
    found = sweeps.expand({"detectors": {"mix": mix}, "tasks": {"t": {"detectors": ["mix"]}}})["detectors"]
    assert list(found) == ["mix_latent_dim_2_noise_0_steps_7"]
    of = found["mix_latent_dim_2_noise_0_steps_7"]["of"]
    assert of == {"type": "AE", "noise": 0, "autoencoder": {"latent_dim": 2}}


def test_lists_outside_of_the_key_are_values():
    lists = {"gamma": [1, 2], "autoencoder": {"hidden_dims": [[8], [4]]}}
    assert points({"wild": [True]}, **lists)["toy_wild_true"].items() >= lists.items()


def test_a_value_may_be_a_list():
    assert list(points({"autoencoder.hidden_dims": [[128, 64], [32], []]})) == [
        "toy_hidden_dims_128_64",
        "toy_hidden_dims_32",
        "toy_hidden_dims_none",
    ]
    found = points({"variables": [["mass"], None, ["mass", "tau21"]]})
    assert list(found) == ["toy_variables_mass", "toy_variables_none", "toy_variables_mass_tau21"]
    assert [entry["variables"] for entry in found.values()] == [["mass"], None, ["mass", "tau21"]]


def test_a_range_is_named_by_its_ends_and_one_point_by_itself():
    found = points({"recovery.sigma": [[0.05, 0.3], [0.1, 0.1]]})
    assert list(found) == ["toy_sigma_0p05_to_0p3", "toy_sigma_0p1"]
    assert [entry["label"] for entry in found.values()] == ["toy, σ = 0.05 to 0.3", "toy, σ = 0.1"]
    assert found["toy_sigma_0p1"]["recovery"] == {"sigma": [0.1, 0.1]}


def test_ranges_are_those_of_the_classes():
    """An argument is named as a range if it is one of exactly two numbers, in every class that has it."""
    readers = {*detectors.DETECTORS.values(), *sweeps.FLOWS.values()} - {Toy}
    readers |= {dataclass_in(hint) for cls in readers for hint in hints_of(cls).values()} - {None}
    for cls in readers:
        for name, hint in hints_of(cls).items():
            pair = get_origin(hint) is tuple and len(get_args(hint)) == 2 and Ellipsis not in get_args(hint)
            assert pair == (name in sweeps.RANGES), (cls, name)


@pytest.mark.parametrize(
    ("value", "name", "label"),
    [
        (0, "0", "0"),
        (-1, "m1", "-1"),
        (100_000, "100000", "100000"),
        (0.0, "0", "0"),
        (0.01, "0p01", "0.01"),
        (-0.5, "m0p5", "-0.5"),
        (0.001, "0p001", "0.001"),
        (1e-4, "1em4", "1e-4"),
        (2.5e-5, "2p5em5", "2.5e-5"),
        (1e7, "1e7", "1e7"),
        (0.1234567891, "0p1234567891", "0.1234567891"),
        (True, "true", "true"),
        (None, "none", "null"),
        ("on-manifold 2", "on_manifold_2", "on-manifold 2"),
    ],
)
def test_values_in_names_and_labels(value, name, label):
    (found,) = points({"gamma": [value]}).items()
    expected = "none" if value is None else label
    assert (found[0], found[1]["label"]) == (f"toy_gamma_{name}", f"toy, γ = {expected}")
    assert found[1]["gamma"] is value
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", found[0])


def test_several_lists_make_the_full_grid_in_the_order_of_the_sweep():
    found = points({"recovery.weight": [0, 1e-3], "gamma": [1, 2, 3]})
    assert list(found) == [f"toy_weight_{w}_gamma_{g}" for w in ("0", "0p001") for g in (1, 2, 3)]
    values = [(entry["recovery"]["weight"], entry["gamma"]) for entry in found.values()]
    assert values == [(w, g) for w in (0, 1e-3) for g in (1, 2, 3)]
    assert found["toy_weight_0p001_gamma_2"]["label"] == "toy, recovery weight = 0.001, γ = 2"


def test_the_class_that_a_type_names_has_the_arguments():
    found = points({"flow.layers": [2, 4]}, flow={"type": "Planar"})
    assert {name: entry["flow"] for name, entry in found.items()} == {
        "toy_layers_2": {"type": "Planar", "layers": 2},
        "toy_layers_4": {"type": "Planar", "layers": 4},
    }
    with pytest.raises(InputError, match=r"sweep: argument 'flow\.columns' is unknown"):
        points({"flow.columns": [2, 4]}, flow={"type": "Planar"})


def test_keys_of_a_mapping_without_a_class_of_its_own():
    entry = {"type": "Contrastive", "augmentations": {"rotate": 1.0}, "sweep": {"augmentations.rotate": [0.5, 1]}}
    found = sweeps.expand({"detectors": {"c": entry}, "tasks": {"t": {"detectors": ["c"]}}})["detectors"]
    assert {name: entry["augmentations"] for name, entry in found.items()} == {
        "c_rotate_0p5": {"rotate": 0.5},
        "c_rotate_1": {"rotate": 1},
    }


def test_tasks_list_the_grid_in_place_of_the_detector():
    tasks = {
        "a": {"background": "qcd", "detectors": ["other", "toy"]},
        "b": {"detectors": ["toy_gamma_2", "other"]},
        "c": {"detectors": ["other"]},
    }
    found = sweeps.expand(config_of({"gamma": [1, 2]}, tasks))
    assert found["tasks"] == {
        "a": {"background": "qcd", "detectors": ["other", "toy_gamma_1", "toy_gamma_2"]},
        "b": {"detectors": ["toy_gamma_2", "other"]},
        "c": {"detectors": ["other"]},
    }
    assert list(found["detectors"]) == ["toy_gamma_1", "toy_gamma_2", "other"]


def test_what_does_not_sweep_is_the_same_object_and_nothing_is_changed_in_place():
    tasks = {"t": {"detectors": ["toy"]}, "u": {"detectors": ["other"]}}
    config = config_of({"recovery.weight": [0, 1]}, tasks, recovery={"sigma": [0.1, 0.2], "weight": 5}, gamma=1)
    before = copy.deepcopy(config)
    found = sweeps.expand(config)
    assert config == before
    assert found["detectors"]["other"] is config["detectors"]["other"]
    assert found["tasks"]["u"] is config["tasks"]["u"]
    assert sweeps.expand(found) is found, "a grid is expanded once"


def test_the_class_of_every_mapping_is_known():
    """An argument that is a mapping is annotated with a dataclass, or read by the class that its 'type' names."""
    for cls in detectors.DETECTORS.values():
        hints = {
            name: hint for name, hint in hints_of(cls).items() if get_origin(hint) is not list
        }  # those have no keys
        mappings = {name for name, hint in hints.items() if dict in (hint, *get_args(hint))}
        assert mappings <= {*sweeps.TYPED}, cls


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_other_shipped_configurations_do_not_sweep(path):
    config = yaml.safe_load(path.read_text())
    assert sweeps.expand(config) is config


def test_an_unknown_type_is_left_for_the_check_that_names_it():
    for kind in ("Tyo", ["Toy"], None):
        config = config_of({"gamma": [1, 2]}, type=kind)
        assert sweeps.expand(config) is config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (config_of({"gamma": []}), ["detectors.toy.sweep.gamma", "empty"]),
        (config_of({"recovery.weight": []}), ["detectors.toy.sweep.recovery.weight", "empty"]),
        (config_of({"gamma": 1}), ["detectors.toy.sweep.gamma: 1 is no list", "into the entry itself"]),
        (config_of({"gamma": "12"}), ["detectors.toy.sweep.gamma: '12' is no list"]),
        (config_of({}), ["detectors.toy.sweep: {} is no sweep", "training.steps"]),
        (config_of(None), ["detectors.toy.sweep: None is no sweep"]),
        (config_of(["gamma"]), ["detectors.toy.sweep: ['gamma'] is no sweep"]),
        (config_of({"training": [{"steps": 1}]}), ["sweep: argument 'training' is unknown", "training.steps"]),
        (config_of({"flow": [{"type": "Planar"}]}), ["detectors.toy.sweep.flow", "'flow.KEY'"]),
        (config_of({"gama": [1]}), ["detectors.toy.sweep: argument 'gama' is unknown. Did you mean 'gamma'?"]),
        (config_of({"steps": [1]}), ["argument 'steps' is unknown. Did you mean 'training.steps'?"]),
        (config_of({"latent_dim": [1]}), ["'latent_dim' is unknown. Did you mean 'autoencoder.latent_dim'?"]),
        (config_of({"training.stepps": [1]}), ["'training.stepps' is unknown. Did you mean 'training.steps'?"]),
        (config_of({"trainin.steps": [1]}), ["'trainin.steps' is unknown. Did you mean 'training.steps'?"]),
        (config_of({"label": ["a", "b"]}), ["argument 'label' is unknown", "Allowed: autoencoder.hidden_dims"]),
        (config_of({"space": [1]}), ["argument 'space' is unknown"]),
        (config_of({3: [1]}), ["argument '3' is unknown"]),
        (
            config_of({"gamma": list(range(67)), "clip": [1, 2, 3]}),
            ["detectors.toy.sweep", "67 (gamma) × 3 (clip) = 201", "200"],
        ),
        (config_of({"gamma": [2, 2.0]}), ["'toy_gamma_2'", "detectors.toy (toy, γ = 2)", "each value once"]),
        (config_of({"kind": ["a b", "a-b"]}), ["'toy_kind_a_b'", "kind = a b", "kind = a-b"]),
        (
            config_of({"gamma": [1, 2]}, {"t": {"detectors": ["toy", "toy_gamma_1"]}}),
            ["tasks.t.detectors", "'toy_gamma_1'", "Remove"],
        ),
    ],
)
def test_what_cannot_be_swept_is_refused_with_its_key(config, words):
    with pytest.raises(InputError) as caught:
        sweeps.expand(config)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message


@pytest.mark.parametrize("first", [True, False])
def test_a_point_named_as_another_detector_is_refused(first):
    config = config_of({"gamma": [1, 2]})
    config["detectors"] = {"toy_gamma_2": {"type": "AE"}, **config["detectors"]} if first else config["detectors"]
    config["detectors"].setdefault("toy_gamma_2", {"type": "AE"})
    with pytest.raises(InputError) as caught:
        sweeps.expand(config)
    assert "detectors.toy (toy, γ = 2)" in str(caught.value)
    assert "detectors.toy_gamma_2" in str(caught.value)


def test_200_detectors_are_a_grid_that_is_allowed():
    assert len(points({"gamma": list(range(100)), "wild": [False, True]})) == 200


SIGMAS = [f"sigma_{sigma}" for sigma in ("0p01", "0p1", "0p2", "0p3", "0p05_to_0p3", "0p05_to_2")]
WEIGHTS = [f"weight_{c}" for c in ("0", "1em4", "0p001", "0p01", "0p1")]
GRIDS = {
    "sigma": {"mpdr_s": SIGMAS, "mpdr_r": SIGMAS},
    "latent": {
        "mpdr_s": [f"latent_dim_{size}" for size in (2, 4, 8, 12, 16)],
        "mpdr_r": [f"latent_dim_{size}" for size in (8, 12, 16, 32, 64)],
        "ae": [f"latent_dim_{size}" for size in (8, 12, 16, 32, 64)],
    },
    "gamma": {"mpdr_s": WEIGHTS, "mpdr_r": WEIGHTS},
}
LABELS = {
    "sigma": {
        "mpdr_s_sigma_0p05_to_2": "MPDR-S, PCA + vector, σ = 0.05 to 2",
        "mpdr_r_sigma_0p01": "MPDR-R, images, σ = 0.01",
    },
    "latent": {"ae_latent_dim_64": "AE, latent dim = 64"},
    "gamma": {"mpdr_s_weight_1em4": "MPDR-S, PCA + vector, recovery weight = 1e-4"},
}


def test_the_sensitivity_tables_are_shipped():
    assert {path.stem for path in SWEEPS} == set(GRIDS)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shipped_sweeps_are_admitted_and_run_both_ways(path):
    plain_yaml.check_duplicate_keys(path)
    config = yaml.safe_load(path.read_text())
    validate(config)
    config = sweeps.expand(config)
    validation.check(config)
    preflight.check_inputs(config, ROOT, {})
    expected = [f"{name}_{point}" for name, points_ in GRIDS[path.stem].items() for point in points_]
    expected += [] if "ae" in GRIDS[path.stem] else ["ae"]
    assert list(config["detectors"]) == expected
    assert {config["detectors"][name]["label"] for name in LABELS[path.stem]} == {*LABELS[path.stem].values()}
    tasks = config["tasks"]
    assert {(task["background"], *task["signals"]) for task in tasks.values()} == {("qcd", "top"), ("top", "qcd")}
    for task in tasks.values():
        assert task["detectors"] == expected


@pytest.fixture
def small(tmp_path):
    """config/test.yaml with two detectors, written by ``small(rates)``: of the autoencoder's training, in turn."""
    config = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    ae = {"type": "AE", "representation": "vector", "training": {"steps": 10, "learning_rate": 0.001}}
    config["detectors"] = {"ae": ae, "mass": config["detectors"]["mass"]}
    config["tasks"]["qcd"] |= {"detectors": ["ae", "mass"], "seeds": [1, 2]}

    def write(rates):
        ae["sweep"] = {"training.learning_rate": rates}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return tmp_path / "config.yaml"

    return write


@pytest.mark.slow
def test_a_run_trains_each_point_of_the_grid_once_per_seed(small, tmp_path):
    jobs = planned(tmp_path / "run", small([0.001, 0.0001]))
    models = [path for job in jobs for path in job.outputs if re.search(r"/\d+\.safetensors$", path)]
    trainings = [
        f"{name}/{seed}" for name in ("ae_learning_rate_0p001", "ae_learning_rate_1em4", "mass") for seed in (1, 2)
    ]
    assert sorted(models) == [f"results/models/qcd/{training}.safetensors" for training in trainings]
    assert [sum(job.rule == rule for job in jobs) for rule in ("train_detector", "train_baselines_qcd")] == [4, 1]
    (score,) = [job for job in jobs if "results/scores/qcd/qcd/0.h5" in job.outputs]
    assert set(models) < set(score.inputs)


@pytest.mark.slow
def test_a_run_refuses_a_bad_sweep_before_any_job(small, tmp_path):
    result = snakemake(tmp_path / "run", small([]), "--dry-run")
    assert result.returncode
    assert "ERROR: detectors.ae.sweep.training.learning_rate: the list is empty" in result.stdout
    assert "Traceback" not in result.stdout
