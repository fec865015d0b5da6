"""Detectors from outside of the default configuration, on the vectors or the images of a finished run of it.

    python benchmarks/further_detectors.py --results results

Each has the settings of `hepad.detectors.defaults`, which are the papers' where they fit (the page of the detector says
which): nothing was tuned on these signals. Training and validation events are those of the run's QCD jets, the test has
its other QCD jets against top and semivisible jets. Simple opponents of the run stand beside them, on the same events.
(-P: a library of PyOD looks for the module `coverage`, and would find the script of that name.)
"""

import argparse
from pathlib import Path
from time import perf_counter

import hepad
from hepad.representations.features import Features
from hepad.storage.files import write_rows

TABLE = Path(__file__).parent / "tables/further_detectors.csv"
SIGNALS = ("top", "semivisible")
OPPONENTS = {"5 nearest neighbours": ("NearestNeighbours", {}), "Gaussian mixture": ("Mixture", {})}
OF_IMAGES = {"AE of images": ("AE", {}), "Glow": ("Glow", {}), "PixelCNN": ("PixelCNN", {})}
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
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of a run of config/config.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="each is a training")
    parser.add_argument("--only", nargs="+", choices=[*OPPONENTS, *FURTHER, *OF_IMAGES], help="which detectors")
    parser.add_argument("--to", type=Path, default=TABLE, help="the table")
    args = parser.parse_args(argv)
    rows = []
    for name, (kind, arguments) in (OPPONENTS | FURTHER | OF_IMAGES).items():
        if name not in (args.only or [name]):
            continue
        folder = args.results / "features" / ("image" if name in OF_IMAGES else "vector")
        fitted = Features.read(folder / "qcd.train.h5")
        train, valid = (fitted.of_split(split).x for split in ("train", "valid"))
        tests = [Features.read(folder / f"{name}.test.h5").x for name in ("qcd", *SIGNALS)]
        for seed in args.seeds:
            start = perf_counter()
            detector = getattr(hepad, kind)(seed=seed, **arguments).fit(train, valid)
            seconds = perf_counter() - start
            background, *found = map(detector.score, tests)
            auc = {of: hepad.evaluate(background, scores).auc for of, scores in zip(SIGNALS, found, strict=True)}
            values = {of: f"{a.value:.4f}" for of, a in auc.items()}
            rows.append({"detector": name, "seed": seed, **values, "seconds": f"{seconds:.1f}"})
            print(rows[-1], flush=True)
            write_rows(args.to, rows[-1].keys(), rows)


if __name__ == "__main__":
    main()
