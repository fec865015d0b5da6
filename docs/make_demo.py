"""Makes the demo in docs/demo again: trains what is missing, exports it, and packs it with examples and the runtime.

    snakemake --cores all --resources gpu=1 results/events/{qcd,top,semivisible}.h5
    HEPAD_DATA=... python docs/make_demo.py results

HEPAD_DATA is a folder with mnist.npz. Models are kept below results/demo; training takes some minutes of a core. With
``--runtime FOLDER``, the package onnxruntime-web@1.18.0 of npm, the runtime is packed as well.
"""

import argparse
import base64
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import demo_steps
import numpy as np
import torch
from demo_models import JETS, SEED, World, digits, jets, pixels, trained
from torch import Tensor

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


def packed(data: bytes) -> str:
    """Gzip in base85, which is a twentieth shorter than base64; the same for the same data."""
    return base64.b85encode(gzip.compress(data, 9, mtime=0)).decode()


def image_of(world: World, drawn: np.ndarray) -> Tensor:
    """Images (N, *space.shape) of what is shipped."""
    return JETS.transform(SimpleNamespace(constituents=drawn)) if world.space.unit_sum else pixels(drawn)


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


def about_detector(path: Path, name: str, world: World, examples: Tensor) -> dict:
    """What the page knows of a detector; ``check``: torch's scores of the examples, and a chain without noise."""
    detector = detectors.load(path)
    scores = {label: detector.score(x).numpy() for label, x in world.test.items()}
    background = scores[world.background]
    is_ae = isinstance(detector, AE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "score.onnx")
        export(path, file, events=world.test[world.background][:1000])
        score = file.read_bytes()
    about = {
        "title": TITLES[name],
        "axis": "reconstruction error" if is_ae else "energy E",
        "latent": (detector.model if is_ae else detector.energy.autoencoder).latent_dim,
        "score": packed(score),
        "steps": packed(demo_steps.graph(detectors.load(path)).SerializeToString()),
        "background": background_of(background),
        "histogram": histogram(scores, world.background),
        "auc": {k: round(evaluate(background, s).auc.value, 3) for k, s in scores.items() if k != world.background},
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


def about_world(world: World, folder: Path) -> dict:
    """What a script of the demo holds."""
    paths = trained(world, folder)
    colours = colors.of_detectors(world.specs)
    samples = colors.of_samples([*world.specs, *world.test])  # other hues than those of the detectors
    examples = [example_of(label, drawn) for label, found in world.drawn.items() for drawn in found]
    images = torch.cat([image_of(world, found) for found in world.drawn.values()])
    found = {}
    for name, path in paths.items():
        found[name] = about_detector(path, name, world, images)
        found[name] |= pair_of(colours[name])
    kind = {"jets": {"size": JETS.size, "eta_range": JETS.eta_range, "phi_range": JETS.phi_range, "sigma": JETS.sigma}}
    about = {
        "title": world.title,
        "background": world.background,
        "verdict": world.verdict,
        "shape": list(world.space.shape),
        "samples": {label: pair_of(colour) for label, colour in samples.items() if label in world.test},
        "detectors": found,
        "examples": examples,
    }
    return about | (kind if world.space.unit_sum else {})


def runtime(package: Path) -> None:
    """The scripts of ONNX Runtime Web; its WebAssembly as text, since a page from a disk may not read other files."""
    wasm = (package / "dist" / "ort-wasm-simd.wasm").read_bytes()
    (DEMO / "ort-wasm-simd.js").write_text(f'ortWasm = "{packed(wasm)}";\n')
    script = (package / "dist" / "ort.wasm.min.js").read_text()
    (DEMO / "ort.wasm.min.js").write_text(script.partition("\n//# sourceMappingURL")[0] + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="of a run of config/config.yaml; its events are enough")
    parser.add_argument("--runtime", type=Path, help="the folder 'package' of onnxruntime-web-1.18.0.tgz")
    args = parser.parse_args()
    made: dict[str, Callable[[], World]] = {
        "qcd": lambda: jets(args.results, "qcd", ("top", "semivisible"), EXAMPLES),
        "top": lambda: jets(args.results, "top", ("qcd",), EXAMPLES),
        "digits": lambda: digits(EXAMPLES),
    }
    for name, make in made.items():
        about = about_world(make(), args.results / "demo" / name)
        (DEMO / f"{name}.js").write_text(f"worlds.{name} = {json.dumps(about, separators=(',', ':'))};\n")
    if args.runtime:
        runtime(args.runtime)


if __name__ == "__main__":
    with report_errors():
        main()
