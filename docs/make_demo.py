"""Makes the demo in docs/demo again: exports the detectors of a run and of digits, and packs them with examples.

    HEPAD_DATA=... python docs/make_demo.py results

``results`` is a finished run of config/config.yaml, which is only read; HEPAD_DATA is a folder with mnist.npz.
Detectors of digits are trained where ``--models`` does not have them, some minutes of a core for each. With
``--runtime FOLDER``, the package onnxruntime-web@1.18.0 of npm, the runtime is packed as well.
"""

import argparse
import base64
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import demo_steps
import numpy as np
import torch
from demo_models import SEED, World, digits, jets, pixels
from demo_pieces import Weights, packed, rounded
from torch import Tensor

import hepad
from hepad import detectors
from hepad.detectors import AE, MPDR, Detector
from hepad.detectors.energy_based.langevin import Chain, Sphere, langevin
from hepad.errors import report_errors
from hepad.evaluation.p_values import p_values
from hepad.evaluation.roc import evaluate
from hepad.figures import colors
from hepad.trigger.export.onnx_export import export

DEMO = Path(__file__).parent / "demo"
TITLES = {"ae": "AE", "nae": "NAE", "mpdr": "MPDR"}
CHECKED = 10  # steps of the chain without noise that the page is compared with
BINS = 50
KNOTS = 60
EXAMPLES = 6
BRIGHT = 0.5  # of colours on a dark page


def image_of(world: World, drawn: np.ndarray) -> Tensor:
    """Images (N, 1, H, W) of what is shipped."""
    return world.jets.transform(SimpleNamespace(constituents=drawn)) if world.jets else pixels(drawn)


def significant(values, digits: int = 7) -> list[float]:
    """As many digits as single precision has."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, float)]


def background_of(scores: np.ndarray) -> dict:
    """p-values at some of the sorted scores of background: all of the ten largest, then ever fewer."""
    ordered = np.sort(scores)
    ranks = np.unique(np.geomspace(1, len(ordered), KNOTS).round().astype(int))[::-1]
    knots = ordered[len(ordered) - ranks]
    return {"scores": significant(knots), "p": significant(p_values(scores, knots)), "n": len(scores)}


def histogram(scores: dict[str, np.ndarray], background: str) -> dict:
    """Counts of log10 of the scores, of unit area for each sample."""
    logs = {label: np.log10(values) for label, values in scores.items()}
    low, high = (f(np.concatenate([*logs.values()])) for f in (np.min, np.max))
    counts = {label: np.histogram(x, BINS, (low, high), density=True)[0] for label, x in logs.items()}
    shown = {label: significant(x, 3) for label, x in counts.items()}
    return {"range": significant([low, high], 4), "counts": shown, "background": background}


def chain_of(detector: Detector, example: Tensor) -> dict:
    """Settings of the latent chain, and one without noise, by hepad's sampler, as the page has to walk it."""
    chain, energy, is_mpdr = detector.settings.latent_chain, detector.energy, isinstance(detector, MPDR)
    model = detector.models[0] if is_mpdr else energy.autoencoder
    support, generator = detector.normalise.support(), torch.Generator().manual_seed(SEED)
    start, raw, about, check = torch.randn(1, model.latent_dim, generator=generator), energy.raw, {}, {}
    if is_mpdr:
        recovery, sigma = detector.settings.recovery, torch.tensor([sum(detector.settings.recovery.sigma) / 2])
        code = model.encode(detector.normalise(example)).detach()
        start = code + sigma * start
        raw = recovery.tie(raw, model, Sphere().project(start), sigma, recovery.weight)
        about = {"recovery": {"sigma": list(recovery.sigma), "weight": recovery.weight}}
        check = {"code": significant(code[0]), "sigma": float(sigma)}
    start = z = Sphere().project(start)

    def downhill(z: Tensor) -> Tensor:
        return raw(support.project(model.decode(z)))

    one, walk = Chain(1, chain.step_size, 0.0, chain.grad_clip, chain.unit), []
    for _ in range(CHECKED):
        z = langevin(downhill, z, one, domain=Sphere(), generator=generator)
        walk.append({"z": significant(z[0]), "energy": float(downhill(z).detach() / energy.scale)})
    about["chain"] = {"step_size": chain.step_size, "noise_std": chain.noise_std, "unit": chain.unit}
    about["check"] = {**check, "start": significant(start[0]), "walk": walk}
    return about | {"scale": float(energy.scale)}


def files_of(detector: Detector, spec: dict, events: Tensor) -> dict[str, bytes]:
    """The file of ``hepad export``, checked on events (N, 1, H, W), and the graph of what is shown beside it."""
    with tempfile.TemporaryDirectory() as folder:
        model, file = Path(folder, "model.safetensors"), Path(folder, "score.onnx")
        detectors.save(detector, model, spec)
        export(model, file, events=events)
        return {"score": file.read_bytes(), "steps": demo_steps.graph(detectors.load(model)).SerializeToString()}


def aucs(scores: dict[str, np.ndarray], background: str) -> dict[str, float]:
    """AUC of each signal."""
    return {k: round(evaluate(scores[background], s).auc.value, 3) for k, s in scores.items() if k != background}


def about_detector(name: str, detector: Detector, world: World, examples: Tensor) -> dict:
    """What the page knows of a rounded detector; ``unrounded``: the AUC of the detector as it was trained; ``check``:
    torch's scores of the examples, and a chain without noise."""
    scores, unrounded = (
        {label: found.score(x).numpy() for label, x in world.test.items()}
        for found in (detector, world.detectors[name].module)
    )
    background = scores[world.background]
    shift = np.abs(background / unrounded[world.background] - 1)
    print(world.title, name, f"scores of background: median shift {np.median(shift):.1e}, largest {shift.max():.1e}")
    is_ae = isinstance(detector, AE)
    about = {
        "title": TITLES[name],
        "axis": "reconstruction error" if is_ae else "energy E",
        "latent": (detector.model if is_ae else detector.energy.autoencoder).latent_dim,
        "background": background_of(background),
        "histogram": histogram(scores, world.background),
        "auc": aucs(scores, world.background),
        "unrounded": aucs(unrounded, world.background),
        **({} if is_ae else chain_of(detector, examples[:1])),
    }
    return about | {"check": {**about.get("check", {}), "scores": significant(detector.score(examples), 8)}}


def example_of(label: str, drawn: np.ndarray) -> dict:
    """Particles [pt, eta, phi] of a jet, or the pixels of a digit in base64."""
    if drawn.dtype == np.uint8:
        return {"label": label, "pixels": base64.b64encode(drawn.tobytes()).decode()}
    rows = [[round(float(value), 4) for value in row[:3]] for row in drawn if row[0] > 0]
    return {"label": label, "particles": rows}


def pair_of(colour: str) -> dict:
    """A colour on a light page, and on a dark one."""
    return {"colour": colour, "bright": colors.shade(colour, BRIGHT)}


def about_world(world: World) -> dict:
    """What a script of the demo holds."""
    small = {name: rounded(model.module) for name, model in world.detectors.items()}
    weights = Weights([*small.values()])
    colours = colors.of_detectors({name: model.spec for name, model in world.detectors.items()})
    samples = colors.of_samples([*world.detectors, *world.test])  # other hues than those of the detectors
    images = torch.cat([image_of(world, found) for found in world.drawn.values()])
    found = {}
    for name, detector in small.items():
        files = files_of(detector, world.detectors[name].spec, world.test[world.background][:1000])
        found[name] = about_detector(name, detector, world, images) | pair_of(colours[name])
        found[name]["files"] = {kind: weights.pieces(file) for kind, file in files.items()}
        found[name]["check"]["sha256"] = {kind: hashlib.sha256(file).hexdigest() for kind, file in files.items()}
    about = {
        "title": world.title,
        "background": world.background,
        "verdict": world.verdict,
        "shape": [*images.shape[1:]],
        "samples": {label: pair_of(colour) for label, colour in samples.items() if label in world.test},
        "weights": weights.about(),
        "detectors": found,
        "examples": [example_of(label, drawn) for label, found in world.drawn.items() for drawn in found],
    }
    if world.jets:
        about["jets"] = {name: getattr(world.jets, name) for name in ("size", "eta_range", "phi_range", "sigma")}
    return about


def runtime(package: Path) -> None:
    """The scripts of ONNX Runtime Web; its WebAssembly as text, since a page from a disk may not read other files."""
    wasm = (package / "dist" / "ort-wasm-simd.wasm").read_bytes()
    (DEMO / "ort-wasm-simd.js").write_text(f'ortWasm = "{packed(wasm)}";\n')
    script = (package / "dist" / "ort.wasm.min.js").read_text()
    (DEMO / "ort.wasm.min.js").write_text(script.partition("\n//# sourceMappingURL")[0] + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="of a finished run of config/config.yaml")
    parser.add_argument("--models", type=Path, default=Path("results/demo"), help="where detectors of digits are kept")
    parser.add_argument("--runtime", type=Path, help="the folder 'package' of onnxruntime-web-1.18.0.tgz")
    args = parser.parse_args()
    results = hepad.open(args.results)
    made: dict[str, Callable[[], World]] = {
        "qcd": lambda: jets(results, "qcd", EXAMPLES),
        "top": lambda: jets(results, "top", EXAMPLES),
        "digits": lambda: digits(args.models, EXAMPLES),
    }
    for name, make in made.items():
        about = about_world(make())
        (DEMO / f"{name}.js").write_text(f"worlds.{name} = {json.dumps(about, separators=(',', ':'))};\n")
    if args.runtime:
        runtime(args.runtime)


if __name__ == "__main__":
    with report_errors():
        main()
