"""Exported files in a C program against ONNX Runtime, at batches of 0, 1 and 7, beside torch.

    CPATH=FOLDER python benchmarks/export_c.py [--only detector=gmm_all]

The detectors of the default configuration, on its representations, each trained for some steps on QCD jets of its
card: what is exported has the architecture of the default analysis, and numbers of a fit. ``export_c.c`` scores all
jets, with basic optimisation (as Athena) and with all (as CMSSW), in a process of its own. ``largest_difference`` is
that of |s(C) - s(torch)| / (|s(torch)| + sigma) over both; ``status`` is 'equal' within 1e-5, 'differs', or how the
process ended. The compiler finds onnxruntime_c_api.h in FOLDER: that of a release of ONNX Runtime which is not newer
than the installed package.
"""

import functools
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml
from records import arguments, carry_out, table_path

from hepad import detectors, representations
from hepad.config.specs import spec_of
from hepad.errors import InputError, report_errors
from hepad.events import Events
from hepad.representations.features import Features
from hepad.samples.simulation import pythia
from hepad.samples.simulation.settings import Generation
from hepad.storage.files import write_rows
from hepad.trigger.export.closure_test import TOLERANCE
from hepad.trigger.export.onnx_export import export

HERE = Path(__file__).parent
CONFIG, CARD = HERE.parent / "config" / "full.yaml", HERE.parent / "config" / "cards" / "qcd.cmnd"
BATCHES, LEVELS = (0, 1, 7), (1, 99)
COLUMNS = ("detector", "batch", "largest_difference", "status")
SIZES = {"smoke": {"jets": 250, "steps": 40}, "laptop": {"jets": 700, "steps": 200}}
SMOKE = ("ae_vector", "gmm_vector", "vae_vector", "mass")
HELD = 100  # jets for validation


def compiled(folder: Path) -> Path:
    """The program; InputError without compiler or header."""
    program = folder / "export_c"
    command = ["gcc", "-O1", "-o", program, HERE / "export_c.c", "-ldl"]
    try:
        found = subprocess.run([*map(str, command)], capture_output=True, text=True)
    except OSError as error:
        raise InputError(f"gcc: {error}. Install it (apt install gcc).") from None
    if found.returncode:
        said = (found.stderr.strip().splitlines() or ["no message"])[0]
        raise InputError(f"export_c.c does not compile ({said}). Let CPATH name the folder of the header.")
    return program


def library() -> Path:
    """ONNX Runtime's shared library in the installed package."""
    found = sorted(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"))
    if not found:
        raise InputError("the onnxruntime package has no libonnxruntime.so: install a newer one.")
    return found[0]


@functools.cache
def jets(count: int) -> Events:
    """QCD jets as the default configuration has them."""
    return pythia.generate(Generation(CARD, {"pt": [550, 650], "abs_eta": 2.0}, leading=2), count, 1)


def shortened(spec: dict, steps: int) -> dict:
    """A detector's spec with at most so many steps in each training."""
    trainings = ("training", "pretraining", "encoding")
    return {
        key: value if not isinstance(value, dict)
        else value | {"steps": min(value["steps"], steps)} if key in trainings
        else shortened(value, steps)
        for key, value in spec.items()
    }  # fmt: skip


def measure(config: dict, run: dict, settings: dict) -> dict:
    """{'batch 0': [largest difference, status], ...}."""
    entry = config["detectors"][run["detector"]]
    seen = Features.of(
        representations.build(config["representations"][entry["representation"]]), jets(settings["jets"])
    )
    spec = shortened(spec_of(config, run["detector"]), settings["steps"])
    detector = detectors.build(spec, seen.space, 1)
    detector.fit(seen.x[HELD:], seen.x[:HELD], generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compiled(folder)
        detectors.save(detector, folder / "model.safetensors", spec)
        export(folder / "model.safetensors", folder / "model.onnx", target="cmssw", events=seen.x)
        expected = detectors.load(folder / "model.safetensors").score(seen.x).numpy()
        seen.x.numpy().tofile(folder / "events")
        return {f"batch {batch}": compare(folder, program, batch, expected) for batch in BATCHES}


def compare(folder: Path, program: Path, batch: int, expected: np.ndarray) -> list:
    """Largest difference to the expected scores (N,) at both optimisations, and what became of the process."""
    count, largest = len(expected) // batch * batch if batch else 0, 0.0
    for level in LEVELS:
        command = [program, library(), folder / "model.onnx", level, batch, folder / "events", folder / "scores"]
        child = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if child.returncode < 0:
            return [None, f"killed by {signal.Signals(-child.returncode).name}"]
        if child.returncode:
            return [None, f"refused: {child.stderr.strip()[:200]}"]
        found = np.fromfile(folder / "scores", np.float32)
        if len(found) != count:
            return [None, f"{len(found)} scores of {count} events"]
        apart = np.abs(found - expected[:count]) / (np.abs(expected[:count]) + expected.std())
        largest = max(largest, float(apart.max(initial=0)))
    return [largest, "equal" if largest <= TOLERANCE else "differs"]


def rows(records: list[dict]) -> list[dict]:
    """Rows of the table; a training or an export that failed is a row without a batch."""
    lines = []
    for record in records:
        found = record["result"] or {"batch ": [None, record["error"]]}
        for name, (largest, status) in found.items():
            batch = name.removeprefix("batch ")
            lines.append(dict(zip(COLUMNS, (record["run"]["detector"], batch, largest, status), strict=True)))
    return lines


def main(argv: list[str] | None = None) -> None:
    about = __doc__.partition("\n")[0]
    args = arguments(about, argv, scales=("smoke", "laptop"))
    config = yaml.safe_load(CONFIG.read_text())
    with tempfile.TemporaryDirectory() as folder:
        compiled(Path(folder))  # before any training

    def jobs_at(scale: str) -> list:
        names = [name for name in config["detectors"] if scale != "smoke" or name in SMOKE]
        fixed = {**SIZES[scale], "onnxruntime": onnxruntime.__version__}
        return [({"detector": name}, {**fixed, "spec": config["detectors"][name]}) for name in names]

    records = carry_out("export_c", args, jobs_at, lambda run, how: measure(config, run, how))
    lines = rows(records)
    write_rows(table_path("export_c", args), COLUMNS, lines)
    wrong = [f"{line['detector']} at batch {line['batch']}" for line in lines if line["status"] != "equal"]
    print(f"{len(lines) - len(wrong)} of {len(lines)} rows are equal", *wrong, sep="; ", file=sys.stderr)


if __name__ == "__main__":
    with report_errors():
        main()
