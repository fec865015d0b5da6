r"""Outlier detectors of scikit-learn (arXiv:1201.0490) and PyOD (Y. Zhao, Z. Nasrullah, Z. Li, JMLR 20 (2019) 96).

    y = (c(x) - shift) / width,     s(x) = -score_samples(y) of scikit-learn,     s(x) = decision_function(y) of PyOD

c, shift and width are those of :mod:`hepad.detectors.neighbours`: principal components that stand for the pixels, and
columns, standardised on the training events. Higher is more anomalous. Models of scikit-learn, and their papers:

    IsolationForest      s = 2^(-E[h(y)] / c(n)), h: the depth at which random cuts isolate y (Liu et al., ICDM 2008)
    OneClassSVM          s = -sum_i alpha_i k(y_i, y)    (Schölkopf et al., Neural Computation 13 (2001) 1443)
    LocalOutlierFactor   s = density of the neighbours / density at y    (Breunig et al., SIGMOD 2000)
    EllipticEnvelope     s = (y - m)^T S^-1 (y - m), m and S robust (Rousseeuw, Driessen, Technometrics 41 (1999) 212)

A fitted model of these libraries is an object of Python, which only a pickle could keep, and reading a pickle executes
what is in it. What is kept instead is all that a fit needs: the training events y that it sees, its arguments and its
seed. A file that is loaded is fitted again when it first scores, and compared with the scores that the first fit gave:
another version of the library that fits otherwise is found out, and refused. The arguments stand in the file, too,
and a file is not trusted: models are those below, arguments plain values, and numbers of them up to ``LARGEST``.

The models of PyOD are those whose fit is the same each time and whose score is one of an event, for numbers alone. Some
(``ALONE``) rank an event among those that it is scored with: they are given one event at a time, beside the training
events. There is no ONNX graph of any.
"""

import inspect
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from hepad.detectors.baselines import Coordinates
from hepad.detectors.normalisation import draw_seed
from hepad.errors import InputError, MissingLibrary, check_choice
from hepad.representations import Space

SKLEARN = {
    "IsolationForest": "sklearn.ensemble",
    "OneClassSVM": "sklearn.svm",
    "LocalOutlierFactor": "sklearn.neighbors",
    "EllipticEnvelope": "sklearn.covariance",
}
PYOD = ("ABOD", "CBLOF", "COPOD", "ECOD", "GMM", "HBOS", "IForest", "INNE", "KDE", "KNN", "KPCA", "LODA", "LOF", "MCD",
        "OCSVM", "PCA")  # fmt: skip
MODELS = {"sklearn": SKLEARN, "pyod": {name: f"pyod.models.{name.lower()}" for name in PYOD}}
ALONE = ("COPOD", "ECOD")  # of PyOD; they rank an event among those that it is scored with
FIXED = {"novelty": True}  # LocalOutlierFactor scores events that it was not fitted on
NOT_GIVEN = ("random_state", "n_jobs", "verbose", "warm_start", *FIXED)
LARGEST = 10_000
SAME = 1e-4  # difference of scores, in units of their spread
WITNESSES = 64  # events of the sample whose scores are kept


class Fitted:
    """What the library has fitted to the sample, no part of the state: None until it is needed.

    alone: events are scored one at a time
    """

    __slots__ = ("alone", "model")

    def __init__(self):
        self.model, self.alone = None, False


class Outlier(Coordinates):
    """An outlier detector of scikit-learn, or of PyOD, in standardised coordinates.

    Parameters
    ----------
    space: what the representation yields
    model: of scikit-learn 'IsolationForest', 'OneClassSVM', 'LocalOutlierFactor' or 'EllipticEnvelope'; of PyOD its
        name there, such as 'ECOD'
    library: 'sklearn' or 'pyod', which is installed with pip install 'hepad[pyod]'
    arguments: of the model, by their names in the library, which has the defaults; the seed is that of the training
    variables: columns to use; None for all of them
    n_components: number of principal components that stand for the pixels, if there are any
    sample: most training events that the model is fitted on, drawn at random if there are more; the file holds them
    """

    score_name = "outlier score"
    no_graph = "it is a model of another library. Train a student of it (docs/fpga.md), and export that."

    def __init__(
        self,
        space: Space,
        *,
        model: str = "IsolationForest",
        library: str = "sklearn",
        arguments: dict[str, object] | None = None,
        variables: list[str] | None = None,
        n_components: int = 10,
        sample: int = 10_000,
    ):
        super().__init__(space, variables=variables, n_components=n_components)
        if sample < 2:
            raise InputError(f"Outlier: sample: {sample} must be at least 2.")
        check_choice("Outlier: library", library, MODELS)
        check_choice(f"Outlier: model of library '{library}'", model, MODELS[library])
        self.library, self.name, self.arguments = library, model, dict(arguments or {})
        self._check_arguments()
        self.fitted = Fitted()
        self.register_buffer("shift", torch.zeros(self.dimension))
        self.register_buffer("width", torch.ones(self.dimension))
        self.register_buffer("sample", torch.zeros(sample, self.dimension))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("seed", torch.zeros((), dtype=torch.long))
        self.register_buffer("witnesses", torch.zeros(WITNESSES, dtype=torch.float64))

    def _class(self) -> type:
        try:  # here, since PyOD is optional and scikit-learn takes a second
            return getattr(import_module(MODELS[self.library][self.name]), self.name)
        except ImportError as error:
            raise MissingLibrary(
                f"Outlier: model '{self.name}' is of PyOD, which is not installed ({error}): pip install 'hepad[pyod]'."
            ) from None

    def _check_arguments(self) -> None:
        known = set(inspect.signature(self._class()).parameters) - {*NOT_GIVEN}
        for key, value in self.arguments.items():
            check_choice(f"Outlier: argument of {self.name}", key, known)
            if not isinstance(value, bool | int | float | str | None):
                raise InputError(f"Outlier: arguments: {key}: {value!r} is neither a number, a text nor true or false.")
            if isinstance(value, int | float) and not abs(value) <= LARGEST:
                raise InputError(f"Outlier: arguments: {key}: {value} is no number up to {LARGEST}.")

    def _fit_coordinates(self, y: Tensor, generator: torch.Generator) -> dict:
        self.shift.copy_(y.mean(0))
        self.width.copy_(y.std(0).clamp(min=1e-9))
        kept = torch.randperm(len(y), generator=generator, device=y.device)[: len(self.sample)].sort().values
        self.sample[: len(kept)] = (y[kept] - self.shift) / self.width
        self.count.fill_(len(kept))
        self.seed.fill_(draw_seed(generator))
        self.fitted = self._fit_again()
        self.witnesses.copy_(self._witnessed(self.fitted))
        return {"sample": len(kept)}

    def _fit_again(self) -> Fitted:
        """The model, fitted to the sample that is kept."""
        cls, events = self._class(), self.sample[: self.count].cpu().double().numpy()
        given = {"random_state": int(self.seed), **FIXED}
        taken = {key: value for key, value in given.items() if key in inspect.signature(cls).parameters}
        fitted = Fitted()
        try:
            fitted.model = cls(**self.arguments, **taken).fit(events)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = " ".join(str(error).split())[:300]
            raise InputError(f"Outlier: {self.name} cannot be fitted: {said} Change 'arguments'.") from None
        fitted.alone = self.name in ALONE
        return fitted

    def _scores(self, fitted: Fitted, y: np.ndarray) -> np.ndarray:
        """(B,) of y (B, dimension), float64."""
        if fitted.alone and len(y) > 1:
            return np.concatenate([self._scores(fitted, event[None]) for event in y])
        found = -fitted.model.score_samples(y) if self.library == "sklearn" else fitted.model.decision_function(y)
        return np.asarray(found, np.float64).reshape(len(y))

    def _witnessed(self, fitted: Fitted) -> Tensor:
        """Scores (WITNESSES,) of the first events of the sample; zero where there are fewer."""
        found = torch.zeros_like(self.witnesses)
        events = self.sample[: self.count][:WITNESSES].cpu().double().numpy()
        found[: len(events)] = torch.from_numpy(self._scores(fitted, events)).to(found)
        return found

    def _loaded(self) -> Fitted:
        """What was fitted, or is fitted now; InputError if the library fits otherwise than it did."""
        if self.fitted.model is None:
            fitted = self._fit_again()
            difference, spread = (self._witnessed(fitted) - self.witnesses).abs().max(), self.witnesses.std()
            if not difference <= SAME * spread:
                version = import_module(self.library).__version__
                raise InputError(
                    f"Outlier: {self.name}, fitted again with {self.library} {version}, gives other scores than when "
                    "the file was written. Install the version that its 'provenance' names, or train it again."
                )
            self.fitted = fitted
        return self.fitted

    def anomaly(self, x: Tensor) -> Tensor:
        y = (self.coordinates(x) - self.shift) / self.width
        if not len(y):
            return y.sum(1)
        return torch.from_numpy(self._scores(self._loaded(), y.detach().cpu().double().numpy())).to(y)

    def load_state_dict(self, *args, **kwargs):
        """As of every module; what was fitted before is forgotten."""
        self.fitted = Fitted()
        return super().load_state_dict(*args, **kwargs)
