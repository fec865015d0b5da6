"""Detectors for people: scikit-learn's manners around the modules of this package.

An :class:`Estimator` is made without data, ``fit`` finds the shape of the events and builds the module, ``score`` gives
numpy back. There is one class for every detector of the registry, made by :func:`estimator`; the workflow uses the
modules themselves.
"""

import copy
import inspect
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hepad import representations
from hepad.detectors import DETECTORS, Detector, build, defaults, inputs, members, saving
from hepad.detectors.autoencoder import started_from
from hepad.detectors.training.device import resolve
from hepad.errors import EncoderError, InputError, at, check_choice
from hepad.events import Events
from hepad.events.cuts import outside, window
from hepad.registry import check_names, check_types, dataclass_in, former, hints_of
from hepad.representations import Representation, Space

LARGEST = 1000  # number that the representation of any file may have
OWN = {"representation": None, "seed": 1}
UNSUITABLE = (TypeError, ValueError, RuntimeError)  # errors of modules whose arguments do not fit


class Estimator:
    """A detector that is fitted on background and scores events; the base of ``hepad.AE``, ``hepad.NAE``, ...

    ``module`` is the fitted :class:`hepad.detectors.Detector` (None before ``fit``) and ``spec`` what built it;
    ``representation`` and ``window`` are those of the events that it was fitted on, as far as they are known;
    ``background`` is the name of their sample in a run; ``history`` and ``facts`` are what the training has logged.
    """

    detector: type[Detector]

    def __init__(self, **parameters: Any):
        self._parameters = copy.deepcopy(self._defaults())  # nobody shares them
        self.module: Detector | None = None
        self.spec: dict = {}
        self.representation: Representation | None = None
        self.window: dict | None = None
        self.background: str | None = None
        self.history: list[dict] = []
        self.facts: dict = {}
        self.set_params(**parameters)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls).parameters
        return {name: None if p.default is p.empty else p.default for name, p in parameters.items()}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor by name; None stands for the default of the space of the events."""
        return dict(self._parameters)

    def set_params(self, **parameters: Any) -> "Estimator":
        """Change arguments by name; they count from the next ``fit`` on. Returns self; InputError for a wrong one."""
        name = type(self).__name__
        self._check_nested(parameters)
        check_names({"type": name, **parameters}, "detector")
        for key, value in parameters.items():
            check_choice(f"{name}: argument", key, self._parameters)
            if key == "representation" and not isinstance(value, Representation | None):
                raise InputError(f"{name}: representation = {value!r} is none. Give e.g. hepad.JetImage().")
        check_types(self.detector, self._given(parameters), name)
        seed = parameters.get("seed", 1)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise InputError(f"{name}: seed = {seed!r} must be a whole number.")
        self._parameters |= {key: _plain(value) for key, value in parameters.items()}
        return self

    def _check_nested(self, parameters: dict) -> None:
        """InputError for an argument that stands inside another one, such as latent_dim in autoencoder."""
        parts = {name: dataclass_in(hint) for name, hint in hints_of(self.detector).items()}
        inside = {field.name: name for name, part in parts.items() if part for field in fields(part)}
        for key in set(parameters) - set(self._parameters):
            today = former({"type": type(self).__name__}, "detector").get(key, key)
            if today not in self._parameters and today in inside:
                raise InputError(
                    f"{type(self).__name__}: argument '{key}' stands inside another: "
                    f"{inside[today]}={{'{today}': {parameters[key]!r}}}."
                )

    def fit(
        self, x: Events | np.ndarray | Tensor, valid: Events | np.ndarray | Tensor | None = None, device: str = "cpu"
    ) -> "Estimator":
        """Fit on background.

        Parameters
        ----------
        x: background: Events (with a ``representation``), or (N, 1, H, W) images, or (N, D) vectors; a representation
            that is given says what arrays are, otherwise pixels that sum to one are those of jet images
        valid: the same, to choose the state of the training on; None splits a tenth of ``x`` off, whole events together
        device: 'cpu', 'cuda', 'mps', or 'auto' for the best that is there

        Returns
        -------
        self

        Raises
        ------
        InputError: x is nothing that can be fitted, an argument does not fit, or the fitted state could not be saved
        CollapseError, DivergenceError: the training has learned nothing, or left the finite numbers
        """
        device, seed, given = resolve(device), int(self._parameters["seed"]), self._given(self._parameters)
        fitted = members.fitted(self._parameters.get("members") or {})
        representation = members.representation_of(fitted, self._parameters["representation"])
        start = self._parameters.get("pretraining")
        if valid is None:  # fitted members have their training behind them: all events calibrate
            x, valid = (x, x) if fitted else inputs.divided(x, seed)
        train, validation = (inputs.as_tensor(part, representation, type(self).__name__) for part in (x, valid))
        space = representation.space if representation else inputs.space_of(train)
        name = self.detector.__name__
        spec = {"type": name, "arguments": defaults.complete(name, space, given)}
        try:
            module = build(spec, space, seed)
        except UNSUITABLE as error:
            raise InputError(f"{type(self).__name__}: {error}") from None
        if fitted or isinstance(start, Estimator):
            module.adopt({name: one.module for name, one in (fitted or {"AE": start}).items()})
        module.to(device)
        generator = torch.Generator(device).manual_seed(seed)
        result = module.fit(train.to(device), validation.to(device), generator=generator)
        self.module, self.spec, self.representation = module, spec, representation
        self.history, self.facts = result.history, result.facts
        self.window = x.meta.get("window") if isinstance(x, Events) else None
        return self

    def score(self, x: Events | np.ndarray | Tensor) -> np.ndarray:
        """Anomaly score (N,) float32 of N events, higher is more anomalous; each depends on its own event alone.

        ``x`` is as for ``fit``. Warns if Events lie outside of the window that the detector was fitted in: they would
        differ by phase space alone. InputError if it is not fitted, or x is not what it was fitted on.
        """
        module, tensor = self.seen(x)
        return module.score(tensor).numpy()

    def parts(self, x: Events | np.ndarray | Tensor) -> dict[str, np.ndarray]:
        """Why a Combination finds events anomalous: the p-value (N,) of each member by its name; {} for others.

        Arguments and errors are those of ``score``.
        """
        module, tensor = self.seen(x)
        return {name: p.numpy() for name, p in module.parts(tensor).items()}

    def seen(self, x: Events | np.ndarray | Tensor) -> tuple[Detector, Tensor]:
        """The fitted module, and the events as it sees them."""
        module, representation = self._fitted(), self.representation or self._parameters["representation"]
        if isinstance(x, Events) and representation and representation.space != module.space:
            representation.space.check_encoders(module.space, type(self).__name__)
            raise InputError(
                f"{type(self).__name__}: {representation} does not yield what it was fitted on. Fit it with this one."
            )
        tensor = inputs.as_tensor(x, representation, type(self).__name__)
        if tuple(tensor.shape[1:]) != module.space.shape:
            raise InputError(
                f"{type(self).__name__}: the events have shape {tuple(tensor.shape)}; it was fitted on events of shape "
                f"{module.space.shape}. Represent them as those."
            )
        if isinstance(x, Events):
            self._warn_outside(x)
        return module, tensor

    def _given(self, parameters: dict) -> dict:
        """Arguments of the module that are not left open; in the place of fitted detectors what they are built from."""
        given = {key: value for key, value in parameters.items() if value is not None and key not in OWN}
        if isinstance(start := given.get("pretraining"), Estimator):
            given |= self._started(start, given)
        return given | ({"members": members.entries(given["members"])} if "members" in given else {})

    def _started(self, start: "Estimator", given: dict) -> dict:
        """The arguments that this detector has from a fitted AE that it starts from."""
        name = type(self).__name__
        if type(start).__name__ != "AE" or start.module is None:
            raise InputError(f"{name}: pretraining: {start!r} is no fitted AE. Call its fit with background first.")
        with at(name):
            return started_from(start.spec["arguments"], "the AE in 'pretraining'", [k for k in given if given[k]])

    def _fitted(self) -> Detector:
        if self.module is None:
            raise InputError(f"{type(self).__name__}: it is not fitted yet. Call fit with background events first.")
        return self.module

    def _warn_outside(self, events: Events) -> None:
        if not self.window or not len(events):
            return
        if said := outside(events.jet, self.window):
            warnings.warn(f"{type(self).__name__}: {said}. Read them with {self.window}.", stacklevel=4)

    def save(self, path: str | Path) -> None:
        """Write the fitted detector, its arguments and its representation to one safetensors file, atomically."""
        module, notes = self._fitted(), {"seed": int(self._parameters["seed"]), "window": self.window}
        if self.representation:
            notes["representation"] = self.representation.entry
        saving.save(module, path, self.spec, **notes)

    def __repr__(self) -> str:
        usual = self._defaults()
        arguments = [
            f"{key}={value!r}"
            for key, value in self._parameters.items()
            if value is not usual[key] and value != usual[key]
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"


def load(path: str | Path) -> Estimator:
    """A fitted detector from a file of ``save``, or from one of the workflow's ``results/models/``.

    Nothing in the file is executed. A model of an early run of the workflow does not know its representation: set it
    with ``set_params(representation=...)``, or take the model from ``hepad.open("results").model(task, detector)``.

    Raises
    ------
    InputError: the file is missing, damaged or anything else

    Examples
    --------
    >>> hepad.Mixture(n_gaussians=2).fit(background).save("mixture.safetensors")
    >>> hepad.load("mixture.safetensors").score(background).shape
    (500,)
    """
    made: list[Estimator] = []

    def make(described: dict) -> Detector:
        spec, space = described["spec"], Space.of(described["space"])
        module, extras = build(spec, space, seed=0), {"seed": described.get("seed", 1)}
        if "representation" in described:
            extras["representation"] = _representation(described["representation"], space, Path(path))
        loaded = ESTIMATORS[type(module).__name__](**(spec.get("arguments") or {}), **extras)
        loaded.spec, loaded.representation = spec, extras.get("representation")
        if described.get("window") is not None:
            window(dict(described["window"]))
            loaded.window = described["window"]
        made.append(loaded)
        return module

    module = saving.load_as(path, make)
    made[0].module = module
    return made[0]


def _representation(entry: dict, space: Space, path: Path) -> Representation:
    """The representation of a file, which is not trusted: its numbers are bounded by the events of this space.

    Its encoders are looked for from where the program is started, then from the folders that the file lies in: of a run
    these are below the one that paths count from. They are known by their SHA-256.
    """
    if max(map(abs, _numbers(entry)), default=0) > max(math.prod(space.shape), LARGEST):
        raise ValueError("its representation is larger than what it was fitted on")
    for folder in (None, *path.absolute().parents) if space.encoders else ():
        with suppress(EncoderError):
            built = representations.build(entry, folder)
            if built.space == space:
                return built
    built = representations.build(entry)
    if built.space != space:
        built.space.check_encoders(space, "its representation")
        raise ValueError("its representation does not yield what it was fitted on")
    return built


def _numbers(value) -> Iterator[float]:
    if isinstance(value, int | float):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _numbers(item)


def estimator(cls: type[Detector]) -> type[Estimator]:
    """The estimator of a detector's class, with its arguments; for a class of your own, which it makes known, too.

    Examples
    --------
    >>> Energy = estimator(MyDetector)
    >>> Energy().fit(background).score(background).shape
    (500,)
    """
    DETECTORS.setdefault(cls.__name__, cls)
    left_open = defaults.names(cls.__name__)
    arguments = [p for p in inspect.signature(cls).parameters.values() if p.name != "space"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, default=value) for name, value in OWN.items()]
    usual = {p.name: None if p.name in left_open else _plain(p.default) for p in arguments}
    parameters += [p.replace(kind=keyword, default=usual[p.name]) for p in arguments]
    attributes = {"detector": cls, "__doc__": _doc(cls, left_open), "__module__": __name__}
    ESTIMATORS[cls.__name__] = type(cls.__name__, (Estimator,), attributes)
    ESTIMATORS[cls.__name__].__signature__ = inspect.Signature(parameters)
    return ESTIMATORS[cls.__name__]


def _plain(value: Any) -> Any:
    """A value as a file of ``save`` holds it: settings as the mapping that a configuration has."""
    if is_dataclass(value) and not isinstance(value, type | Representation):
        return asdict(value)
    if isinstance(value, dict):
        plain = {key: _plain(inner) for key, inner in value.items()}
        return value if all(plain[key] is value[key] for key in value) else plain  # clone() wants the same object
    return value


def _doc(cls: type[Detector], left_open: set[str]) -> str:
    """The docstring of a detector, about an estimator."""
    lines = (inspect.getdoc(cls) or cls.__name__).replace("n_components: as for Detector", N_COMPONENTS).splitlines()
    if "Parameters" not in lines:
        lines += ["", "Parameters", "----------"]
    kept = [line for line in lines if not line.startswith("space:")]
    kept[kept.index("Parameters") + 2 : kept.index("Parameters") + 2] = [
        "representation: what makes events to arrays, e.g. hepad.JetImage(); without one, arrays alone can be fitted",
        "seed: of weights, training and the split of the validation events",
    ]
    if left_open:
        kept += ["", f"What is left out of {', '.join(sorted(left_open))} is chosen for the events when it is fitted."]
    source = inspect.getmodule(cls).__name__
    made = f"hepad.{cls.__name__}({EXAMPLES.get(cls.__name__, '')})"
    example = [
        f">>> detector = {made}.fit(background)",
        ">>> detector.score(background).shape",
        "(500,)",
    ]
    kept += ["", f"Formulae and papers: {source}.", "", "Examples", "--------", *example]
    return "\n".join(kept)


N_COMPONENTS = (
    "n_components: principal components that replace the pixels, with the log of the distance to their plane; 0: none"
)
TWO = "[hepad.Mixture().fit(background), hepad.PCAReconstruction(components=2).fit(background)]"
EXAMPLES = {"Variable": 'variable="x1"', "PCAReconstruction": "components=2", "Combination": f"members={TWO}"}
ESTIMATORS: dict[str, type[Estimator]] = {}
for _cls in list(DETECTORS.values()):
    estimator(_cls)
globals().update(ESTIMATORS)
