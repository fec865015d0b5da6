"""Generated samples: Pythia 8 (arXiv:2203.11601) from a settings file, pile-up, detector response, anti-kT jets.

Per batch of events: generate, overlay pile-up, smear, cluster, keep the probe jets, match them to generator-level
particles; until the wanted number of jets is reached. Or, for a trigger, one row per event with the objects of a first
level (:mod:`hepad.samples.simulation.level1`). Needs the extra ``hepad[simulate]``.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events import Events, concatenate, split_of
from hepad.events.completion import complete
from hepad.events.kinematics import from_cartesian
from hepad.samples import clustering
from hepad.samples.clustering import Particles
from hepad.samples.metadata import SUMMED
from hepad.samples.simulation import truth, veto
from hepad.samples.simulation.level1 import RADIUS, level1_objects
from hepad.samples.simulation.pileup import HARD, Batch, Crossings, draw, make_pools, overlay
from hepad.samples.simulation.response import respond
from hepad.samples.simulation.settings import Generation

BATCH = 500
HOPELESS = 20_000  # events without a single probe jet
MAX_ABS_ETA = 5.0
MAX_SEED = 900_000_000


def generate(
    settings: Generation,
    jets: int,
    seed: int,
    *,
    first_event_id: int = 0,
    split: tuple[float, float, float] | None = None,
    max_events: int = 1_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> Events:
    """Generate one chunk of a sample; the same arguments give bit-identical Events.

    Parameters
    ----------
    settings: what is generated and kept
    jets: number of probe jets; with ``leading`` 2 one more may come, as events are not split; of events with ``level1``
    seed: of Pythia and of the response, 1 to 900 000 000
    first_event_id: identifiers count the generated events from here; chunks ``max_events`` apart never overlap
    split: fractions of train, valid and test, by which the reader will divide the events: the pool of pile-up is, too
    max_events: give up after so many events
    progress: called with (jets so far, jets) after every batch

    Returns
    -------
    Events, all in split 0 (the reader splits). ``truth``: ``hard_pt`` (p̂_T; 0 for a lone resonance), with matching
    ``matched_pt`` and ``matched_dr_max``, for hidden valleys ``n_dark_mesons`` and ``invisible_fraction`` of the
    event's dark mesons, with pile-up ``hardest_pileup``, the place in the pool of the hardest collision.
    ``facts['pileup']``: the number of collisions overlaid. ``meta``: what a rate is made from (``rate``: kind
    'zero_bias' or 'cross_section'), cross-section, acceptance (weight of the events with a probe jet over that of all),
    counts, window, settings, card. Cross-section, acceptance and counts are those of the events that were not given up
    (:mod:`hepad.samples.simulation.veto`); the product of the first two is that of all.

    Raises
    ------
    InputError: unreadable card, refused setting, failed initialisation, nothing passes
    """
    if jets < 1:
        raise InputError(f"{settings.card}: 'jets' is {jets}; it must be positive.")
    hooks = veto.hooks(_pythia8().UserHooks, settings, min(HOPELESS, max_events))
    pythia, others = start(settings.card, seed, hooks, settings.settings), settings.others
    zero_bias, collisions = bool(settings.zero_bias), _collisions(pythia, settings, seed, split)
    make = partial(
        _trigger_rows if settings.level1 else _probe_jets,
        settings=settings, pythia=pythia, collisions=collisions, rng=np.random.default_rng(seed),
    )  # fmt: skip
    # pile-up fills the memory that many events would; a crossing needs no event of its own
    limit = max(20, int(BATCH / (1 + others.profile.average / 5))) if others else BATCH
    parts, sums = [], dict.fromkeys(SUMMED, 0)
    following = range if zero_bias else pythia.nextBatch
    for part, counts in _batches(following, make, hooks, jets, max_events, limit, first_event_id):
        parts.append(part)
        sums = {key: sums[key] + counts[key] for key in SUMMED}
        if progress:
            progress(min(sums["n_jets"], jets), jets)
    if sums["n_jets"] < jets:
        raise _too_few(settings, jets, sums["n_jets"], sums["n_tried"] + sums["n_given_up"])
    events = concatenate(parts)
    last = events.event_id[jets - 1]
    events = events[: np.searchsorted(events.event_id, last, side="right")]
    whole = set() if settings.level1 else {"constituents"}
    events.meta.update(
        _facts(pythia, settings, seed) | sums, n_jets=len(events),
        acceptance=sums["sum_weights_accepted"] / sums["sum_weights_tried"],
        window=None if settings.selection == "any" else dict(settings.selection),
        jet_radius=RADIUS if settings.level1 else settings.jet_radius, leading=int(settings.leading),
        matching=settings.matched, response=asdict(settings.detector) if settings.detector else None,
        level1=settings.level1, pileup=others.facts if others else None,
        rate={"kind": "zero_bias" if zero_bias else "cross_section"},
        present=sorted({"electrons", "jets", "met", "muons", "photons"} | whole | events.facts.keys()),
    )  # fmt: skip
    return events


def _batches(
    following, make, hooks, jets: int, max_events: int, limit: int, first: int
) -> Iterator[tuple[Events, dict]]:
    """Batches of probe jets with their counts, until there are enough jets, or no hope of it; ``first``: identifier."""
    n_events, n_jets, tried = 0, 0, 0  # of all that were tried, events are those that were not given up
    while n_jets < jets and tried < max_events and (n_jets or tried < HOPELESS):
        size = 1.1 * (jets - n_jets) * n_events / n_jets if n_jets else 4 * jets + n_events
        batch = following(int(np.clip(size, 50, limit).clip(1, max_events - n_events)))
        if not len(batch):
            return
        given_up = hooks.count() if hooks else 0
        tried += len(batch) + given_up
        ids = first + n_events + np.arange(len(batch))
        part, weight = make(batch, ids)
        accepted = np.unique(part.event_id) - ids[0]
        n_events, n_jets = n_events + len(batch), n_jets + len(part)
        yield (
            part,
            {
                "n_tried": len(batch),
                "n_given_up": given_up,
                "n_events_accepted": len(accepted),
                "n_jets": len(part),
                "sum_weights_tried": float(weight.sum()),
                "sum_weights_accepted": float(weight[accepted].sum()),
            },
        )


def start(card: str | Path, seed: int, hooks=None, lines: tuple[str, ...] = ()):
    """An initialised Pythia with the settings of ``card``; InputError names the line that Pythia refuses.

    hooks: Pythia's user hooks, which have to live as long as it does
    lines: further settings, which override those of the card
    """
    pythia8mc, card = _pythia8(), Path(card)
    if not card.is_file():
        raise InputError(f"{card}: there is no such card. Check 'card' in the sample's source.")
    if not 1 <= int(seed) <= MAX_SEED:
        raise InputError(f"{card}: seed {seed} is outside 1 to {MAX_SEED}, the range of Pythia.")
    pythia = pythia8mc.Pythia("", False)
    if not pythia.readFile(str(card), False):
        probe = pythia8mc.Pythia("", False)
        for number, line in enumerate(card.read_text().splitlines(), start=1):
            if not probe.readString(line, False):
                raise InputError(f"{card}, line {number}: Pythia refuses '{line.strip()}'. Check its name and value.")
        raise InputError(f"{card}: Pythia cannot read this card. Check the files that it includes.")
    for line in lines:
        if not pythia.readString(line, False):
            raise InputError(f"{card}: Pythia refuses '{line}' of 'settings'. Check its name and value.")
    pythia.readString("Random:setSeed = on")
    pythia.readString(f"Random:seed = {int(seed)}")
    if hooks is not None and not pythia.settings.flag("PhaseSpace:bias2Selection"):
        pythia.setUserHooksPtr(hooks)
    if not pythia.init():
        raise InputError(
            f"{card}: Pythia does not start with this card. Set 'Print:quiet = off' in it to see why; often no process "
            "is switched on."
        )
    return pythia


def _pythia8():
    """The module of Pythia, an extra; InputError says what to install."""
    try:
        import pythia8mc
    except ImportError:
        raise InputError("generating samples needs Pythia 8: pip install 'hepad[simulate]'.") from None
    return pythia8mc


def visible(record: truth.Record, particle_data) -> Particles:
    """The stable particles that a detector may see: |η| < 5, no neutrinos, no dark matter."""
    final = np.flatnonzero(record.status > 0)
    species, index = np.unique(record.id[final], return_inverse=True)
    visibility = np.array([particle_data.isVisible(int(i)) for i in species])
    charged = np.array([particle_data.charge(int(i)) != 0 for i in species])
    final, index = final[visibility[index]], index[visibility[index]]
    p = from_cartesian(record.p[final])
    central = np.abs(p[:, 1]) < MAX_ABS_ETA
    kind = np.abs(record.id[final]).astype(np.int32)
    return Particles(record.event[final], kind, charged[index], p).take(central)


def _collisions(pythia, settings: Generation, seed: int, split):
    """The pile-up of events, by their identifiers and drawn with a generator, as a function of both; None without.

    All is as in nature but the test crossings of a zero bias with a hard pool.
    """
    if (others := settings.others) is None:
        return None
    source = pythia if settings.zero_bias else start(others.card, MAX_SEED + 1 - int(seed))
    scattering = None
    if others.hard:
        lines = (*settings.settings, *HARD) if settings.zero_bias else HARD
        scattering = start(others.card, (int(seed) + MAX_SEED // 2) % MAX_SEED + 1, lines=lines)

    def share() -> float:
        return scattering.infoPython().sigmaGen() / source.infoPython().sigmaGen()

    pools = make_pools(others, partial(_minimum_bias, source), partial(_minimum_bias, scattering), share)
    places = [others.places(split, others.card, size) for size in (others.pool, others.hard) if size]

    def of(ids: np.ndarray, rng: np.random.Generator) -> Crossings:
        parts = np.full(len(ids), 2) if split is None else split_of(ids, split)
        natural = (parts != 2) | (not (settings.zero_bias and others.hard))
        return draw(others, pools, tuple(place[parts] for place in places), natural, rng)

    return of


def _minimum_bias(pythia, n: int) -> Batch:
    """Up to n collisions of Pythia's for a pool."""
    batch = pythia.nextBatch(n)
    weight, scale = ak.to_numpy(batch.info.weights[:, 0]), np.sqrt(ak.to_numpy(batch.info.pT2Hat))
    return Batch(visible(truth.flatten(batch), pythia.particleData), weight, scale)


class _Seen(NamedTuple):
    """Events with their pile-up: ``facts`` and ``truth`` about it, ``weight`` and ``natural`` of each."""

    particles: Particles
    facts: dict
    truth: dict
    weight: np.ndarray
    natural: np.ndarray


def _add_pileup(particles: Particles, ids: np.ndarray, collisions, rng) -> _Seen:
    if collisions is None:
        return _Seen(particles, {}, {}, np.ones(len(ids)), np.ones(len(ids), bool))
    beside = collisions(ids, rng)
    facts, hardest = {"pileup": beside.number}, {"hardest_pileup": beside.hardest}
    return _Seen(overlay(particles, beside.particles), facts, hardest, beside.weight, beside.natural)


def _single(*columns: dict) -> list[dict]:
    """The same in single precision, as they are stored."""
    return [{name: np.asarray(values, np.float32) for name, values in found.items()} for found in columns]


def _trigger_rows(batch, ids, *, settings: Generation, pythia, collisions, rng) -> tuple[Events, np.ndarray]:
    """A row per event with first-level objects, and the weights; a range stands for crossings of pile-up alone."""
    n, weight, kinematics = len(batch), np.ones(len(batch)), {}
    particles = Particles(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, bool), np.zeros((0, 4)))
    if not isinstance(batch, range):
        particles, weight = visible(truth.flatten(batch), pythia.particleData), ak.to_numpy(batch.info.weights[:, 0])
        kinematics = {"hard_pt": np.sqrt(ak.to_numpy(batch.info.pT2Hat))}
    seen = _add_pileup(particles, ids, collisions, rng)
    columns = level1_objects(seen.particles, settings.detector, seen.natural, rng)
    weight = columns["weight"] = weight * seen.weight * columns["weight"]
    columns["event_id"] = ids
    kinematics, facts = _single(kinematics | seen.truth, seen.facts)
    return complete(columns, split=None, split_rows=np.zeros(n), truth=kinematics, facts=facts), weight


def _probe_jets(batch, ids, *, settings: Generation, pythia, collisions, rng) -> tuple[Events, np.ndarray]:
    """The probe jets of one batch of events with the identifiers ``ids``, and the weights of all its events."""
    n = len(batch)
    record = truth.flatten(batch)
    seen = _add_pileup(visible(record, pythia.particleData), ids, collisions, rng)
    particles = seen.particles
    if settings.detector:
        particles = respond(particles, settings.detector, rng)
    jets = clustering.cluster(particles, n, settings.jet_radius)
    rows = np.flatnonzero(clustering.probe_jets(jets, settings.selection, int(settings.leading)))
    known = {"hard_pt": np.sqrt(ak.to_numpy(batch.info.pT2Hat))[jets.event[rows]]}
    if matching := settings.matched:
        pt, dr_max = truth.match(record, matching["particle"], jets.event[rows], jets.p[rows])
        matched = dr_max < matching["radius"]
        rows, known = rows[matched], {"hard_pt": known["hard_pt"][matched]}
        known |= {"matched_pt": pt[matched], "matched_dr_max": dr_max[matched]}
    event = jets.event[rows]
    if pythia.settings.flag("HiddenValley:fragment"):
        number, fraction = truth.dark_mesons(record, n)
        known |= {"n_dark_mesons": number[event], "invisible_fraction": fraction[event]}
    known |= {name: values[event] for name, values in seen.truth.items()}
    facts = {name: values[event] for name, values in seen.facts.items()}
    weight = ak.to_numpy(batch.info.weights[:, 0])
    columns = {
        "event_id": ids[event],
        "weight": weight[event],
        "jet": jets.p[rows],
        "constituents": clustering.constituents(particles, jets, rows),
    }
    kept = np.isin(particles.event, event)  # isolation and padding only where needed
    objects = clustering.event_objects(particles.take(kept), jets, n)
    columns |= {name: array[event] for name, array in objects.items()}
    known, facts = _single(known, facts)
    return complete(columns, split=None, split_rows=np.zeros(len(rows)), truth=known, facts=facts), weight


def _facts(pythia, settings: Generation, seed: int) -> dict:
    info, card = pythia.infoPython(), Path(settings.card)
    return {
        "cross_section_pb": info.sigmaGen() * 1e9,
        "cross_section_error_pb": info.sigmaErr() * 1e9,
        "sqrt_s_tev": info.eCM() / 1000,
        "generator": f"Pythia {version('pythia8mc')}",
        "name": card.stem,
        "card": "\n".join([card.read_text(), *settings.settings]),
        "seed": int(seed),
        "seeds": [int(seed)],
        "mpi": bool(pythia.settings.flag("PartonLevel:MPI")),
    }


def _too_few(settings: Generation, jets: int, found: int, tried: int) -> InputError:
    matched = f" and the matching {settings.matched}" if settings.matched else ""
    advice = (
        "Check that the card makes jets of this pt (PhaseSpace:pTHatMin below four fifths of the window's edge), or "
        "widen the window."
    )
    if not tried:
        advice = "Pythia generates no events: set 'Print:quiet = off' in the card to see why."
    return InputError(
        f"{settings.card}: {found} of {jets} jets after {tried} events pass the window "
        f"{settings.selection}{matched}. {advice}"
    )
