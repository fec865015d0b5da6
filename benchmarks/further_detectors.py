"""Detectors from outside of the default configuration, on the vectors or the images of a finished run of it.

    python benchmarks/further_detectors.py --results results

Each has the settings of `hepad.detectors.defaults`, which are the papers' where they fit (the page of the detector says
which): nothing was tuned on these signals. Training and validation events are those of the run's QCD jets, the test has
its other QCD jets against top and semivisible jets. Simple opponents of the run stand beside them, on the same events,
and beside each MPDR what its energy starts from. Rows of other detectors and seeds that the table has are kept.
(-P: a library of PyOD looks for the module `coverage`, and would find the script of that name.)
"""

import argparse
import csv
from pathlib import Path
from time import process_time

import hepad
from hepad.detectors import defaults
from hepad.representations.features import Features
from hepad.storage.files import write_rows

TABLE = Path(__file__).parent / "tables/further_detectors.csv"
SIGNALS = ("top", "semivisible")
OPPONENTS = {"5 nearest neighbours": ("NearestNeighbours", {}), "Gaussian mixture": ("Mixture", {})}
FURTHER = {
    "isolation forest": ("Outlier", {}),
    "one-class SVM": ("Outlier", {"model": "OneClassSVM"}),
    "local outlier factor": ("Outlier", {"model": "LocalOutlierFactor"}),
    "elliptic envelope": ("Outlier", {"model": "EllipticEnvelope"}),
    "DAGMM": ("DAGMM", {}),
    "Deep SVDD": ("DeepSVDD", {}),
    "masked prediction": ("MaskedPrediction", {}),
    "flow matching": ("FlowMatching", {}),
    "ECOD (PyOD), 2,000 events": ("Outlier", {"library": "pyod", "model": "ECOD", "sample": 2000}),
    "autoencoder": ("AE", {}),
    "MPDR-R": ("MPDR", {}),
    # the energy starts from what 'masked prediction' is
    "MPDR-IDNN": ("MPDR", {"kind": "masked", "pretraining": defaults.VECTORS["MaskedPrediction"]["training"]}),
}
MASKED = {key: of for key, of in defaults.IMAGES["MaskedPrediction"].items() if key != "training"}
OF_IMAGES = {
    "AE of images": ("AE", {}),
    "Glow": ("Glow", {}),
    "PixelCNN": ("PixelCNN", {}),
    "MPDR-R, images": ("MPDR", {}),
    "masked autoencoder, images": ("MaskedPrediction", {}),
    "MPDR-MAE, images": ("MPDR", {"kind": "masked", "masked": MASKED}),
}
ALL = OPPONENTS | FURTHER | OF_IMAGES


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of a run of config/config.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="each is a training")
    parser.add_argument("--only", nargs="+", choices=ALL, help="which detectors")
    parser.add_argument("--to", type=Path, default=TABLE, help="the table")
    args = parser.parse_args(argv)
    rows = {}
    if args.to.exists():
        with open(args.to, newline="") as file:
            rows = {(row["detector"], int(row["seed"])): row for row in csv.DictReader(file)}
    for name in args.only or ALL:
        kind, arguments = ALL[name]
        folder = args.results / "features" / ("image" if name in OF_IMAGES else "vector")
        fitted = Features.read(folder / "qcd.train.h5")
        train, valid = (fitted.of_split(split).x for split in ("train", "valid"))
        tests = [Features.read(folder / f"{sample}.test.h5").x for sample in ("qcd", *SIGNALS)]
        for seed in args.seeds:
            start = process_time()
            detector = getattr(hepad, kind)(seed=seed, **arguments).fit(train, valid)
            seconds = process_time() - start
            background, *found = map(detector.score, tests)
            auc = {of: hepad.evaluate(background, scores).auc for of, scores in zip(SIGNALS, found, strict=True)}
            values = {of: f"{a.value:.4f}" for of, a in auc.items()}
            rows[name, seed] = {"detector": name, "seed": seed, **values, "seconds": f"{seconds:.1f}"}
            print(rows[name, seed], flush=True)
            in_order = sorted(rows, key=lambda row: (list(ALL).index(row[0]), row[1]))
            write_rows(args.to, rows[name, seed].keys(), [rows[key] for key in in_order])


if __name__ == "__main__":
    main()
