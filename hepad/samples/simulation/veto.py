r"""Events that cannot have a probe jet, given up early in their parton shower.

At the scale of LOW_SCALE times the lower edge p_low of the window, the interleaved evolution (multiparton interactions,
initial and final state) has made a few partons i, which tell how hard the jets can become: what a particle decays to
has no more transverse momentum than

    b_i = (p_T,i + m_T,i) / 2,     m_T,i^2 = m_i^2 + p_T,i^2,

the largest of a massless decay product (p_T,i itself if i is massless), and an anti-kT jet of radius R has about the
sum in a cone,

    B = max_i  sum over j within ΔR_ij < R of  b_j,

but for emissions below the scale and for wide jets of several equal prongs, which can have more.

An event with B < FRACTION p_low is given up. It costs a twentieth of a whole one, so that a card's p̂_T may begin
farther below the window. One or two in 1,000 jets of R = 0.8 are lost, at most 4 at 95 % confidence (2 of 1,500 in QCD
at 550 to 650 GeV, 1 of 1,200 at 150 to 300 GeV, none of 800 top jets; without multiparton interactions).
Cross-section, acceptance and number of tried events are those of the remaining events, so that the product of the first
two is the same as without; ``n_given_up`` counts the others. Events with weights are all generated: Pythia takes the
cross-section of those given up from their number.
"""

import math

from hepad.events.cuts import window
from hepad.samples.simulation.settings import Generation

FRACTION = 0.88
LEAST = 100.0  # GeV: to softer jets hadrons and the underlying event add more than FRACTION leaves
LOW_SCALE = 0.05
SOFT = 5.0  # GeV, of a parton: what is below adds less than FRACTION leaves
INTERLEAVED = 3  # later calls of Pythia's are about deferred showers and decays, whose mothers had their turn


def may_reach(pt: float, partons: list[tuple[float, float, float]], radius: float) -> bool:
    """Whether the estimate B of partons (b, rapidity, phi) is ``pt`` GeV or more."""
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


def bounds(event) -> list[tuple[float, float, float]]:
    """(b, rapidity, phi) of the final particles of Pythia's ``event`` with b > SOFT: a heavy one at rest is among
    them."""
    final = [particle for particle in event if particle.isFinal()]
    bounded = [((particle.pT() + particle.mT()) / 2, particle) for particle in final]
    return [(b, particle.y(), particle.phi()) for b, particle in bounded if b > SOFT]


def lower_edge(settings: Generation) -> float:
    """p_low in GeV; 0 where partons say nothing, since pile-up adds to jets, jets are too soft, or all events are
    kept."""
    (low, _), _ = window(settings.selection)
    return 0.0 if settings.others or low < LEAST else low


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
            partons = bounds(event)
            hopeless = not may_reach(FRACTION * pt_low, partons, settings.jet_radius)
            self.given_up += hopeless
            return hopeless

    return NoProbeJet()
