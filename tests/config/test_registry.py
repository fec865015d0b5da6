"""Values of a configuration against the annotations of what takes them."""

import inspect
import math

import numpy as np
import pytest

from hepad.detectors import DETECTORS
from hepad.detectors.energy_based.base import Objective
from hepad.detectors.energy_based.langevin import Chain
from hepad.detectors.energy_based.negative_sampling import Recovery
from hepad.detectors.networks import AutoencoderSettings
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError
from hepad.registry import check_types

MISFITS = [
    (Chain, {"step_size": "1e-4"}, r"step_size: '1e-4' .* a finite number. It is text to YAML; write 1\.0e-4"),
    (Chain, {"step_size": "0.1"}, "step_size: '0.1' .* leave the quotes out"),
    (Chain, {"n_steps": "64"}, "n_steps: '64' .* a whole number. .* leave the quotes out"),
    (Chain, {"step_size": "nan"}, "a finite number.$"),
    (Chain, {"step_size": "far"}, "step_size: 'far' is not what it takes: a finite number.$"),
    (Chain, {"step_size": math.nan}, "step_size: nan"),
    (Chain, {"noise_std": math.inf}, "noise_std: inf"),
    (Chain, {"n_steps": True}, "n_steps: True .* a whole number"),
    (Chain, {"unit": 1}, "unit: 1 .* true or false"),
    (Chain, {"grad_clip": "none"}, "grad_clip: 'none' .* a finite number or nothing"),
    (Schedule, {"steps": 1e3}, r"steps: 1000\.0 .* a whole number. Write 1000"),
    (Schedule, {"steps": None}, "steps: None .* a whole number"),
    (Objective, {"gamma": math.nan}, "gamma: nan"),
    (Objective, {"criterion": 3}, "criterion: 3 .* text"),
    (
        Schedule,
        {"steps": [5, 10]},
        r"steps: \[5, 10\] .* a whole number\. Values to try .* 'sweep' in a detector's entry",
    ),
    (AutoencoderSettings, {"hidden_dims": [[8], [4]]}, "a list of whole numbers. Values to try .* 'sweep'"),
    (Recovery, {"sigma": [[0.1, 0.1], [0.1, 0.3]]}, "a list of 2 finite numbers. Values to try .* 'sweep'"),
    (Schedule, {"steps": []}, "a whole number.$"),
    (Schedule, {"steps": [5, "x"]}, "a whole number.$"),
    (DETECTORS["MPDR"], {"training": [{"steps": 1}]}, "a mapping.$"),
    (Recovery, {"sigma": 0.1}, r"sigma: 0\.1 .* a list of 2 finite numbers"),
    (Recovery, {"sigma": [0.1, 0.2, 0.3]}, "a list of 2 finite numbers"),
    (AutoencoderSettings, {"hidden_dims": 64}, "hidden_dims: 64 .* a list of whole numbers"),
    (AutoencoderSettings, {"hidden_dims": [64, 2.5]}, "a list of whole numbers"),
    (AutoencoderSettings, {"latent_dim": 2.5}, r"latent_dim: 2\.5 .* a whole number.$"),
    (DETECTORS["MPDR"], {"manifolds": [2.0, 4]}, "manifolds: .* a list of whole numbers or nothing"),
    (DETECTORS["MPDR"], {"training": [1]}, "training: .* a mapping"),
    (DETECTORS["LatentMixture"], {"n_gaussians": "5"}, "n_gaussians: '5' .* a whole number or a list of whole numbers"),
]


@pytest.mark.parametrize(("cls", "values", "message"), MISFITS)
def test_a_misfit_is_told_with_its_key_and_what_is_needed(cls, values, message):
    with pytest.raises(InputError, match=f"^here: .*{message}"):
        check_types(cls, values, "here")


@pytest.mark.parametrize("cls", [*DETECTORS.values(), Chain, Schedule, Objective, Recovery, AutoencoderSettings])
def test_defaults_fit(cls):
    parameters = inspect.signature(cls).parameters.values()
    check_types(cls, {p.name: p.default for p in parameters if p.default is not p.empty})


def test_what_numbers_may_be():
    check_types(Chain, {"n_steps": np.int64(3), "step_size": 1, "noise_std": np.float32(0.1), "grad_clip": None})
    check_types(Recovery, {"sigma": (0.1, 1)})
    check_types(Chain, {"unheard_of": object()})  # another check names those
