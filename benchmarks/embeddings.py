"""Simple detectors on the embedding of a contrastive encoder, on the jets of a finished run of the default.

    python benchmarks/embeddings.py --results results

For every seed a Contrastive detector is trained on the run's QCD vectors, and another one on its images, with the
settings of `hepad.detectors.defaults`; its encoder is exported to a file as `hepad export --encoder` does, and what the
file makes of the events is the input of a Gaussian mixture and of nearest neighbours. Beside them stand the Contrastive
detector itself, whose score is one Gaussian on the same embedding, and the same simple detectors on the input of the
encoder, of images eight principal components. Numbers are AUC of the test jets; nothing sees a signal but to be scored.
"""

import argparse
import tempfile
from pathlib import Path

import hepad
from hepad.representations.encoder import Encoder
from hepad.representations.features import Features
from hepad.storage.files import write_rows
from hepad.trigger.export.encoder_export import export_encoder

TABLE = Path(__file__).parent / "tables/embeddings.csv"
SIGNALS = ("top", "semivisible")
SAMPLES = ("qcd", *SIGNALS)
INPUTS = {"vectors": ("vector", 0), "images": ("image", 8)}  # folder, principal components
SIMPLE = {"Gaussian mixture": hepad.Mixture, "5 nearest neighbours": hepad.NearestNeighbours}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of a run of config/config.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="each is a training")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS), help="what the encoder sees")
    parser.add_argument("--to", type=Path, default=TABLE, help="the table")
    args = parser.parse_args(argv)
    rows = []

    def measure(name: str, input: str, seed: int, detector, of: dict) -> None:
        detector.fit(of["train"], of["valid"])
        background, *found = (detector.score(of[sample]) for sample in SAMPLES)
        areas = [hepad.evaluate(background, scores).auc.value for scores in found]
        values = {signal: f"{value:.4f}" for signal, value in zip(SIGNALS, areas, strict=True)}
        rows.append({"detector": name, "input": input, "seed": seed, **values})
        print(rows[-1], flush=True)
        write_rows(args.to, rows[-1].keys(), rows)

    for name in args.inputs:
        folder, components = INPUTS[name]
        of = parts(args.results / "features" / folder)
        for seed in args.seeds:
            contrastive = hepad.Contrastive(seed=seed)
            measure("Contrastive", name, seed, contrastive, of)
            encoder = encoder_of(contrastive, of)
            embedded = {part: encoder(x.numpy()) for part, x in of.items()}
            for simple, make in SIMPLE.items():
                measure(simple, f"embedding of {name}", seed, make(seed=seed), embedded)
                measure(simple, name, seed, make(seed=seed, n_components=components), of)


def parts(folder: Path) -> dict:
    """{'train', 'valid' and the samples' names: (N, ...)} of one representation."""
    fitted = Features.read(folder / "qcd.train.h5")
    found = {split: fitted.of_split(split).x for split in ("train", "valid")}
    return found | {name: Features.read(folder / f"{name}.test.h5").x for name in SAMPLES}


def encoder_of(contrastive, of: dict) -> Encoder:
    """What its file does, by ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        model, file = Path(folder, "model.safetensors"), Path(folder, "encoder.onnx")
        contrastive.save(model)
        export_encoder(model, file, events=of["valid"])
        return Encoder.read(str(file), tuple(of["valid"].shape[1:]))


if __name__ == "__main__":
    main()
