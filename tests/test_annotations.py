"""Values of a configuration against the annotations of what takes them."""

import inspect
import math

import numpy as np
import pytest

from hepad.annotations import refuse_misfits
from hepad.detectors import DETECTORS
from hepad.detectors.energy import Objective
from hepad.errors import InputError
from hepad.negatives import Recovery
from hepad.networks import AutoencoderSettings
from hepad.sampling import Chain
from hepad.training import Schedule

MISFITS = [
    (Chain, {"step": "1e-4"}, r"step: '1e-4' .* a finite number. It is text to YAML; write 1\.0e-4"),
    (Chain, {"step": "0.1"}, "step: '0.1' .* leave the quotes out"),
    (Chain, {"steps": "64"}, "steps: '64' .* a whole number. .* leave the quotes out"),
    (Chain, {"step": "nan"}, "a finite number.$"),
    (Chain, {"step": "far"}, "step: 'far' is not what it takes: a finite number.$"),
    (Chain, {"step": math.nan}, "step: nan"),
    (Chain, {"noise": math.inf}, "noise: inf"),
    (Chain, {"steps": True}, "steps: True .* a whole number"),
    (Chain, {"unit": 1}, "unit: 1 .* true or false"),
    (Chain, {"clip": "none"}, "clip: 'none' .* a finite number or nothing"),
    (Schedule, {"steps": 1e3}, r"steps: 1000\.0 .* a whole number. Write 1000"),
    (Schedule, {"steps": None}, "steps: None .* a whole number"),
    (Objective, {"gamma": math.nan}, "gamma: nan"),
    (Objective, {"criterion": 3}, "criterion: 3 .* text"),
    (Recovery, {"sigma": 0.1}, r"sigma: 0\.1 .* a list of 2 finite numbers"),
    (Recovery, {"sigma": [0.1, 0.2, 0.3]}, "a list of 2 finite numbers"),
    (AutoencoderSettings, {"hidden": 64}, "hidden: 64 .* a list of whole numbers"),
    (AutoencoderSettings, {"hidden": [64, 2.5]}, "a list of whole numbers"),
    (AutoencoderSettings, {"latent": 2.5}, r"latent: 2\.5 .* a whole number.$"),
    (DETECTORS["MPDR"], {"manifolds": [2.0, 4]}, "manifolds: .* a list of whole numbers or nothing"),
    (DETECTORS["MPDR"], {"training": [1]}, "training: .* a mapping"),
    (DETECTORS["LatentMixture"], {"components": "5"}, "components: '5' .* a whole number or a list of whole numbers"),
]


@pytest.mark.parametrize(("cls", "values", "message"), MISFITS)
def test_a_misfit_is_told_with_its_key_and_what_is_needed(cls, values, message):
    with pytest.raises(InputError, match=f"^here: .*{message}"):
        refuse_misfits(cls, values, "here")


@pytest.mark.parametrize("cls", [*DETECTORS.values(), Chain, Schedule, Objective, Recovery, AutoencoderSettings])
def test_defaults_fit(cls):
    parameters = inspect.signature(cls).parameters.values()
    refuse_misfits(cls, {p.name: p.default for p in parameters if p.default is not p.empty})


def test_what_numbers_may_be():
    refuse_misfits(Chain, {"steps": np.int64(3), "step": 1, "noise": np.float32(0.1), "clip": None})
    refuse_misfits(Recovery, {"sigma": (0.1, 1)})
    refuse_misfits(Chain, {"unheard_of": object()})  # another check names those
