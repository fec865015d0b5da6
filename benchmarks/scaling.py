"""What every stage of the workflow costs per event, and what that makes of 10⁷ to 10⁹ events on 1 to 1,000 cores.

python benchmarks/scaling.py --files FOLDER [--scale smoke|laptop]

``scaling.csv``, one row per stage and number of events, with the jobs that the workflow would cut it into:

    seconds     CPU seconds of all jobs of the stage, the start of their processes included
    peak_mb     highest resident memory of a job
    bytes_out   size of what the jobs write

Every job is a process of one thread that calls what the workflow's script calls. Jets are toys of 20 to 80
constituents, all in the test part, so that every stage sees every event; ``generate`` is Pythia with the default's QCD
card and detector response. ``docs/scaling.md`` is written from the table (see scaling_document.py).

Each run leaves a record, and only missing ones are made (see records.py).
"""

import importlib.util
import json
import math
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hepad.errors import InputError, report_errors
from hepad.storage.chunks import shares
from hepad.storage.files import write_json

HERE = Path(__file__).parent
COLUMNS = ("stage", "events", "jobs", "seconds", "peak_mb", "bytes_out")
SCALES = {
    "smoke": {"events": (200, 400), "generated": (20, 40), "chunk": 200, "generation": 20},
    "laptop": {"events": (10**4, 10**5, 10**6), "generated": (10**4, 10**5), "chunk": 10**5, "generation": 4000},
}
VARIABLES = ("mass", "multiplicity", "pt_dispersion", "girth", "tau21", "tau32", "met", "n_jets")
QCD = HERE.parent / "config/cards/qcd.cmnd"
WINDOW = {"pt": [550, 650], "abs_eta": 2.0}


class Stage(NamedTuple):
    """``job(folder, number of the job, its events)`` and whether it is scattered over jobs of ``chunk`` events."""

    job: Callable[[Path, int, int], list[Path]]
    scattered: bool
    size: str = "chunk"
    events: str = "events"


def generate(folder: Path, number: int, events: int) -> list[Path]:
    """One seeded chunk of QCD jets."""
    from hepad.samples.root_output import write_root
    from hepad.samples.simulation import pythia
    from hepad.samples.simulation.settings import Generation

    out = folder / f"generated/{number}.root"
    settings = Generation(QCD, WINDOW, leading=2)
    jets = pythia.generate(settings, events, 1000 + number, first_event_id=number * 10**10)
    write_root(jets, out)
    return [out]


def write_toys(folder: Path, number: int, events: int) -> list[Path]:
    """A ROOT file that ``read`` reads."""
    from throughput import toy_jets

    from hepad.samples.root_output import write_root

    write_root(toy_jets(events, seed=number), folder / f"toys/{number}.root")
    return []


def read(folder: Path, number: int, events: int) -> list[Path]:
    """One ROOT file to events."""
    from hepad.events import write_blocks
    from hepad.samples.sources import stream_of

    out, source = folder / f"events/{number}.h5", {"files": str(folder / f"toys/{number}.root")}
    write_blocks(out, stream_of(source, name="toys", selection="any", split=(0.0, 0.0, 1.0), part=True))
    return [out]


def gather_events(folder: Path, number: int, events: int) -> list[Path]:
    """The index of the parts, without what two of them have."""
    from hepad.samples.gather import gather

    gather(parts(folder / "events"), folder / "events.h5", "any")
    return [folder / "events.h5"]


def represent(folder: Path, number: int, kind: str) -> list[Path]:
    from hepad.events import Events
    from hepad.representations import EventVector, JetImage, features

    representation = JetImage(sigma=2) if kind == "images" else EventVector(VARIABLES)
    outputs = {folder / f"{kind}/{number}.{part}.h5": splits for part, splits in (("train", (0, 1)), ("test", (2,)))}
    names = {path: tuple(("train", "valid", "test")[i] for i in splits) for path, splits in outputs.items()}
    features.represent(representation, Events.blocks(folder / "events.h5", chunk=number), names)
    return list(names)


def represent_images(folder: Path, number: int, events: int) -> list[Path]:
    """One part of the events to jet images."""
    return represent(folder, number, "images")


def represent_vectors(folder: Path, number: int, events: int) -> list[Path]:
    """One part of the events to the default's vector, which clusters the constituents of every jet."""
    return represent(folder, number, "vectors")


def gather_features(folder: Path, number: int, events: int) -> list[Path]:
    """The index of the features."""
    from hepad.storage.table import write_index

    write_index(parts(folder / "images", ".test"), folder / "images.test.h5")
    return [folder / "images.test.h5"]


def train(folder: Path, number: int, events: int) -> list[Path]:
    """The detector whose scores are timed."""
    import torch

    from hepad import detectors
    from hepad.progress import Progress
    from hepad.representations.features import Features

    some = Features.read(folder / "images.test.h5", slice(2000))
    spec = {
        "type": "AE",
        "arguments": {"autoencoder": {"hidden_dims": [128, 64], "latent_dim": 16}, "training": {"steps": 200}},
    }
    detector = detectors.build(spec, some.space, seed=1)
    detector.fit(some.x, some.x, generator=torch.Generator().manual_seed(1), progress=Progress("train"))
    detectors.save(detector, folder / "ae.safetensors", spec)
    return [folder / "ae.safetensors"]


def score(folder: Path, number: int, events: int) -> list[Path]:
    """Scores of one part under the default's autoencoder of images."""
    import torch

    from hepad import detectors
    from hepad.evaluation.scores import score as scored
    from hepad.evaluation.scores import write_scores
    from hepad.representations.features import Features

    torch.set_num_threads(1)
    path, out = folder / f"images/{number}.test.h5", folder / f"scores/{number}.h5"
    loaded = {"ae/1": ("images", detectors.load(folder / "ae.safetensors"))}
    write_scores(out, scored(loaded, {"images": Features.blocks(path)}))
    return [out]


def gather_scores(folder: Path, number: int, events: int) -> list[Path]:
    """The index of the scores."""
    from hepad.storage.table import write_index

    write_index(parts(folder / "scores"), folder / "scores.h5")
    return [folder / "scores.h5"]


def evaluate(folder: Path, number: int, events: int) -> list[Path]:
    """All efficiencies of one detector, with as many signal as background events."""
    from hepad.evaluation import roc
    from hepad.evaluation.scores import read_scores
    from hepad.evaluation.streaming import rows_and_events

    scores, _ = read_scores(folder / "scores.h5")
    background = rows_and_events("background", scores.weighted("ae/1"))[0]
    signal = rows_and_events("signal", (of._replace(scores=of.scores + 0.1) for of in scores.weighted("ae/1")))[0]
    write_json(folder / "roc.json", roc.to_json(roc.evaluate(background, signal)))
    return [folder / "roc.json"]


def rates(folder: Path, number: int, events: int) -> list[Path]:
    """Thresholds, rates and gains of one detector, the sample being its own signal."""
    from hepad.evaluation.scored_sample import ScoredSample
    from hepad.trigger import rate_tables

    sample = ScoredSample("toys", folder / "scores.h5", folder / "events.h5")
    found = rate_tables.rates({"toys": sample, "again": sample}, None, (1e-1, 1e-2, 1e-3))
    write_json(folder / "rates.json", found)
    return [folder / "rates.json"]


def figures(folder: Path, number: int, events: int) -> list[Path]:
    """Histogram of the scores, and efficiency against jet variables, of one detector and two samples."""
    from hepad.evaluation import diagnostics
    from hepad.evaluation.scored_sample import ScoredSample
    from hepad.evaluation.streaming import threshold_of
    from hepad.figures import style
    from hepad.figures.binned_efficiency import efficiency_against_variable
    from hepad.figures.scores import score_histograms

    sample = ScoredSample("toys", folder / "scores.h5", folder / "events.h5")
    cut = threshold_of(sample.scores.weighted("ae/1"), 1e-2)
    seen = {name: diagnostics.scored_variables(sample.beginning()) for name in ("toys", "again")}
    scores = {name: of.scores["ae/1"] for name, of in seen.items()}
    with style.style({}):
        background = scores.pop("toys")
        style.save(score_histograms(background, scores, {}, background_name="toys"), folder / "scores")
        binned = diagnostics.turn_ons({n: (of.scores["ae/1"], of.variables) for n, of in seen.items()}, cut)
        style.save(efficiency_against_variable(binned, {}, background_name="toys"), folder / "turn_ons")
    return [folder / f"{name}.pdf" for name in ("scores", "turn_ons")]


# jobs of their own, whose memory is not that of the jobs that come after them
PREPARING = {"toys": Stage(write_toys, True), "train": Stage(train, False)}
STAGES = {
    "read": Stage(read, True),
    "gather events": Stage(gather_events, False),
    "represent images": Stage(represent_images, True),
    "represent vectors": Stage(represent_vectors, True),
    "gather features": Stage(gather_features, False),
    "score": Stage(score, True),
    "gather scores": Stage(gather_scores, False),
    "evaluate": Stage(evaluate, False),
    "rates": Stage(rates, False),
    "figures": Stage(figures, False),
    "generate": Stage(generate, True, "generation", "generated"),
}


def parts(folder: Path, kind: str = "") -> list[Path]:
    return sorted(folder.glob(f"*{kind}.h5"), key=lambda path: int(path.name.partition(".")[0]))


def measure(name: str, folder: Path, events: int, chunk: int) -> dict:
    """All jobs of a stage, one after the other, each a process of its own."""
    seconds, peak, written = 0.0, 0, 0
    of_jobs = shares(events, math.ceil(events / chunk)) if (PREPARING | STAGES)[name].scattered else [events]
    for number, of_job in enumerate(of_jobs):
        command = [sys.executable, str(HERE / "scaling.py"), "--job", name, str(folder), str(number), str(of_job)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = json.loads(done.stdout.splitlines()[-1])
        peak, written = max(peak, found["peak"]), written + found["bytes"]
    return {"jobs": len(of_jobs), "seconds": round(seconds, 2), "peak_mb": round(peak / 1e6), "bytes_out": written}


def one_job(name: str, folder: str, number: str, events: str) -> None:
    """A job, and what it took, as JSON on the last line."""
    outputs = (PREPARING | STAGES)[name].job(Path(folder), int(number), int(events))
    if sys.platform == "darwin":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    else:  # getrusage counts what the parent held when it started this process
        peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    print(json.dumps({"peak": peak, "bytes": sum(path.stat().st_size for path in outputs)}))


def jobs_of(name: str, events: int, scale: str) -> int:
    """How many jobs the workflow makes of a stage."""
    jobs = math.ceil(events / SCALES[scale][STAGES[name].size]) if STAGES[name].scattered else 1
    return min(jobs, 1000) if name == "generate" else jobs  # a sample has at most 1000 seeds


def jobs_at(scale: str) -> list[tuple[dict, dict]]:
    """The stages with each number of events, in the order in which one needs the files of another."""
    size = SCALES[scale]
    names = [name for name in STAGES if name != "generate" or importlib.util.find_spec("pythia8mc")]
    return [
        ({"stage": name, "events": events}, {"chunk": size[STAGES[name].size]})
        for name in names
        for events in size[STAGES[name].events]
    ]


def prepared(files: Path, run: dict, settings: dict) -> dict:
    """What a stage takes; the files that it needs and no stage before it writes are made first."""
    name, events, chunk = run["stage"], run["events"], settings["chunk"]
    folder = files.resolve() / f"{events}_by_{chunk}"
    for before, stage in {"toys": "read", "train": "score"}.items():
        if name == stage:
            measure(before, folder, events, chunk)
    return measure(name, folder, events, chunk)


def main(argv: list[str] | None = None) -> None:
    # not for the jobs, which would take the time and the memory of torch
    from records import arguments, carry_out, table_path
    from scaling_document import document, renew

    from hepad.storage.files import write_rows

    paths = {
        "files": "folder for the files, some 15 GB; kept for resuming",
        "document": "whose tables are renewed; default: docs/scaling.md, at the smoke scale none",
    }
    args = arguments(__doc__.partition("\n")[0], argv, paths, scales=tuple(SCALES))
    if args.files is None:
        raise InputError("--files: name a folder for the files of the benchmark, some 15 GB.")
    records = carry_out("scaling", args, jobs_at, lambda run, settings: prepared(args.files, run, settings))
    rows = [record["run"] | record["result"] for record in records]
    write_rows(table_path("scaling", args), COLUMNS, rows)
    if args.document or args.scale != "smoke":
        text = document(rows, lambda name, events: jobs_of(name, events, args.scale))
        renew(args.document or HERE.parent / "docs/scaling.md", text)


if __name__ == "__main__":
    with report_errors():
        if sys.argv[1:2] == ["--job"]:
            one_job(*sys.argv[2:])
        else:
            main()
