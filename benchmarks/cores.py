"""How much faster several cores finish what the workflow scatters than one: reading, representing and scoring.

    python benchmarks/cores.py [--rounds 3] [--files FOLDER]

``cores.csv``: wall seconds of Snakemake, its own start and its search for jobs included, on one core and on ``cores``,
in turns, and the ratio; one row per round and part, and the medians. Jets are toys of 20 to 80 constituents, in eight
files of background and two of signal; ``read and represent`` makes events, images and vectors of them, ``score`` the
scores of an autoencoder of images, whose training is not timed; ``together`` is their sum. Jobs have one thread. It
needs an idle machine.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from throughput import toy_jets

from hepad.errors import report_errors
from hepad.samples.root_output import write_root
from hepad.storage.files import write_rows

HERE = Path(__file__).parent
COLUMNS = ("part", "round", "cores", "one_core_s", "cores_s", "ratio")
SAMPLES = {"background": 8, "signal": 2}  # files
PARTS = {
    "read and represent": [
        f"results/features/{kind}/{name}.test.h5" for kind in ("image", "vector") for name in SAMPLES
    ],
    "score": [f"results/scores/jets/{name}.h5" for name in SAMPLES],
}
NAMES = (*PARTS, "together")
MODEL = "results/models/jets/ae/1.safetensors"


def prepare(folder: Path, jets: int) -> None:
    """The files, of so many ``jets`` each, and the configuration."""
    samples = {}
    for name, files in SAMPLES.items():
        for number in range(files):
            write_root(toy_jets(jets, seed=len(samples) * 100 + number), folder / f"{name}_{number}.root")
        samples[name] = {"source": {"files": [str(folder / f"{name}_*.root")]}, "selection": "any"}
    training = {"steps": 200}
    config = {
        "device": "cpu",
        "chunk_events": {"reading": jets},
        "samples": samples,
        "representations": {
            "image": {"type": "JetImage", "sigma": 2},
            "vector": {"type": "EventVector", "variables": ["mass", "multiplicity", "girth", "tau21", "tau32"]},
        },
        "detectors": {"ae": {"type": "AE", "representation": "image", "autoencoder": {}, "training": training}},
        "tasks": {"jets": {"background": "background", "signals": ["signal"], "detectors": ["ae"]}},
        "evaluation": {"supervised": "vector"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def run(config: Path, directory: Path, *arguments) -> float:
    """Seconds that Snakemake takes with ``arguments``, targets among them."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", HERE.parent / "Snakefile", "--directory", directory]
    command += ["--configfile", config, *arguments]
    environment, start = os.environ | {"OMP_NUM_THREADS": "1"}, time.perf_counter()
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return time.perf_counter() - start


def measure(folder: Path, cores: int) -> dict[str, float]:
    """Seconds of each part, from nothing."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    first, second = PARTS.values()
    here = (folder / "config.yaml", folder / "run", "--cores", cores)
    read = run(*here, *first)
    run(*here, MODEL)
    score = run(*here, *second)
    return dict(zip(NAMES, (read, score, read + score), strict=True))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--files", type=Path, help="folder for the files, half a GB; a temporary one if not given")
    parser.add_argument("--jets", type=int, default=5000, help="in each of the ten files")
    parser.add_argument("--tables", type=Path, default=HERE / "tables")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.files) as temporary:
        folder, rows = Path(temporary), []
        prepare(folder, options.jets)
        for number in range(1, options.rounds + 1):
            one, several = measure(folder, 1), measure(folder, options.cores)
            rows += [row(part, number, options.cores, one[part], several[part]) for part in NAMES]
            print(*rows[-len(NAMES) :], sep="\n", flush=True)
    for part in NAMES:
        one, several = (statistics.median(r[key] for r in rows if r["part"] == part) for key in COLUMNS[3:5])
        rows.append(row(part, "median", options.cores, one, several))
    write_rows(options.tables / "cores.csv", COLUMNS, rows)


def row(part: str, number: int | str, cores: int, one: float, several: float) -> dict:
    seconds = {"one_core_s": round(one, 1), "cores_s": round(several, 1), "ratio": round(one / several, 2)}
    return {"part": part, "round": number, "cores": cores, **seconds}


if __name__ == "__main__":
    with report_errors():
        main()
