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


def most_anomalous(rows: Iterable[Rows], key: str) -> tuple[Events, np.ndarray]:
    """The events with the largest scores under one training, falling, out of blocks of a scored sample."""
    held = None
    for block, scores in rows:
        best = np.argsort(-scores[key], kind="stable")[:MOST]
        parts = [(block[best], scores[key][best])] + ([held] if held else [])
        together, values = concatenate([e for e, _ in parts]), np.concatenate([s for _, s in parts])
        order = np.argsort(-values, kind="stable")[:MOST]
        held = together[order], values[order]
    if held is None:
        raise InputError("figures: a sample has no test events to show. Check its split.")
    return held


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
