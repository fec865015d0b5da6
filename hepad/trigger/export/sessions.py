"""Runs of ONNX Runtime in a process of their own.

A graph may end the process that runs it: ONNX Runtime's Einsum divides by the size of a batch, which may be zero. What
nobody has run yet is therefore run in a child, whose end is a message here.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from hepad.errors import InputError, report_errors
from hepad.storage.onnx_file import LEVELS, REFUSALS, session, short

INPUT, OUTPUT = "features", "score"


def run_apart(model: bytes, x: np.ndarray, runs: list[tuple[int, int]]) -> dict[str, list[np.ndarray]]:
    """Run a model in a process of its own: {level: [the output of each run, joined]}.

    Parameters
    ----------
    x: (N, ...) float32; runs: (number of events, batch): the first events of x, so many at a time; none are one batch

    Raises
    ------
    InputError: a batch does not run, or ends the process
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(model)
        save_file({"x": np.ascontiguousarray(x)}, Path(folder, "x.safetensors"))
        command = [sys.executable, "-m", __name__, folder, json.dumps(runs)]
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = subprocess.run(command, capture_output=True, text=True, env=os.environ | path)
        if child.returncode == 0:
            outputs = load_file(Path(folder, "found.safetensors"))
            return {level: [outputs[f"{level} {i}"] for i in range(len(runs))] for level in LEVELS}
    if child.returncode > 0:
        raise InputError((child.stderr.strip().splitlines() or ["the graph does not run."])[-1].removeprefix("ERROR: "))
    run, name = (child.stdout.splitlines() or ["its loading"])[-1], signal.Signals(-child.returncode).name
    raise InputError(
        f"the graph ends the process that runs it ({name}) at {run}; so it would end a job of the experiment. Export "
        "the detector with another opset; if that does not help, report it."
    )


def _child(folder: str, runs: str) -> None:
    x, results = load_file(Path(folder, "x.safetensors"))["x"], {}
    for level in LEVELS:
        loaded = session(Path(folder, "model.onnx").read_bytes(), level)
        for i, (count, batch) in enumerate(json.loads(runs)):
            print(f"a batch of {batch}, optimisation '{level}'", flush=True)
            parts = [x[k : min(k + batch, count)] for k in range(0, max(count, 1), max(batch, 1))]
            try:
                outputs = [loaded.run([OUTPUT], {INPUT: np.ascontiguousarray(part)})[0] for part in parts]
            except REFUSALS as error:
                raise InputError(f"the graph does not run at a batch of {batch} ({short(error)}).") from None
            results[f"{level} {i}"] = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
    save_file(results, Path(folder, "found.safetensors"))


if __name__ == "__main__":
    with report_errors():
        _child(*sys.argv[1:])
