"""Latency of a score on one thread: eager torch, ONNX Runtime and int8, taken in turns in one run.

    python benchmarks/score_latency.py --results results [--only detector=nae_image]

Engines: `eager` is the detector's score; `onnx` the exported file in ONNX Runtime with basic optimisation, as Athena
loads it; `onnx_all` with all, as CMSSW does; `int8` that file with weights in 8 bits (ONNX Runtime's dynamic
quantisation), loaded as `onnx`. int8 has rows only where there is a matrix to quantise and it holds the efficiency:
eps_S at eps_B = 1e-2, at its own threshold, lies within the interval of eps_S in float for every signal of the task.
Events are those of the test features; each call scores other ones. `ratio_to_eager` is the time of eager over that of
the engine, at the same batch.
"""

import itertools
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml
from onnxruntime.quantization import QuantType, quantize_dynamic
from records import alternate, arguments, carry_out, table_path

from hepad import detectors
from hepad.errors import InputError, report_errors
from hepad.evaluation.roc import efficiencies
from hepad.representations.features import Features
from hepad.storage.files import write_rows
from hepad.storage.onnx_file import read_model, session
from hepad.trigger.export.inference import scores
from hepad.trigger.export.onnx_export import export
from hepad.trigger.export.sessions import INPUT, OUTPUT

CONFIG = Path(__file__).parents[1] / "config" / "full.yaml"
TASK, BATCHES, EPS_B = "qcd", (1, 256), 1e-2
COLUMNS = ("detector", "engine", "batch", "median_us", "ratio_to_eager")
SMOKE = ("ae_vector", "mass")
REPEATS = {"smoke": {1: 20, 256: 3}, "laptop": {1: 500, 256: 20}, "paper": {1: 10_000, 256: 500}}


def jobs_of(config: dict, results: Path):
    """scale -> the runs, one per detector of the task, with their settings."""
    names = config["tasks"][TASK]["detectors"]

    def jobs_at(scale: str) -> list:
        chosen = [name for name in names if scale != "smoke" or name in SMOKE]
        fixed = {"repeats": {str(k): v for k, v in REPEATS[scale].items()}, "results": str(results)}
        fixed["onnxruntime"] = onnxruntime.__version__
        return [({"detector": name}, {**fixed, "spec": config["detectors"][name]}) for name in chosen]

    return jobs_at


def features_of(results: Path, representation: str, sample: str) -> torch.Tensor:
    return Features.read(results / "features" / representation / f"{sample}.test.h5").x


def measure(config: dict, results: Path, run: dict, settings: dict) -> dict:
    """Median microseconds {engine: {batch: value}}, and what int8 does to the efficiencies."""
    name, representation = run["detector"], settings["spec"]["representation"]
    model = results / "models" / TASK / name / "1.safetensors"
    detector = detectors.load(model)
    background = features_of(results, representation, config["tasks"][TASK]["background"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.onnx"
        export(model, file, target="cmssw", events=background[:1000])
        small = Path(folder) / "int8.onnx"
        quantize_dynamic(file, small, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
        loaded = {"onnx": session(file), "onnx_all": session(file, "all")}
        if any(node.op_type == "DynamicQuantizeLinear" for node in read_model(small).graph.node):  # else all is float
            loaded["int8"] = session(small)
    result: dict = {"int8_holds": False, "median_us": {}}
    eps_s = {
        key: efficiency_of(loaded[key], config, results, representation) for key in ("onnx", "int8") if key in loaded
    }
    result["eps_s"] = {key: [found.value for found in values] for key, values in eps_s.items()}
    if "int8" in eps_s:
        pairs = zip(eps_s["onnx"], eps_s["int8"], strict=True)
        result["int8_holds"] = all(own.low <= other.value <= own.high for own, other in pairs)
    for batch in BATCHES:
        if len(background) < batch:
            raise InputError(f"{name}: {len(background)} test events are fewer than the batch of {batch}.")
        taken = alternate(settings["repeats"][str(batch)], engines(detector, loaded, background, batch))
        result["median_us"][str(batch)] = {engine: 1e6 * seconds for engine, seconds in taken.items()}
    return result


def engines(detector, loaded: dict, events: torch.Tensor, batch: int) -> dict:
    """{engine: a function that scores the next batch}."""
    parts = [part for part in events[: 64 * batch].split(batch) if len(part) == batch]

    def eager():
        turn = itertools.cycle(parts)
        return lambda: detector.score(next(turn))

    def runtime(engine):
        turn = itertools.cycle([part.numpy() for part in parts])
        return lambda: engine.run([OUTPUT], {INPUT: next(turn)})

    return {"eager": eager()} | {key: runtime(engine) for key, engine in loaded.items()}


def efficiency_of(engine, config: dict, results: Path, representation: str) -> list:
    """eps_S with its interval at EPS_B for each signal of the task."""
    task = config["tasks"][TASK]
    found = {
        sample: scores(engine, features_of(results, representation, sample).numpy())
        for sample in (task["background"], *task["signals"])
    }
    background = found.pop(task["background"]).astype(np.float64)
    return [efficiencies(background, signal.astype(np.float64), (EPS_B,))[0].eps_s for signal in found.values()]


def rows(records: list[dict]) -> list[dict]:
    """Rows of the table; int8 alone where it holds the efficiency."""
    lines = []
    for record in records:
        for batch, taken in record["result"].get("median_us", {}).items():
            for engine, microseconds in taken.items():
                if engine != "int8" or record["result"]["int8_holds"]:
                    ratio = taken["eager"] / microseconds
                    values = (record["run"]["detector"], engine, batch, f"{microseconds:.1f}", f"{ratio:.2f}")
                    lines.append(dict(zip(COLUMNS, values, strict=True)))
    return lines


def main(argv: list[str] | None = None) -> None:
    about = __doc__.partition("\n")[0]
    args = arguments(about, argv, {"results": "of the workflow with config/full.yaml"})
    if args.results is None:
        raise InputError("--results: name the folder that `snakemake` filled with config/full.yaml.")
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser recommends its preprocessing for every file
    config = yaml.safe_load(CONFIG.read_text())
    jobs = jobs_of(config, args.results)
    records = carry_out("score_latency", args, jobs, lambda run, how: measure(config, args.results, run, how))
    write_rows(table_path("score_latency", args), COLUMNS, rows(records))


if __name__ == "__main__":
    with report_errors():
        main()
