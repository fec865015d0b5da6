r"""Makes a score a trigger: the threshold for a rate budget, its total and pure rate, and its signal efficiency.

Rate of the events that pass t, F the rate of the whole sample, P the trigger's own prescale, ε and its interval those
of :mod:`hepad.evaluation.score_distribution`:

    zero bias       F = n_b f L / L_0      n_b bunches, f = 11245.6 Hz; L / L_0 scales the luminosity of the data
    cross-section   F = σ L A              A the share of the generated events that is in the sample
    R(t) = F ε(t) / P                      total: y = 1;  pure: y = 1 - a;  overlap: y = a, how often the menu takes it

Threshold for the budget B, which asks for ε_B = B P / F, of the total or of the pure rate:

    t̂ in { t : ε(t') <= ε_B for all t' >= t }, with the largest ε(t)

ε(t) is not monotonic where weights are negative, hence "all". All t̂ of the gap between two scores pass the same events;
it is the middle of that gap, which rounding does not reach. The rate at t̂ never exceeds the budget, also with ties.

What is wanted of a signal is ε_S at the true rate B. Its interval has the uncertainty of the threshold and that of the
signal's counts: :mod:`hepad.evaluation.threshold_uncertainty`.
"""

from typing import NamedTuple

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.evaluation.efficiency import LEVEL, MIN_COUNT, Efficiency
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.streaming import Sample
from hepad.evaluation.threshold_uncertainty import above_truth, efficiency_at_truth
from hepad.events import acceptance_of

ORBIT_HZ = 11245.6  # LHC revolution frequency, as public CMS L1 rate code has it (cms-l1-dpg/L1MenuRun3)
BUNCHES = 2544  # of the 3564 slots; public CMS code has 2544 x 11245.6 Hz = 28608.8 kHz of crossings. A setting
PB_CM2 = 1e-36
RATES = ("total", "pure", "overlap")


class Scale(NamedTuple):
    """Hz of a sample: ``hz`` if all of it passed, ``crossing_hz`` of bunch crossings; ``kind`` as declared."""

    kind: str
    hz: float
    crossing_hz: float


FRACTION = Scale("fraction", 1.0, 1.0)  # for a sample without a rate: 'Hz' are shares of the sample


class Rate(NamedTuple):
    """``hz`` with its interval [low, high]; ``passed`` events lie above the threshold, ``effective`` is k_eff."""

    hz: float
    low: float
    high: float
    passed: int
    effective: float


class Point(NamedTuple):
    """A threshold and its rates.

    Attributes
    ----------
    budget_hz, of, prescale: as asked; ``of`` is 'total' or 'pure'
    eps_b: what the budget is of the sample, (0, 1]
    threshold: events above it pass
    threshold_low, threshold_high: interval of the threshold whose true rate is the budget; inf where no event is above
    total, pure, overlap: rates at ``threshold``; the latter None without a menu
    independent: effective number of independent events that pass, by their weights and by what they share
    resolved: at least MIN_COUNT independent events pass; otherwise the sample does not fix the threshold
    remark: what is to be known before the numbers are used, in words; '' if nothing
    """

    budget_hz: float
    of: str
    prescale: float
    eps_b: float
    threshold: float
    threshold_low: float
    threshold_high: float
    total: Rate
    pure: Rate | None
    overlap: Rate | None
    independent: float
    resolved: bool
    remark: str


class Gain(NamedTuple):
    """Signal efficiency of a trigger at a point, and its gain over the menu.

    Attributes
    ----------
    eps_s: with the interval at the true rate, that is with the uncertainty of the threshold
    counting: with the interval of the signal's counts alone, at the threshold as it is
    gain: trigger or menu, less menu; its interval as that of ``eps_s``; None without a menu
    overlap: trigger and menu, interval of the counts; None without a menu
    menu: the menu alone; None without one
    """

    eps_s: Efficiency
    counting: Efficiency
    gain: Efficiency | None
    overlap: Efficiency | None
    menu: Efficiency | None


def zero_bias(bunches: int = BUNCHES, luminosity: float | None = None, sample_luminosity: float | None = None) -> Scale:
    """Scale of unbiased bunch crossings.

    Parameters
    ----------
    bunches: colliding, in (0, 3564]
    luminosity, sample_luminosity: of the wanted rates and of the data, one unit; both or neither. The rate is scaled
        with their ratio, as CMS does; it does not follow from that if the rate is not proportional to the pile-up.
    """
    crossing = _positive("bunches", bunches, 3564) * ORBIT_HZ
    if (luminosity is None) != (sample_luminosity is None):
        raise InputError("rate: luminosity and sample_luminosity scale a rate together. Give both or neither.")
    if luminosity is None:
        return Scale("zero_bias", crossing, crossing)
    ratio = _positive("luminosity", luminosity) / _positive("sample_luminosity", sample_luminosity)
    return Scale("zero_bias", crossing * ratio, crossing)


def cross_section(cross_section_pb: float, acceptance: float, luminosity: float, bunches: int = BUNCHES) -> Scale:
    """Scale of a generated process.

    Parameters
    ----------
    cross_section_pb: σ of the generated process [pb]
    acceptance: share of the generated events that is in the sample, by weight, (0, 1]
    luminosity: instantaneous [cm⁻² s⁻¹]
    bunches: colliding, in (0, 3564]; for the rate that no budget can exceed
    """
    sigma = _positive("cross_section_pb", cross_section_pb) * PB_CM2
    hz = sigma * _positive("luminosity", luminosity) * _positive("acceptance", acceptance, 1)
    return Scale("cross_section", hz, _positive("bunches", bunches, 3564) * ORBIT_HZ)


def scale_of(name: str, declared: dict | None, meta: dict) -> Scale:
    """The scale that a sample declares in its entry's key ``rate``.

    Parameters
    ----------
    name: of the sample, for messages
    declared: ``{kind: zero_bias, ...}`` or ``{kind: cross_section, ...}`` with the arguments of the function of that
        name; None if the entry says nothing, which is an InputError: there is no Hz then
    meta: of the sample's events; cross_section_pb and acceptance are taken from there if ``declared`` has none; a
        declared cross-section is that of all events of a generation, those given up early too
    """
    kinds = {"zero_bias": zero_bias, "cross_section": cross_section}
    if not declared or "kind" not in declared:
        raise InputError(
            f"samples.{name}: its efficiencies have no Hz. If it is bunch crossings without selection, say "
            "'rate: {kind: zero_bias}'; if it is a process with a cross-section, 'rate: {kind: cross_section, "
            "luminosity: 2e34}'. Of other samples only efficiencies can be given."
        )
    kind = check_choice(f"samples.{name}.rate: kind", declared["kind"], kinds)
    given = {key: value for key, value in declared.items() if key != "kind"}
    keys = {"zero_bias": ("bunches", "luminosity", "sample_luminosity"),
            "cross_section": ("cross_section_pb", "acceptance", "luminosity", "bunches")}[kind]  # fmt: skip
    for key in given:
        check_choice(f"samples.{name}.rate: key", key, keys)
    if kind == "cross_section":
        acceptance = {"acceptance": acceptance_of(meta, "cross_section_pb" in given)} if "acceptance" in meta else {}
        given = {key: meta[key] for key in keys[:1] if key in meta} | acceptance | given
        if missing := [key for key in keys[:3] if key not in given]:
            raise InputError(f"samples.{name}.rate: {', '.join(missing)} missing: rate = σ L acceptance ε. Add them.")
    return kinds[kind](**given)


def at_budget(background: Sample, scale: Scale, budget_hz: float, of: str = "total", prescale: float = 1.0) -> Point:
    """The threshold whose rate on the sample comes nearest to the budget from below, and its rates.

    Parameters
    ----------
    background: scores of the sample that ``scale`` belongs to
    budget_hz: in (0, crossing rate]
    of: which rate the budget is for, 'total' or 'pure'; 'pure' needs a menu
    prescale: of the trigger itself, >= 1
    """
    if not 0 < budget_hz <= scale.crossing_hz:
        if scale is FRACTION:
            raise InputError(f"rate: a background efficiency of {budget_hz:.6g} is not in (0, 1]. Correct it.")
        raise InputError(
            f"rate: a budget of {budget_hz:.6g} Hz is not between 0 and the rate of bunch crossings, "
            f"{scale.crossing_hz:.6g} Hz. Correct the budget (configs have kHz)."
        )
    if not 1 <= prescale < np.inf:
        raise InputError(f"rate: the trigger's prescale {prescale} must be a number from 1 on. Correct it.")
    check_choice("rate: budget of", of, ("total", "pure"))
    distribution = getattr(background, of)
    if distribution is None:
        raise InputError(f"rate: a pure rate of '{background.name}' needs a menu. Give one, or ask for the total rate.")
    eps_b = min(budget_hz * prescale / scale.hz, 1.0)
    threshold = float(distribution.at_most(eps_b))
    lower, upper = above_truth(distribution, eps_b, np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    rates = {name: _rate(getattr(background, name), threshold, scale.hz / prescale) for name in RATES}
    return Point(
        float(budget_hz), of, float(prescale), eps_b, threshold,
        min(float(distribution.exceeding(upper)), threshold), max(float(distribution.reaching(lower)), threshold),
        **rates, independent=float(distribution.independent(threshold)), resolved=distribution.resolved(threshold),
        remark=_remark(distribution, eps_b, threshold, rates[of], scale),
    )  # fmt: skip


def at_threshold(background: Sample, scale: Scale, threshold: float, prescale: float = 1.0) -> dict[str, Rate | None]:
    """Total, pure and overlap rate at a threshold; NaN where the passing weights sum to less than nothing."""
    return {name: _rate(getattr(background, name), threshold, scale.hz / prescale) for name in RATES}


def gain(point: Point, background: Sample, signal: Sample) -> Gain:
    """The gain on a signal of the trigger at ``point``, which :func:`at_budget` found on ``background``."""
    distribution = getattr(background, point.of)

    def at_true_rate(counted: ScoreDistribution) -> Efficiency:
        return _prescaled(efficiency_at_truth(distribution, point.eps_b, counted, point.threshold), point.prescale)

    counting = _prescaled(signal.total.efficiency(point.threshold), point.prescale)
    if signal.pure is None:
        return Gain(at_true_rate(signal.total), counting, None, None, None)
    overlap = _prescaled(signal.overlap.efficiency(point.threshold), point.prescale)
    return Gain(at_true_rate(signal.total), counting, at_true_rate(signal.pure), overlap, signal.menu)


def _rate(distribution: ScoreDistribution | None, threshold: float, hz: float) -> Rate | None:
    if distribution is None:
        return None
    eps, low, high = (float(x) * hz for x in distribution.intervals(threshold))
    effective = float(distribution.effective(threshold)[1])
    return Rate(eps, low, high, int(distribution.count(threshold)), effective)


def _prescaled(efficiency: Efficiency, prescale: float) -> Efficiency:
    value, low, high = (x / prescale for x in efficiency[:3])
    return efficiency._replace(value=value, low=low, high=high)


def _remark(distribution: ScoreDistribution, eps_b: float, threshold: float, rate: Rate, scale: Scale) -> str:
    """A warning where the sample is too small for this budget."""
    whole, unit = distribution.whole, " of the sample" if scale is FRACTION else " Hz"
    if np.isnan(rate.hz):
        return f"the weights of the {rate.passed} events above the threshold sum to less than 0: no rate."
    if eps_b >= 1 or threshold < distribution.scores[0]:
        return "all of the sample passes and its rate is within the budget: the threshold is below its lowest score."
    if rate.passed == 0:
        return (
            f"the budget is {eps_b * distribution.n_eff:.2g} of {whole.n} events: none passes, and the rate is "
            f"only known to be below {rate.high:.3g}{unit}. {MIN_COUNT} events need a sample of about "
            f"{MIN_COUNT / eps_b:.2g}."
        )
    if not distribution.resolved(threshold):
        independent = distribution.independent(threshold)
        count = f"{independent:.0f}" if distribution.plain else f"effectively {independent:.1f} independent"
        size = whole.n * MIN_COUNT / independent if independent else MIN_COUNT / eps_b
        return (
            f"{count} events pass, fewer than {MIN_COUNT}: the sample does not fix the threshold. "
            f"{MIN_COUNT} need a sample of about {size:.2g}."
        )
    tied = np.count_nonzero(distribution.scores == distribution.exceeding(eps_b))
    if tied > 1:
        return f"{tied} events tie at the threshold and do not pass: with them the rate would exceed the budget."
    return distribution.remark(threshold)


def _positive(key: str, value, limit: float = np.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= limit or value == np.inf:
        bound = "" if limit == np.inf else f" and at most {limit}"
        raise InputError(f"rate.{key}: {value!r} must be a number above 0{bound}. Correct the sample's entry.")
    return float(value)
