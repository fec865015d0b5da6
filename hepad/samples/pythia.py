"""Generated samples: Pythia 8 (arXiv:2203.11601) from a settings file, detector response, anti-kT jets.

Per batch of events: generate, smear, cluster, keep the probe jets, match them to generator-level particles; until the
wanted number of jets is reached. Needs the extra ``hepad[simulate]``.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import awkward as ak
import numpy as np

from hepad.errors import InputError, choose
from hepad.events import Events, concatenate
from hepad.kinematics import from_cartesian
from hepad.samples import reconstruction, truth
from hepad.samples.meta import SUMMED
from hepad.samples.response import Particles, Response, respond
from hepad.samples.selection import complete, window

BATCH = 500
HOPELESS = 20_000  # events without a single probe jet
MAX_ABS_ETA = 5.0
MAX_SEED = 900_000_000


def generate(
    card: str | Path,
    jets: int,
    seed: int,
    *,
    selection: dict | str,
    leading: int = 1,
    response: Response | bool | None = None,
    matching: dict | None = None,
    jet_radius: float = 0.8,
    first_event_id: int = 0,
    max_events: int = 1_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> Events:
    """Generate one chunk of a sample; the same arguments give bit-identical Events.

    Parameters
    ----------
    card: file of Pythia 8 settings
    jets: number of probe jets; with ``leading`` 2 one more may come, as events are not split
    seed: of Pythia and of the response, 1 to 900 000 000
    selection: window of the probe jets, {pt: [low, high], abs_eta: x} in GeV, or 'any'
    leading: 1 or 2, how many of the hardest jets of an event may become probe jets
    response: settings of the detector response; True for the defaults; None for particle level
    matching: {particle: PDG id, radius: ΔR}: keep a jet only if the last copy of the particle (or antiparticle) and
        all its decay partons lie within ΔR of the jet's axis
    first_event_id: identifiers count the generated events from here; chunks ``max_events`` apart never overlap
    max_events: give up after so many events
    progress: called with (jets so far, jets) after every batch

    Returns
    -------
    Events, all in split 0 (the reader splits). ``truth``: ``hard_pt`` (p̂_T; 0 for a lone resonance), with matching
    ``matched_pt`` and ``matched_dr_max``, for hidden valleys ``n_dark_mesons`` and ``invisible_fraction`` of the
    event's dark mesons. ``meta``: cross-section, acceptance (weight of the events with a probe jet over that of all),
    counts, window, settings, card.

    Raises
    ------
    InputError: unreadable card, refused setting, failed initialisation, nothing passes
    """
    window(selection)
    if jets < 1:
        raise InputError(f"{card}: 'jets' is {jets}; it must be positive.")
    leading = int(choose("leading", str(leading), ("1", "2")))
    matching = _checked_matching(matching)
    response = Response() if response is True else response or None
    pythia = start(card, seed)
    steps = partial(
        _process, pythia=pythia, rng=np.random.default_rng(seed), selection=selection, leading=leading,
        response=response, matching=matching, jet_radius=jet_radius,
    )  # fmt: skip
    parts, sums = [], dict.fromkeys(SUMMED, 0)
    for part, counts in _batches(pythia, steps, jets, max_events):
        part.event_id[:] += first_event_id + sums["n_tried"]
        parts.append(part)
        sums = {key: sums[key] + counts[key] for key in SUMMED}
        if progress:
            progress(min(sums["n_jets"], jets), jets)
    if sums["n_jets"] < jets:
        raise _too_few(card, jets, sums, selection, matching)
    events = concatenate(parts)
    last = events.event_id[jets - 1]
    events = events[: np.searchsorted(events.event_id, last, side="right")]
    events.meta.update(
        _facts(pythia, card, seed) | sums, n_jets=len(events),
        acceptance=sums["sum_weights_accepted"] / sums["sum_weights_tried"],
        window=None if selection == "any" else dict(selection), jet_radius=jet_radius, leading=leading,
        matching=matching, response=asdict(response) if response else None,
    )  # fmt: skip
    return events


def _batches(pythia, steps, jets: int, max_events: int) -> Iterator[tuple[Events, dict]]:
    """Batches of probe jets with their counts until there are enough, or no hope of it."""
    tried, found = 0, 0
    while found < jets and tried < max_events and (found or tried < HOPELESS):
        wanted = 1.1 * (jets - found) * tried / found if found else 4 * jets + tried
        batch = pythia.nextBatch(int(np.clip(wanted, 50, min(BATCH, max_events - tried))))
        if not len(batch):
            return
        part = steps(batch)
        weight, accepted = ak.to_numpy(batch.info.weights[:, 0]), np.unique(part.event_id)
        tried, found = tried + len(batch), found + len(part)
        yield (
            part,
            {
                "n_tried": len(batch),
                "n_events_accepted": len(accepted),
                "n_jets": len(part),
                "sum_weights_tried": float(weight.sum()),
                "sum_weights_accepted": float(weight[accepted].sum()),
            },
        )


def start(card: str | Path, seed: int):
    """An initialised Pythia with the settings of ``card``; InputError names the line that Pythia refuses."""
    try:
        import pythia8mc
    except ImportError:
        raise InputError("generating samples needs Pythia 8: pip install 'hepad[simulate]'.") from None
    card = Path(card)
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
    pythia.readString("Random:setSeed = on")
    pythia.readString(f"Random:seed = {int(seed)}")
    if not pythia.init():
        raise InputError(
            f"{card}: Pythia does not start with this card. Set 'Print:quiet = off' in it to see why; often no process "
            "is switched on."
        )
    return pythia


def visible(record: truth.Record, particle_data) -> Particles:
    """The stable particles that a detector may see: |η| < 5, no neutrinos, no dark matter."""
    final = np.flatnonzero(record.status > 0)
    species, which = np.unique(record.id[final], return_inverse=True)
    seen = np.array([particle_data.isVisible(int(i)) for i in species])
    charged = np.array([particle_data.charge(int(i)) != 0 for i in species])
    final, which = final[seen[which]], which[seen[which]]
    p = from_cartesian(record.p[final])
    central = np.abs(p[:, 1]) < MAX_ABS_ETA
    kind = np.abs(record.id[final]).astype(np.int32)
    return Particles(record.event[final], kind, charged[which], p).take(central)


def _process(batch, *, pythia, rng, selection, leading, response, matching, jet_radius) -> Events:
    """The probe jets of one batch; ``event_id`` is the index in the batch."""
    n = len(batch)
    record = truth.flatten(batch)
    particles = visible(record, pythia.particleData)
    if response:
        particles = respond(particles, response, rng)
    jets = reconstruction.cluster(particles, n, jet_radius)
    rows = np.flatnonzero(reconstruction.probe_jets(jets, selection, leading))
    facts = {"hard_pt": np.sqrt(ak.to_numpy(batch.info.pT2Hat))[jets.event[rows]]}
    if matching:
        pt, dr_max = truth.match(record, matching["particle"], jets.event[rows], jets.p[rows])
        matched = dr_max < matching["radius"]
        rows, facts = rows[matched], {"hard_pt": facts["hard_pt"][matched]}
        facts |= {"matched_pt": pt[matched], "matched_dr_max": dr_max[matched]}
    event = jets.event[rows]
    if pythia.settings.flag("HiddenValley:fragment"):
        number, fraction = truth.dark_mesons(record, n)
        facts |= {"n_dark_mesons": number[event], "invisible_fraction": fraction[event]}
    columns = {
        "event_id": event.astype(np.int64),
        "weight": ak.to_numpy(batch.info.weights[:, 0])[event],
        "jet": jets.p[rows],
        "constituents": reconstruction.constituents(particles, jets, rows),
    }
    kept = np.isin(particles.event, event)  # isolation and padding only where needed
    objects = reconstruction.event_objects(particles.take(kept), jets, n)
    columns |= {name: array[event] for name, array in objects.items()}
    facts = {name: np.asarray(values, np.float32) for name, values in facts.items()}
    return complete(columns, split=None, split_rows=np.zeros(len(rows)), truth=facts)


def _facts(pythia, card, seed: int) -> dict:
    info = pythia.infoPython()
    return {
        "cross_section_pb": info.sigmaGen() * 1e9,
        "cross_section_error_pb": info.sigmaErr() * 1e9,
        "sqrt_s_tev": info.eCM() / 1000,
        "generator": f"Pythia {version('pythia8mc')}",
        "name": Path(card).stem,
        "card": Path(card).read_text(),
        "seed": int(seed),
        "seeds": [int(seed)],
        "mpi": bool(pythia.settings.flag("PartonLevel:MPI")),
    }


def _checked_matching(matching) -> dict | None:
    if not matching:
        return None
    if not isinstance(matching, dict) or set(matching) != {"particle", "radius"} or not matching["radius"] > 0:
        raise InputError(f"matching: {matching!r} is not of the form {{particle: 6, radius: 0.8}}.")
    return {"particle": int(matching["particle"]), "radius": float(matching["radius"])}


def _too_few(card, jets, sums, selection, matching) -> InputError:
    matched = f" and the matching {matching}" if matching else ""
    advice = (
        "Check that the card makes jets of this pt (PhaseSpace:pTHatMin about 100 GeV below the window), or widen the "
        "window."
    )
    if not sums["n_tried"]:
        advice = "Pythia generates no events: set 'Print:quiet = off' in the card to see why."
    return InputError(
        f"{card}: {sums['n_jets']} of {jets} jets after {sums['n_tried']} events pass the window {selection}{matched}. "
        f"{advice}"
    )
