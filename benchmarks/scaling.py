"""What every stage of the workflow costs per event, and what that makes of 10⁷ to 10⁹ events on 1 to 1,000 cores.

python benchmarks/scaling.py [--scale smoke|laptop] [--files FOLDER]

``scaling.csv``, one row per stage and number of events, with the jobs that the workflow would cut it into:

    seconds     CPU seconds of all jobs of the stage, the start of their processes included
    peak_mb     highest resident memory of a job
    bytes_out   size of what the jobs write

Every job is a process of one thread that calls what the workflow's script calls. Jets are toys of 20 to 80
constituents, all in the test part, so that every stage sees every event; ``generate`` is Pythia with the default's QCD
card and detector response. The fit is seconds = start · jobs + slope · events, least squares of the relative residuals;
``docs/scaling.md`` is written from it: time = the sum over stages of what its cores do, a scattered stage on as many as
it has jobs.

Each run leaves a record, and only missing ones are made (see records.py).
"""

import argparse
import importlib.util
import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import told_plainly
from hepad.io import atomic_path, read_json, write_json
from hepad.parts import shares

HERE = Path(__file__).parent
COLUMNS = ("stage", "events", "jobs", "seconds", "peak_mb", "bytes_out")
SCALES = {
    "smoke": {"events": (200, 400), "generated": (20, 40), "chunk": 200, "generation": 20},
    "laptop": {"events": (10**4, 10**5, 10**6), "generated": (10**4,), "chunk": 10**5, "generation": 4000},
}
EVENTS, CORES = (10**7, 10**8, 10**9), (1, 10, 100, 1000)
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
    from hepad.samples import write_root
    from hepad.simulation import pythia

    out = folder / f"generated/{number}.root"
    jets = pythia.generate(QCD, events, seed=1000 + number, selection=WINDOW, leading=2, first_event_id=number * 10**10)
    write_root(jets, out)
    return [out]


def write_toys(folder: Path, number: int, events: int) -> list[Path]:
    """A ROOT file that ``read`` reads."""
    from throughput import toy_jets

    from hepad.samples import write_root

    write_root(toy_jets(events, seed=number), folder / f"toys/{number}.root")
    return []


def read(folder: Path, number: int, events: int) -> list[Path]:
    """One ROOT file to events."""
    from hepad.events import write_chunks
    from hepad.samples import stream_of

    out, source = folder / f"events/{number}.h5", {"files": str(folder / f"toys/{number}.root")}
    write_chunks(out, stream_of(source, name="toys", selection="any", split=(0.0, 0.0, 1.0), part=True))
    return [out]


def gather_events(folder: Path, number: int, events: int) -> list[Path]:
    """The index of the parts, without what two of them have."""
    from hepad.samples.gathering import gather

    gather(parts(folder / "events"), folder / "events.h5", "any")
    return [folder / "events.h5"]


def represent(folder: Path, number: int, kind: str) -> list[Path]:
    from hepad import features
    from hepad.events import Events
    from hepad.representations import EventVector, JetImage

    representation = JetImage(sigma=2) if kind == "images" else EventVector(VARIABLES)
    outputs = {folder / f"{kind}/{number}.{part}.h5": splits for part, splits in (("train", (0, 1)), ("test", (2,)))}
    names = {path: tuple(("train", "valid", "test")[i] for i in splits) for path, splits in outputs.items()}
    features.represent(representation, Events.chunks(folder / "events.h5", part=number), names)
    return list(names)


def represent_images(folder: Path, number: int, events: int) -> list[Path]:
    """One part of the events to jet images."""
    return represent(folder, number, "images")


def represent_vectors(folder: Path, number: int, events: int) -> list[Path]:
    """One part of the events to the default's vector, which clusters the constituents of every jet."""
    return represent(folder, number, "vectors")


def gather_features(folder: Path, number: int, events: int) -> list[Path]:
    """The index of the features."""
    from hepad.parts import gather

    gather(parts(folder / "images", ".test"), folder / "images.test.h5")
    return [folder / "images.test.h5"]


def train(folder: Path, number: int, events: int) -> list[Path]:
    """The detector whose scores are timed."""
    import torch

    from hepad import detectors
    from hepad.features import Features
    from hepad.progress import Progress

    some = Features.read(folder / "images.test.h5", slice(2000))
    spec = {"type": "AE", "arguments": {"autoencoder": {"hidden": [128, 64], "latent": 16}, "training": {"steps": 200}}}
    detector = detectors.build(spec, some.space, seed=1)
    detector.fit(some.x, some.x, generator=torch.Generator().manual_seed(1), progress=Progress("train"))
    detectors.save(detector, folder / "ae.safetensors", spec)
    return [folder / "ae.safetensors"]


def score(folder: Path, number: int, events: int) -> list[Path]:
    """Scores of one part under the default's autoencoder of images."""
    import torch

    from hepad import detectors
    from hepad.features import Features, write_scores
    from hepad.features import score as scored

    torch.set_num_threads(1)
    path, out = folder / f"images/{number}.test.h5", folder / f"scores/{number}.h5"
    loaded = {"ae/1": ("images", detectors.load(folder / "ae.safetensors"))}
    write_scores(out, scored(loaded, {"images": Features.chunks(path)}))
    return [out]


def gather_scores(folder: Path, number: int, events: int) -> list[Path]:
    """The index of the scores."""
    from hepad.parts import gather

    gather(parts(folder / "scores"), folder / "scores.h5")
    return [folder / "scores.h5"]


def evaluate(folder: Path, number: int, events: int) -> list[Path]:
    """All efficiencies of one detector, with as many signal as background events."""
    from hepad import evaluation
    from hepad.features import read_scores

    scores, about = read_scores(folder / "scores.h5")
    values, weights = scores["ae/1"], about["weight"]
    found = evaluation.evaluate(values, values + 0.1, background_weights=weights, signal_weights=weights)
    write_json(folder / "evaluation.json", evaluation.to_json(found))
    return [folder / "evaluation.json"]


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
    "generate": Stage(generate, True, "generation", "generated"),
}


def parts(folder: Path, kind: str = "") -> list[Path]:
    return sorted(folder.glob(f"*{kind}.h5"), key=lambda path: int(path.name.partition(".")[0]))


def sizes(events: int, chunk: int) -> list[int]:
    """Events of the jobs of a scattered stage."""
    return shares(events, math.ceil(events / chunk))


def measure(name: str, folder: Path, events: int, chunk: int) -> dict:
    """All jobs of a stage, one after the other, each a process of its own."""
    seconds, peak, written = 0.0, 0, 0
    of_jobs = sizes(events, chunk) if (PREPARING | STAGES)[name].scattered else [events]
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
    return {
        "stage": name, "events": events, "jobs": len(of_jobs), "seconds": round(seconds, 2),
        "peak_mb": round(peak / 1e6), "bytes_out": written,
    }  # fmt: skip


def one_job(name: str, folder: str, number: str, events: str) -> None:
    """A job, and what it took, as JSON on the last line."""
    outputs = (PREPARING | STAGES)[name].job(Path(folder), int(number), int(events))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"peak": peak, "bytes": sum(path.stat().st_size for path in outputs)}))


def fitted(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Stage -> start [s per job], slope [s per event], bytes per event, peak_mb."""
    found = {}
    for name in dict.fromkeys(row["stage"] for row in rows):
        of = [row for row in rows if row["stage"] == name]
        seconds = np.array([row["seconds"] for row in of])
        terms = np.array([[row["jobs"], row["events"]] for row in of]) / seconds[:, None]
        start, slope = np.linalg.lstsq(terms, np.ones(len(of)), rcond=None)[0]
        if start < 0 or slope < 0:  # one of them is too small to be seen
            terms[:, int(start < 0) ^ 1] = 0
            start, slope = np.linalg.lstsq(terms, np.ones(len(of)), rcond=None)[0]
        last = of[-1]
        per_event = last["bytes_out"] / last["events"]
        found[name] = {"start": start, "slope": slope, "bytes": per_event, "peak_mb": max(r["peak_mb"] for r in of)}
    return found


def predicted(fit: dict, events: int, cores: int, scale: dict) -> dict[str, float]:
    """Hours of each stage on so many cores."""
    hours = {}
    for name, cost in fit.items():
        stage = STAGES[name]
        jobs = len(sizes(events, scale[stage.size])) if stage.scattered else 1
        jobs = min(jobs, 1000) if name == "generate" else jobs  # a sample has at most 1000 seeds
        turns = math.ceil(jobs / cores)
        hours[name] = turns * (cost["start"] + cost["slope"] * events / jobs) / 3600
    return hours


def document(rows: list[dict], scale: dict) -> str:
    """The tables of docs/scaling.md."""
    fit = fitted(rows)
    lines = ["| stage | s per job | µs per event | bytes per event | peak MB |", "|---|---|---|---|---|"]
    for name, cost in fit.items():
        lines.append(
            f"| {name} | {cost['start']:.1f} | {1e6 * cost['slope']:.3g} | {cost['bytes']:.3g} | {cost['peak_mb']} |"
        )
    lines += ["", "| events | disk | " + " | ".join(f"{c:,} cores" for c in CORES) + " | of it simulation |"]
    lines.append("|---" * (len(CORES) + 3) + "|")
    for events in EVENTS:
        hours = {cores: predicted(fit, events, cores, scale) for cores in CORES}
        disk = sum(cost["bytes"] for cost in fit.values()) * events / 1e9
        share = hours[1].get("generate", 0) / sum(hours[1].values())
        times = " | ".join(f"{sum(of.values()):,.3g} h" for of in hours.values())
        lines.append(f"| 10{exponent(events)} | {disk:,.3g} GB | {times} | {share:.0%} |")
    return "\n".join(lines)


def exponent(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(round(math.log10(number))))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="how large; the sizes stand in the script")
    parser.add_argument("--files", type=Path, required=True, help="folder for the files, some 15 GB; kept for resuming")
    parser.add_argument("--tables", type=Path, default=HERE / "tables", help="folder of the table")
    parser.add_argument("--document", type=Path, default=HERE.parent / "docs/scaling.md", help="its tables are renewed")
    options = parser.parse_args(argv)
    scale = SCALES[options.scale]
    stages = [n for n in STAGES if n != "generate" or importlib.util.find_spec("pythia8mc")]
    rows = []
    for name in stages:
        for events in scale[STAGES[name].events]:
            folder = options.files.resolve() / f"{options.scale}_{events}"
            record, chunk = folder / f"{name.replace(' ', '_')}.json", scale[STAGES[name].size]
            if not record.is_file():
                if name == "read":
                    measure("toys", folder, events, chunk)
                if name == "score":
                    measure("train", folder, events, chunk)
                write_json(record, measure(name, folder, events, chunk))
            rows.append(read_json(record))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    text = "\n".join([",".join(COLUMNS), *(",".join(str(row[key]) for key in COLUMNS) for row in rows)]) + "\n"
    with atomic_path(options.tables / "scaling.csv") as partial:
        partial.write_text(text)
    renew(options.document, document(rows, scale))


def renew(path: Path, tables: str) -> None:
    """Put the tables between the two marks of a document."""
    begin, end = "<!-- tables of benchmarks/scaling.py -->\n", "\n<!-- end of the tables -->"
    before, _, rest = path.read_text().partition(begin)
    _, _, after = rest.partition(end)
    with atomic_path(path) as partial:
        partial.write_text(f"{before}{begin}{tables}{end}{after}")


if __name__ == "__main__":
    with told_plainly():
        if sys.argv[1:2] == ["--job"]:
            one_job(*sys.argv[2:])
        else:
            main()
