"""Events per second on one core, of reading and of representing, and the memory that long files take.

python benchmarks/throughput.py [--scale smoke|laptop]

``throughput.csv``, one row per stage:

    events_per_second             hepad: ``stream_of`` with its checks, identifiers, search for repetitions, splits and
                                  counts; or a representation of events in memory
    bare_read_events_per_second   uproot or h5py reads the same branches, or the table, chunk by chunk
    bare_and_conversion_...       and NumPy converts the constituents at once to (N, 200, 4) of pT, η, φ, m: pads them
                                  (ROOT), or computes them from E, px, py, pz in single precision (HDF5)
    cost                          hepad's time over that of bare read and conversion
    loop_events_per_second        the bare read and a loop over jets with NumPy inside that makes constituents; or such
                                  a loop that makes images, or vectors (clustering by fastjet)
    gain                          the loop's time over hepad's

All are medians over runs that take turns, of CPU seconds of the process, those of its threads added up: what one core
does, whatever else the machine is busy with. The files are in the page cache. Jets have 20 to 80 constituents. The ROOT
file is one of ``write_root``; the HDF5 file has the layout of the top-tagging reference set, 200 places per jet.

``memory.csv``: peak resident memory of a process that reads a ROOT file of so many jets, writes their events, and then
represents them, as three variables of their constituents or as images.
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import torch
import uproot
from records import alternate
from single_jets import image_of, vector_of

from hepad.errors import report_errors
from hepad.events import FOUR_VECTOR, Events, write_blocks
from hepad.events.kinematics import sum_four_vectors, to_cartesian
from hepad.representations import EventVector, JetImage
from hepad.representations.features import represent
from hepad.samples.root_output import write_root
from hepad.samples.sources import stream_of
from hepad.storage.files import atomic_path

HERE = Path(__file__).parent
ROWS, PLACES = 10_000, 200
COLUMNS = ["stage", "events_per_second", "bare_read_events_per_second", "bare_and_conversion_events_per_second"]
COLUMNS += ["cost", "loop_events_per_second", "gain"]
# jets that are read and represented; jets that the loops take; repeats; jets of the files whose peak memory is measured
SCALES = {
    "smoke": {"jets": 600, "vectors": 300, "looped": 40, "repeats": 1, "variables": (500,), "images": (500,)},
    "laptop": {
        "jets": 50_000, "vectors": 10_000, "looped": 500, "repeats": 5,
        "variables": (100_000, 1_000_000), "images": (50_000, 200_000),
    },
}  # fmt: skip
REPRESENTATIONS = {
    "variables": EventVector(["jet_pt", "multiplicity", "pt_dispersion"]),
    "images": JetImage(sigma=2),
}


def toy_jets(n: int, seed: int) -> Events:
    """n jets of 550 to 650 GeV with 20 to 80 constituents each."""
    rng = np.random.default_rng(seed)
    there = np.arange(80) < rng.integers(20, 81, n)[:, None]
    pt = -np.sort(-(rng.exponential(1, (n, 80)) ** 2) * there, axis=1)
    pt *= (rng.uniform(560, 640, n) / pt.sum(axis=1))[:, None]
    axis = np.stack([rng.uniform(-1.8, 1.8, n), rng.uniform(-2, 2, n)], axis=-1)
    direction = axis[:, None] + rng.normal(0, 0.15, (n, 80, 2))
    p = np.concatenate([pt[..., None], direction, np.full((n, 80, 1), 0.1396)], axis=-1) * (pt > 0)[..., None]
    jet, none = sum_four_vectors(p).astype(np.float32), np.zeros((n, 0, 4), np.float32)
    return Events(
        event_id=seed * 10_000_000 + np.arange(n), split=np.zeros(n, np.int8), weight=np.ones(n), jet=jet,
        constituents=p.astype(np.float32), jets=jet[:, None], electrons=none, muons=none, photons=none,
        met=np.zeros((n, 2), np.float32), meta={"name": "toys", "jet_radius": 0.8},
    )  # fmt: skip


def write_top_tagging(path: Path, events: Events) -> None:
    """The layout of pandas' ``to_hdf(format='table')``, with the names of the columns as it pickles them."""
    momenta = np.zeros((len(events), PLACES, 4), np.float32)
    p = to_cartesian(events.constituents) * (events.constituents[..., :1] > 0)
    momenta[:, : p.shape[1]] = p[..., [3, 0, 1, 2]]
    names = [[f"{x}_{i}" for i in range(PLACES) for x in ("E", "PX", "PY", "PZ")], ["ttv", "is_signal_new"]]
    kind = [("index", np.int64), ("values_block_0", np.float32, 4 * PLACES), ("values_block_1", np.int64, 2)]
    rows = np.zeros(len(events), kind)
    rows["values_block_0"], rows["values_block_1"][:, 0] = momenta.reshape(len(events), -1), np.arange(len(events)) % 3
    with h5py.File(path, "w") as file:
        group = file.create_group("table")
        group.attrs["pandas_type"] = b"frame_table"
        table = group.create_dataset("table", data=rows, chunks=(100,), compression="gzip", shuffle=True)
        for i, columns in enumerate(names):
            pickled = "(lp0\n" + "".join(f"V{name}\np{k}\na" for k, name in enumerate(columns, start=1)) + "."
            table.attrs.create(f"values_block_{i}_kind", np.void(pickled.encode()))


def write_long(path: Path, n: int, rows: int) -> None:
    """A ROOT file of n jets, with baskets of ``rows``, in which the same jets come back turned, with other numbers."""
    events = toy_jets(min(n, rows), 1)
    count = (events.constituents[..., 0] > 0).sum(axis=1)
    rng = np.random.default_rng(2)
    with atomic_path(path) as partial, uproot.recreate(partial, compression=uproot.ZLIB(1)) as file:
        for start in range(0, n, rows):
            size = min(rows, n - start)
            p, turn = events.constituents[:size].copy(), rng.uniform(-1, 1)
            p[..., 2] += np.float32(turn) * (p[..., 0] > 0)
            jet = events.jet[:size] + np.array([0, 0, turn, 0], np.float32)
            columns = {f"jet_{x}": jet[:, i] for i, x in enumerate(FOUR_VECTOR)} | {"event_id": start + np.arange(size)}
            fields = {x: ak.unflatten(p[..., i][p[..., 0] > 0], count[:size]) for i, x in enumerate(FOUR_VECTOR)}
            columns["constituent"] = ak.zip(fields)
            if not start:
                kinds = {k: c.type.content if isinstance(c, ak.Array) else c.dtype for k, c in columns.items()}
                file.mktree("events", kinds)
            file["events"].extend(columns)


def read_stream(path: Path) -> list[Events]:
    return list(stream_of({"files": str(path)}, name="toys", selection="any", split=(0.6, 0.1, 0.3)))


def bare_root(path: Path) -> list[ak.Array]:
    with uproot.open(path) as file:
        return list(file["events"].iterate(filter_name=lambda name: not name.startswith("n"), step_size=ROWS))


def padded(chunk: ak.Array) -> np.ndarray:
    p = np.zeros((len(chunk), PLACES, 4), np.float32)
    there = np.arange(PLACES) < ak.to_numpy(ak.num(chunk["constituent_pt"]))[:, None]
    for i, x in enumerate(FOUR_VECTOR):
        p[..., i][there] = ak.to_numpy(ak.flatten(chunk[f"constituent_{x}"]))
    return p


def padded_one_by_one(chunk: ak.Array) -> np.ndarray:
    end = np.cumsum(ak.to_numpy(ak.num(chunk["constituent_pt"])))
    flat = [ak.to_numpy(ak.flatten(chunk[f"constituent_{x}"])) for x in FOUR_VECTOR]
    p = np.zeros((len(chunk), PLACES, 4), np.float32)
    for i, (start, stop) in enumerate(zip([0, *end[:-1]], end, strict=True)):
        p[i, : stop - start] = np.stack([x[start:stop] for x in flat], axis=-1)
    return p


def bare_hdf5(path: Path) -> list[np.ndarray]:
    with h5py.File(path) as file:
        table = file["table/table"]
        return [table[start : start + ROWS]["values_block_0"] for start in range(0, len(table), ROWS)]


def converted(rows: np.ndarray) -> np.ndarray:
    energy, px, py, pz = np.moveaxis(rows.reshape(len(rows), -1, 4), -1, 0)
    pt = np.hypot(px, py)
    with np.errstate(invalid="ignore"):
        eta = np.nan_to_num(np.arcsinh(pz / pt))
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
    return np.stack([pt, eta, np.arctan2(py, px), mass], axis=-1)


def converted_one_by_one(rows: np.ndarray) -> np.ndarray:
    p = np.zeros((len(rows), PLACES, 4), np.float32)
    for i, row in enumerate(rows):
        energy, px, py, pz = row.reshape(-1, 4)[row[::4] > 0].T.astype(np.float64)
        pt = np.hypot(px, py)
        mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
        p[i, : len(pt)] = np.stack([pt, np.arcsinh(pz / pt), np.arctan2(py, px), mass], axis=-1)[np.argsort(-pt)]
    return p


def reading(stage: str, path: Path, scale: dict, bare: Callable, convert: Callable, one: Callable) -> dict:
    """A row of the table: a file through ``stream_of``, ``bare``, and that with ``convert`` or the loop ``one``."""
    n, looped = scale["jets"], min(scale["jets"], scale["looped"])
    few = bare(path)[0][:looped]
    ours, theirs, slow = read_stream(path)[0].constituents[:looped], convert(few), one(few)
    np.testing.assert_allclose(theirs[..., :3], slow[..., :3], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ours[..., :3], slow[..., :3], rtol=1e-5, atol=1e-5)
    s = alternate(scale["repeats"], clock=time.process_time, runs={
        "ours": lambda: read_stream(path), "bare": lambda: bare(path),
        "converted": lambda: [convert(chunk) for chunk in bare(path)], "loop": lambda: one(few),
    })  # fmt: skip
    return row(stage, n / s["ours"], n / s["bare"], n / s["converted"], 1 / (s["bare"] / n + s["loop"] / looped))


def representing(stage: str, events: Events, scale: dict, representation: Callable, one: Callable) -> dict:
    """A row of the table: events through a ``representation`` and through a loop with ``one`` jet inside."""
    few = events[: scale["looped"]]

    def loop() -> np.ndarray:
        return np.stack([one(jet[jet[:, 0] > 0]) for jet in few.constituents])

    np.testing.assert_allclose(representation(few).numpy().reshape(len(few), -1),
                               loop().reshape(len(few), -1), rtol=2e-3, atol=1e-5)  # fmt: skip
    s = alternate(scale["repeats"], {"ours": lambda: representation(events), "loop": loop}, time.process_time)
    return row(stage, len(events) / s["ours"], None, None, len(few) / s["loop"])


def row(stage: str, ours: float, bare: float | None, converted: float | None, loop: float) -> dict:
    cost = None if converted is None else f"{converted / ours:.2f}"
    values = [None if x is None else round(x) for x in (ours, bare, converted)]
    return dict(zip(COLUMNS, [stage, *values, cost, round(loop), f"{ours / loop:.1f}"], strict=True))


def throughput(scale: dict, folder: Path) -> list[dict]:
    """All stages; files go to ``folder``."""
    events = toy_jets(scale["jets"], 0)
    root, hdf5 = folder / "jets.root", folder / "jets.h5"
    write_root(events, root)
    write_top_tagging(hdf5, events)
    del events
    rows = [reading("ROOT to events", root, scale, bare_root, padded, padded_one_by_one)]
    rows.append(reading("top-tagging HDF5 to events", hdf5, scale, bare_hdf5, converted, converted_one_by_one))
    chunk = read_stream(root)[0]  # what a stream hands on
    rows.append(representing("events to images", chunk, scale, JetImage(sigma=2), image_of))
    return [*rows, representing("events to vectors", chunk[: scale["vectors"]], scale, EventVector(), vector_of)]


def stream_to_features(source: str, folder: str, kind: str, rows: int) -> int:
    """Read, write, represent, write, as the workflow does; peak memory of this process in bytes."""
    events, features = Path(folder, "events.h5"), Path(folder, "features.h5")
    how = {"name": "toys", "selection": "any", "split": (0.6, 0.1, 0.3)}
    write_blocks(events, stream_of({"files": source, "rows": rows}, **how))
    represent(REPRESENTATIONS[kind], Events.blocks(events, rows), {str(features): ("train", "valid", "test")})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_mb(n: int, kind: str, folder: Path, rows: int = ROWS) -> float:
    """Peak memory [MB] of a process of its own that takes a ROOT file of n jets to ``kind``."""
    path = folder / f"long_{n}.root"
    if not path.exists():
        write_long(path, n, rows)
    code = f"import throughput; print(throughput.stream_to_features({str(path)!r}, {str(folder)!r}, {kind!r}, {rows}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1e6


def write_table(path: Path, columns: list[str], rows: list[dict]) -> None:
    with atomic_path(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="how large; the sizes stand in the script")
    parser.add_argument("--only", choices=("throughput", "memory"), help="one of the two tables")
    parser.add_argument("--tables", type=Path, default=HERE / "tables", help="folder of the tables")
    parser.add_argument("--files", type=Path, help="folder for the files, a few GB; default: a temporary one")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    scale = SCALES[options.scale]
    with tempfile.TemporaryDirectory(dir=options.files) as folder:
        if options.only != "memory":
            rows = throughput(scale, Path(folder))
            write_table(options.tables / "throughput.csv", COLUMNS, rows)
            for line in rows:
                print(", ".join(f"{key} {value}" for key, value in line.items() if value is not None))
        if options.only != "throughput":
            jobs = [(kind, n) for kind in REPRESENTATIONS for n in scale[kind]]
            rows = []
            for kind, n in jobs:
                rows.append({"stage": f"ROOT to events to {kind}", "events": n})
                rows[-1]["peak_mb"] = round(peak_mb(n, kind, Path(folder)))
                print(rows[-1], flush=True)
            write_table(options.tables / "memory.csv", ["stage", "events", "peak_mb"], rows)


if __name__ == "__main__":
    with report_errors():
        main()
