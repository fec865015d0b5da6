"""What the benchmarks share: runs that can be stopped and resumed, and tables with every seed beside published figures.

A run is a flat dict of keys, {"detector": "ae", "digit": 9, "seed": 0}, and has settings, everything that shapes its
result. It leaves one JSON record with both and the result. A record made with the same settings is not made again.
Several processes may work on one list of runs: each takes what no other holds.
"""

import argparse
import csv
import fcntl
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from hepad.detectors.training.checkpoint import Checkpoint, Stopped
from hepad.detectors.training.device import resolve
from hepad.errors import InputError, check_choice
from hepad.storage.files import atomic_path, provenance, read_json, write_json

HERE = Path(__file__).parent
SCALES = ("smoke", "laptop", "paper")
Jobs = list[tuple[dict, dict]]  # runs with their settings


def arguments(
    about: str, argv: list[str] | None = None, paths: dict[str, str] | None = None, scales: tuple[str, ...] = SCALES
) -> argparse.Namespace:
    """The command line of every benchmark: scale, only, runs, tables, threads and device; of this one the ``scales``,
    and the ``paths`` with their help. Sets torch's threads."""
    parser = argparse.ArgumentParser(description=about)
    parser.set_defaults(scales=scales)
    parser.add_argument("--scale", choices=scales, default="laptop", help="how large; the sizes stand in the script")
    parser.add_argument("--only", default="", help="which runs, e.g. detector=ae,detector=nae_omi,digit=9")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="folder of the records")
    parser.add_argument("--tables", type=Path, default=HERE / "tables", help="folder of the tables")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps or auto")
    for name, meaning in (paths or {}).items():
        parser.add_argument(f"--{name}", type=Path, help=meaning)
    parsed = parser.parse_args(argv)
    parsed.device = resolve(parsed.device)
    torch.set_num_threads(parsed.threads)
    return parsed


def data_file(*parts: str) -> Path:
    """A path below $HEPAD_DATA; InputError if the variable is not set or nothing is there."""
    root = os.environ.get("HEPAD_DATA")
    if not root:
        raise InputError("HEPAD_DATA is not set. Let it name the folder with mnist.npz and adbench/.")
    path = Path(root, *parts)
    if not path.exists():
        raise InputError(f"{path}: not there. HEPAD_DATA must name the folder that holds {'/'.join(parts)}.")
    return path


def carry_out(
    name: str, args: argparse.Namespace, jobs_at: Callable[[str], Jobs], work_on: Callable[[dict, dict], dict]
) -> list[dict]:
    """Make the records that the command line asks for and return all that are there, each with its ``scale``.

    Those of the smoke scale stay among themselves; the other scales come in one list.

    Parameters
    ----------
    name: of the benchmark; records go to the folder name-scale
    jobs_at: scale -> all runs with their settings
    work_on: run, settings -> result, a dict. An InputError (a training that diverged or collapsed, say) is itself a
        result and stored as ``error``.
    """
    jobs = jobs_at(args.scale)
    make(args.runs / f"{name}-{args.scale}", chosen(jobs, args.only), work_on)
    scales = ["smoke"] if args.scale == "smoke" else [scale for scale in args.scales if scale != "smoke"]
    return [
        {**record, "scale": scale}
        for scale in scales
        for record in finished(args.runs / f"{name}-{scale}", jobs_at(scale))
    ]


def table_path(name: str, args: argparse.Namespace) -> Path:
    """Where the table goes; the smoke scale's stays with its records."""
    return (args.runs if args.scale == "smoke" else args.tables) / f"{name}.csv"


def chosen(jobs: Jobs, only: str) -> Jobs:
    """The runs that ``only`` selects: 'key=value,key=value'; several values of one key are alternatives."""
    wanted: dict[str, set[str]] = {}
    for item in filter(None, only.split(",")):
        key, _, value = item.partition("=")
        check_choice("--only: key", key, jobs[0][0])
        wanted.setdefault(key, set()).add(check_choice(f"--only: {key}", value, {str(run[key]) for run, _ in jobs}))
    return [(run, how) for run, how in jobs if all(str(run[key]) in values for key, values in wanted.items())]


def make(folder: Path, jobs: Jobs, work_on: Callable[[dict, dict], dict]) -> None:
    """Make the records of ``jobs`` that are missing in ``folder`` or were made with other settings."""
    for i, (run, settings) in enumerate(jobs, start=1):
        title = f"[{i}/{len(jobs)}] {folder.name}: " + ", ".join(f"{key} {value}" for key, value in run.items())
        path = _path(folder, run)
        if _valid(path, run, settings):
            continue
        with claimed(path) as mine:
            if not mine or _valid(path, run, settings):
                continue  # another process has it, or had it meanwhile
            print(f"{title} ...", flush=True)
            start, error = time.perf_counter(), None
            try:
                result = work_on(run, settings)
            except Stopped:
                raise  # it goes on from its checkpoint
            except InputError as problem:
                result, error = {}, str(problem)
            seconds = time.perf_counter() - start
            record = {"run": run, "settings": settings, "result": result, "error": error, "seconds": seconds}
            write_json(path, {**record, "threads": torch.get_num_threads(), "provenance": provenance()})
            checkpoint_of(folder, run, settings).delete()
            said = error or ", ".join(f"{k} {v:.4g}" for k, v in result.items() if isinstance(v, (int, float)))
            print(f"{title}: {said} ({seconds:.0f} s)", flush=True)


def checkpoint_of(folder: Path, run: dict, settings: dict) -> Checkpoint:
    """For trainings of hours: where one is kept until its record is written."""
    return Checkpoint(_path(folder, run).with_suffix(".checkpoint"), {"run": run, "settings": settings})


def finished(folder: Path, jobs: Jobs) -> list[dict]:
    """The records of ``jobs`` that are there and were made with these settings, in their order."""
    paths = [(_path(folder, run), run, settings) for run, settings in jobs]
    return [read_json(path) for path, run, settings in paths if _valid(path, run, settings)]


def with_kept(path: Path, rows: list[dict], *, over: str, measures: list[str]) -> list[dict]:
    """``rows`` and those of the table at ``path`` of other runs, whose records are on another machine, say.

    over: the column that counts the seeds; measures: the columns with figures, rounded as they stand there
    """
    if not path.exists():
        return rows

    def value(key: str, text: str) -> float | int | str | None:
        if key in measures:
            return float(text) if text else None
        return int(text) if text.isdigit() else text

    with open(path, newline="") as file:
        before = [row for row in csv.DictReader(file) if row[over].isdigit()]  # not means and published figures
    keys = [key for key in (before[0] if before else ()) if key not in measures]
    here = {tuple(str(row.get(key)) for key in keys) for row in rows}
    missing = [row for row in before if tuple(row[key] for key in keys) not in here]
    return rows + [{key: value(key, text) for key, text in row.items()} for row in missing]


def write_table(
    path: Path,
    columns: list[str],
    rows: Iterable[dict],
    *,
    over: str,
    measures: list[str],
    published: Iterable[dict] = (),
    last: Iterable[dict] = (),
) -> None:
    """CSV with one row per seed, then `mean` and `std` (n - 1) of each group, then what was `published`.

    Parameters
    ----------
    columns: of the table; what a row lacks stays empty
    rows: one per seed, values of ``columns``; a measure that is missing or None is left out of mean and std
    over: the column that counts the seeds; rows that agree in all columns but this and the measures are one group
    published: rows of the papers; ``over`` becomes 'published'. Each follows the group that it agrees with in all
        columns but these and ``scale``, which says where it is from; without such a group it is left out
    last: rows for the end of the table
    """
    groups: dict[tuple, list[dict]] = {}
    fixed = [column for column in columns if column != over and column not in measures]
    for row in rows:
        groups.setdefault(tuple(row.get(column) for column in fixed), []).append(row)
    lines = []
    for group, members in groups.items():
        head = dict(zip(fixed, group, strict=True))
        values = {m: [row[m] for row in members if row.get(m) is not None] for m in measures}
        lines += members
        lines.append({**head, over: "mean", **{m: statistics.fmean(v) for m, v in values.items() if v}})
        lines.append({**head, over: "std", **{m: statistics.stdev(v) for m, v in values.items() if len(v) > 1}})
        keys = [column for column in fixed if column != "scale"]
        lines += [{**row, over: "published"} for row in published if all(row.get(k) == head[k] for k in keys)]
    with atomic_path(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(line.get(column)) for column in columns] for line in [*lines, *last])


def alternate(
    repeats: int, runs: dict[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each by ``clock``, taken in turns; the first round is not counted."""
    seconds = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def _text(value) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _path(folder: Path, run: dict) -> Path:
    return folder / ("-".join(f"{key}_{value}" for key, value in run.items()) + ".json")


def _valid(path: Path, run: dict, settings: dict) -> bool:
    """Whether a record is there that was made with these settings."""
    if not path.exists():
        return False
    record = read_json(path)
    return [record["run"], record["settings"]] == json.loads(json.dumps([run, settings]))


@contextmanager
def claimed(path: Path, wait: bool = False) -> Iterator[bool]:
    """Whether this process alone works on ``path``, if need be after a ``wait``; a killed process loses its claim."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
