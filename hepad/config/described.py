"""Events as pages show them: their particles, observables, scores and p-values, and what makes the scores.

Observables come with the share of background that has less (ties count half), p-values are
:mod:`hepad.evaluation.p_values`, scores those of the run.
"""

from pathlib import Path

import numpy as np

from hepad.config.results import Results
from hepad.config.scoring import Models
from hepad.errors import InputError
from hepad.evaluation.anomalous import Picked
from hepad.evaluation.explanation import Explanation, explain
from hepad.evaluation.p_values import of_scores
from hepad.evaluation.scored_sample import ScoredSample
from hepad.events import Events, concatenate, of_kind
from hepad.events.kinematics import delta_phi
from hepad.events.observables import available
from hepad.representations import EventVector
from hepad.representations.event_vector import KNOWN, VARIABLES

BACKGROUND, COMPARED = 4000, 300  # background events that observables, and single events, are compared with
SUBSTRUCTURE = ("mass", "soft_drop_mass", "tau21", "tau32", "c2", "d2", "girth", "pt_dispersion", "leading_fraction")
OBJECTS = ("jets", "electrons", "muons", "photons", "taus")
NUMBERS = ("run", "luminosity_block", "event")
REASONS = 6  # variables that are named of an event
RADIUS = 0.1  # of the constituents that are left out together
DIGITS = 4


def check_page(path: Path) -> None:
    """InputError unless a page can be written there."""
    if path.suffix != ".html" or path.is_dir():
        raise InputError(f"{path}: a page is written, a file that ends in .html. Give such a name.")


def scored(results: Results, task: str, name: str) -> ScoredSample:
    """The test events of a sample of a task, with their scores."""
    return ScoredSample(name, results.there(f"scores/{task}/{name}.h5"), results.there(f"events/{name}.h5"))


class Describing:
    """What events of a task are described by, and compared with.

    Parameters
    ----------
    background: sample of the run
    known: models of the task
    labels: of its detectors
    others: all events that will be described, so that the observables are those that all of them have

    Attributes
    ----------
    detectors, variables: labels of the trainings and of the observables, in the order of their numbers
    background: of each observable what :func:`below` returns
    unexplained: label of the detector -> why its scores are not explained
    """

    def __init__(self, background: ScoredSample, known: Models, labels: dict[str, str], others: list[Events]):
        sample = concatenate([events for events, _ in background.beginning(BACKGROUND, True)])
        self._known, self._vector = known, _vector(sample, others)
        self.background, self._compared = below(sample.weight, self.values(sample)), _some(sample)
        self.detectors = [labels[key.split("/")[0]] for key in known.of]
        self.variables = [KNOWN[name].label for name in self._vector.variables]
        self.unexplained: dict[str, str] = {}

    def events(self, sample: int, found: Picked) -> list[dict]:
        """The events that were picked of a sample, as JSON (:func:`hepad.config.gallery.gallery`)."""
        events, values, why = found.events, self.values(found.events), self._explained(found)
        share = shares(self.background, values)
        p = {key: of_scores(self._known.backgrounds[key], scores) for key, scores in found.scores.items()}
        names, wheres = identified(events)
        return [
            {
                "sample": sample, "id": names[i], "where": wheres[i], "jet": rounded(events.jet[i]),
                "constituents": rounded(_inside(events.constituents[i], events.jet[i])), "met": rounded(events.met[i]),
                "objects": {name: rounded(_there(getattr(events, name)[i])) for name in OBJECTS},
                "values": rounded(values[i]), "below": rounded(share[i]),
                "scores": [number(scores[i]) for scores in found.scores.values()],
                "p": [number(of[i]) for of in p.values()],
                "why": {str(n): why[key][i] for n, key in enumerate(self._known.of) if i in why.get(key, {})},
            }
            for i in range(len(events))
        ]  # fmt: skip

    def values(self, events: Events) -> np.ndarray:
        """Observables (N, D); a ratio to nothing, as to a jet that is not there, is infinite."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._vector(events).numpy()

    def _explained(self, found: Picked) -> dict[str, dict]:
        """Of each detector what 'why' says of the events at its places."""
        why = {}
        for key, model in self._known.of.items():
            representation = self._known.representations[self._known.representation_of[key]]
            places = found.top.get(key, ())
            if not len(places):
                continue
            events = found.events[places]
            inside = representation.needs_constituents and (events.constituents[..., 0] > 0).any()
            detector, parts = model.set_params(representation=representation), None
            try:
                whole = explain(detector, events, self._compared)
                if inside:
                    parts = explain(detector, events, method="constituents", radius=RADIUS).attribution
            except InputError as error:
                label = self.detectors[list(self._known.of).index(key)]
                self.unexplained.setdefault(label, str(error))
                continue
            there = (events.constituents[..., 0] > 0).sum(axis=1)
            why[key] = {int(place): _reasons(whole, parts, i, int(there[i])) for i, place in enumerate(places)}
        return why


def shown_as(path: str, paths: list[str]) -> str:
    """The label of one of the files that a page has events of: its name, or its path where others have that name."""
    name = Path(path).name
    return path if [Path(other).name for other in paths].count(name) > 1 else name


def below(weight: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each variable (N, D) the values, rising, and the share of the weight (N,) before each, and of all."""
    found = []
    for of_variable in values.T:
        order = np.argsort(of_variable, kind="stable")
        found.append((of_variable[order], np.append(0, np.cumsum(weight[order])) / weight.sum()))
    return found


def shares(known: list[tuple[np.ndarray, np.ndarray]], values: np.ndarray) -> np.ndarray:
    """(N, D): the shares of :func:`below` that are less than the values (N, D), NaN of NaN; ties count half."""
    found = np.stack(
        [
            sum(of[np.searchsorted(x, v, side)] for side in ("left", "right")) / 2
            for (x, of), v in zip(known, values.T, strict=True)
        ], axis=1,
    )  # fmt: skip
    return np.where(np.isnan(values), np.nan, found)


def identified(events: Events) -> tuple[list[str], list[str]]:
    """Identifiers of events as text, and run:section:event, '' where they have none."""
    numbers = [of_kind(events.facts.get(name), np.int64, len(events)) for name in NUMBERS]
    wheres = [":".join(map(str, of)) if min(of) >= 0 else "" for of in np.stack(numbers, axis=1).tolist()]
    return [str(identifier) for identifier in events.event_id], wheres


def rounded(values: np.ndarray) -> list:
    """Arrays as lists of what :func:`number` makes of each."""
    return [rounded(row) for row in values] if np.ndim(values) > 1 else [number(x) for x in values]


def number(x: float) -> float | str | None:
    """As it is shown; JSON has neither infinity, which is text here, nor what is no number, None."""
    if np.isinf(x):
        return "∞" if x > 0 else "−∞"
    return float(f"{x:.{DIGITS}g}") if np.isfinite(x) else None


def _vector(background: Events, others: list[Events]) -> EventVector:
    """What is measured of all events."""
    others = [of for of in others if len(of)]
    inside = SUBSTRUCTURE if all((of.constituents[..., 0] > 0).any(1).all() for of in (background, *others)) else ()
    there = set.intersection(*(set(available(of)) for of in (background, *others)))
    return EventVector([*(name for name in VARIABLES if name in there), *inside])


def _some(background: Events) -> Events:
    """Background events that others are compared with, drawn by their weights."""
    weight = np.maximum(background.weight, 0)
    rows = np.random.default_rng(0).choice(len(background), min(COMPARED, len(background)), p=weight / weight.sum())
    return background[np.sort(rows)]


def _reasons(whole: Explanation, parts: np.ndarray | None, i: int, there: int) -> dict:
    """What is said of one event: the largest attributions of variables, those of pixels and of constituents."""
    variables = {name: float(values[i]) for name, values in whole.variables.items()}
    largest = sorted(variables, key=lambda name: -abs(variables[name]))[:REASONS]
    return {
        "method": whole.method, "reference": number(whole.reference[i]),
        "variables": [[KNOWN[name].label if name in KNOWN else name, number(variables[name])] for name in largest],
        "pixels": rounded(whole.pixels[i]),
        "constituents": None if parts is None else rounded(parts[i, :there]),
    }  # fmt: skip


def _there(objects: np.ndarray) -> np.ndarray:
    return objects[objects[:, 0] > 0][:, :3]


def _inside(constituents: np.ndarray, jet: np.ndarray) -> np.ndarray:
    pt, eta, phi = _there(constituents).T
    return np.stack([pt, eta - jet[1], delta_phi(phi, jet[2])], axis=1)
