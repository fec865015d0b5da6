r"""Events that cannot have a probe jet, given up early in their parton shower.

At the scale of LOW_SCALE times the lower edge p_low of the window, the interleaved evolution of initial and final state
has made a few partons i, which bound the jets that can come: what a particle decays to has no more transverse momentum
than

    b_i = (p_T,i + m_T,i) / 2,     m_T,i^2 = m_i^2 + p_T,i^2,

the largest of a massless decay product (p_T,i itself if i is massless), and an anti-kT jet of radius R has, but for
emissions below the scale, no more than the sum in a cone,

    B = max_i  sum over j within ΔR_ij < R of  b_j.

An event with B < FRACTION p_low is given up. It costs a twentieth of a whole one, so that a card's p̂_T may begin
farther below the window. About 1 in 1,000 jets is lost (2 of 2,123 in QCD at 550 to 650 GeV;
tests/samples/test_veto.py). Cross-section and number of tried events that Pythia counts are those of the remaining
events, so that their product with the acceptance is the same as without.
"""

import math

from hepad.events.cuts import window
from hepad.samples.simulation.settings import Generation

FRACTION = 0.85
WITH_RESPONSE = 0.8  # of the edge: the response of a detector makes some jets harder
LEAST = 100.0  # GeV: to softer jets hadrons and the underlying event add more than FRACTION leaves
LOW_SCALE = 0.05
SOFT = 5.0  # GeV, of a parton: what is below adds less than FRACTION leaves
INTERLEAVED = 3  # later calls of Pythia's are about decays, whose mothers had their turn


def may_reach(pt: float, partons: list[tuple[float, float, float]], radius: float) -> bool:
    """Whether the bound B of partons (b, rapidity, phi) is ``pt`` GeV or more."""
    if max((b for b, _, _ in partons), default=0.0) >= pt:
        return True
    if sum(b for b, _, _ in partons) < pt:
        return False
    for _, y, phi in partons:
        cone = 0.0
        for b, other_y, other_phi in partons:
            d_phi = math.remainder(phi - other_phi, math.tau)
            if (y - other_y) ** 2 + d_phi**2 < radius**2:
                cone += b
        if cone >= pt:
            return True
    return False


def lower_edge(settings: Generation) -> float:
    """p_low in GeV; 0 where partons say nothing, since pile-up adds to jets, jets are too soft, or all events are
    kept."""
    (low, _), _ = window(settings.selection)
    return 0.0 if settings.others or low < LEAST else low * (WITH_RESPONSE if settings.detector else 1)


def hooks(base: type, settings: Generation, most: int):
    """Pythia's user hooks, a subclass of ``base``, that give up events without a probe jet; None where nothing can be
    said.

    ``most``: how many they give up until they are counted, since Pythia returns with an event only
    """
    pt_low = lower_edge(settings)
    if not pt_low:
        return None

    class NoProbeJet(base):
        given_up = 0

        def count(self) -> int:
            """How many events were given up since the last call."""
            number, self.given_up = self.given_up, 0
            return number

        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return LOW_SCALE * pt_low

        def doVetoPT(self, position: int, event) -> bool:
            if position > INTERLEAVED or self.given_up >= most:
                return False
            hard = [particle for particle in event if particle.isFinal() and particle.pT() > SOFT]
            partons = [((particle.pT() + particle.mT()) / 2, particle.y(), particle.phi()) for particle in hard]
            hopeless = not may_reach(FRACTION * pt_low, partons, settings.jet_radius)
            self.given_up += hopeless
            return hopeless

    return NoProbeJet()
