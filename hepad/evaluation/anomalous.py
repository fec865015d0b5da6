"""The most anomalous jets of a sample, and what a display shows of each."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.scored_sample import Rows
from hepad.events import Events, concatenate
from hepad.events.kinematics import delta_phi
from hepad.events.observables import OBSERVABLES, measure

MOST = 8
PIXELS, HALF_WIDTH = 40, 1.0  # of a display, in Δη and Δφ
SHOWN = ("jet_pt", "jet_mass", "multiplicity")


class Jet(NamedTuple):
    """pT [GeV] in pixels of Δφ (vertical) and Δη, and what is written in the corner."""

    image: np.ndarray
    text: str


class Picked(NamedTuple):
    """Some events of a sample.

    Attributes
    ----------
    events: those that are in any of the lists; scores: 'detector/seed' -> (n,) of them
    top: 'detector/seed' -> places of those with its largest scores, falling
    random: places of as many that are drawn, by their weights, from all that were looked at; none without a generator
    """

    events: Events
    scores: dict[str, np.ndarray]
    top: dict[str, np.ndarray]
    random: np.ndarray


def most_anomalous(rows: Iterable[Rows], keys: Iterable[str], rng: np.random.Generator | None = None) -> Picked:
    """The events with the ``MOST`` largest scores under each of the trainings ``keys``, out of blocks of a sample.

    rng: draws others beside them; None for none
    """
    keys, held = list(keys), None
    for block, scores in rows:
        drawn = np.zeros(len(block)) if rng is None else lots(block.weight, rng)
        found = {key: scores[key] for key in keys} | {"": drawn}
        if held:
            block = concatenate([held[0], block])
            found = {key: np.concatenate([held[1][key], values]) for key, values in found.items()}
        wanted = keys if rng is None else found
        best = {key: np.argsort(-found[key], kind="stable")[:MOST] for key in wanted}
        kept = np.unique(np.concatenate(list(best.values())))
        places = {key: np.searchsorted(kept, of) for key, of in best.items()}
        held = block[kept], {key: values[kept] for key, values in found.items()}, places
    if held is None or not len(held[0]):
        raise InputError("figures: a sample has no test events to show. Check its split.")
    events, scores, places = held
    drawn = places.pop("", np.zeros(0, int))
    return Picked(events, {key: scores[key] for key in keys}, places, drawn)


def lots(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numbers (N,): the events of the largest are drawn by weight (P. Efraimidis, P. Spirakis, arXiv:1012.0256)."""
    return np.where(weight > 0, -rng.exponential(size=len(weight)) / np.maximum(weight, 1e-300), -np.inf)


def displays(found: Events, scores: np.ndarray) -> list[Jet]:
    """Images of the jets, and their texts."""
    measured = list(measure(found, SHOWN).values())
    pt, eta, phi = (found.constituents[..., i] for i in range(3))
    eta, phi = eta - found.jet[:, 1:2], delta_phi(phi, found.jet[:, 2:3])
    edges = np.linspace(-HALF_WIDTH, HALF_WIDTH, PIXELS + 1)
    jets = []
    for i, score in enumerate(scores):
        image, *_ = np.histogram2d(phi[i], eta[i], [edges, edges], weights=pt[i])
        of_jet, mass, count = (values[i] for values in measured)
        text = f"{OBSERVABLES['jet_pt'].symbol.removeprefix('jet ')} = {of_jet:.0f} GeV, $m$ = {mass:.0f} GeV\n"
        jets.append(Jet(image, f"{text}$n$ = {count:.0f}, score {score:.3g}".replace("-", "−")))
    return jets
