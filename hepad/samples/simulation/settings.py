"""Settings of a generation: the card, the pile-up, the response of the detector, and the selection."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hepad.errors import InputError, check_choice
from hepad.events.cuts import window
from hepad.samples.simulation.pileup import Pileup
from hepad.samples.simulation.response import Response
from hepad.samples.simulation.truth import checked_matching


@dataclass(frozen=True)
class Generation:
    """Settings of a generated sample; :func:`hepad.samples.simulation.pythia.generate` makes events of them.

    Parameters
    ----------
    card: file of Pythia 8 settings
    selection: window of the probe jets, {pt: [low, high], abs_eta: x} in GeV, or 'any'
    leading: 1 or 2, how many of the hardest jets of an event may become probe jets
    response: settings of the detector response; True for the defaults; None for particle level
    matching: {particle: PDG id, radius: ΔR}: keep a jet only if the last copy of the particle (or antiparticle) and
        all its decay partons lie within ΔR of the jet's axis
    pileup: {card, mean: 50, pool: 2000}, further collisions in every event (:mod:`hepad.samples.simulation.pileup`);
        nothing subtracts them from the probe jet
    zero_bias: {mean, pool}: the events are bunch crossings with Poisson(mean) events of ``card`` and nothing else; with
        ``hard`` test crossings have weights, and many more hard collisions
    level1: one row per event, with the objects of a first-level trigger, no constituents, ``jet`` the leading jet or
        zeros; takes the selection 'any'
    jet_radius: of the anti-kT jets
    settings: lines of Pythia's settings that override those of the card, such as 'PartonLevel:MPI = on'

    Raises
    ------
    InputError: a setting is none, or settings together mean nothing

    Examples
    --------
    >>> Generation("config/cards/qcd.cmnd", {"pt": [550, 650], "abs_eta": 2.0}, leading=2, response=True).others is None
    True
    """

    card: str | Path
    selection: dict | str
    leading: int = 1
    response: Response | bool | None = None
    matching: dict | None = None
    pileup: dict | None = None
    zero_bias: dict | None = None
    level1: bool = False
    jet_radius: float = 0.8
    settings: tuple[str, ...] = ()

    def __post_init__(self):
        window(self.selection)
        check_choice("leading", str(self.leading), ("1", "2"))
        if self.pileup and self.zero_bias:
            raise InputError(f"{self.card}: 'zero_bias' is made of pile-up alone; leave out 'pileup'.")
        if self.zero_bias and not self.level1:
            raise InputError(f"{self.card}: 'zero_bias' events have no probe jet; set 'level1: true'.")
        probes = self.selection != "any" or int(self.leading) != 1 or self.matched or not self.response
        if self.level1 and probes:
            raise InputError(
                f"{self.card}: 'level1' takes every event: selection 'any', leading 1, no matching, a response."
            )
        _ = self.others

    @cached_property
    def matched(self) -> dict | None:
        """The matching as numbers; None without."""
        return checked_matching(self.matching)

    @cached_property
    def detector(self) -> Response | None:
        """The response; None at particle level."""
        return Response() if self.response is True else self.response or None

    @cached_property
    def others(self) -> Pileup | None:
        """The collisions that are overlaid on an event, or that a crossing consists of; None without."""
        entry = dict(self.zero_bias, card=str(self.card)) if self.zero_bias else self.pileup
        return Pileup.of(entry, f"{self.card}: {'zero_bias' if self.zero_bias else 'pileup'}") if entry else None
