"""Deep SVDD and a flow, alone and combined, on public files of the Dark Machines challenge, beside its entries.

    HEPAD_DATA=... python benchmarks/dark_machines.py

Detectors and representation are those of `config/dark_machines.yaml`, on the files of channel 1 in
`$HEPAD_DATA/darkmachines`. Of the 1,000 lines of background, about 500 train, 100 choose states and calibrate, 400 are
tested: four of these pass at ε_B = 10⁻², so that ε_S there has a wide interval, and 10⁻³ is not resolved. `published`:
the tables of the challenge (arXiv:2105.14027; github.com/bostdiek/DarkMachines-UnsupervisedChallenge,
`data/Combined.csv`, `Flow.csv` and `DeepSVDD.csv`, of this the entry 'Reduced' with 21 numbers), whose channel has
214,000 events.
"""

import argparse
from pathlib import Path

import numpy as np
import yaml
from records import data_file

import hepad
from hepad.representations import build
from hepad.samples.sources import read
from hepad.storage.files import write_rows

CONFIG = Path(__file__).parents[1] / "config/dark_machines.yaml"
TABLE = Path(__file__).parent / "tables/dark_machines.csv"
# AUC, ε_S at 10⁻² and 10⁻³
PUBLISHED = {
    "svdd": {"gluinos": (0.69, 0.06, 0.01), "monojet": (0.73, 0.09, 0.01), "monotop": (0.73, 0.07, 0.01)},
    "flow": {"gluinos": (0.91, 0.44, 0.15), "monojet": (0.95, 0.61, 0.25), "monotop": (0.96, 0.68, 0.29)},
    "svdd_and_flow": {"gluinos": (0.77, 0.22, 0.08), "monojet": (0.82, 0.33, 0.16), "monotop": (0.83, 0.32, 0.14)},
    "svdd_or_flow": {"gluinos": (0.90, 0.35, 0.01), "monojet": (0.95, 0.50, 0.00), "monotop": (0.96, 0.59, 0.01)},
    "svdd_avg_flow": {"gluinos": (0.87, 0.26, 0.11), "monojet": (0.91, 0.39, 0.19), "monotop": (0.93, 0.38, 0.16)},
    "svdd_prod_flow": {"gluinos": (0.12, 0.03, 0.02), "monojet": (0.09, 0.05, 0.02), "monotop": (0.08, 0.04, 0.03)},
}


def vectors(config: dict, name: str) -> dict[str, np.ndarray]:
    """(N, D) of each split of a sample of the configuration."""
    entry = config["samples"][name]
    files = [str(data_file("darkmachines", Path(file).name)) for file in entry["source"]["files"]]
    events = read(entry["source"] | {"files": files}, name=name, selection=entry["selection"], split=entry["split"])
    represent = build(config["representations"]["vector"])
    return {split: represent(events.of_split(split)).numpy() for split in ("train", "valid", "test")}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="each is a training")
    parser.add_argument("--to", type=Path, default=TABLE, help="the table")
    args = parser.parse_args(argv)
    config = yaml.safe_load(CONFIG.read_text())
    background = vectors(config, "background")
    signals = {name: vectors(config, name)["test"] for name in config["tasks"]["channel1"]["signals"]}
    rows = []
    for seed in args.seeds:
        fitted = {}
        for name in PUBLISHED:
            entry = config["detectors"][name]
            options = {key: of for key, of in entry.items() if key not in ("label", "type", "representation")}
            if "members" in options:
                options["members"] = {member: fitted[member] for member in options["members"]}
                detector = hepad.Combination(seed=seed, **options).fit(background["valid"])
            else:
                detector = getattr(hepad, entry["type"])(seed=seed, **options)
                detector.fit(background["train"], background["valid"])
            fitted[name] = detector
            for signal, x in signals.items():
                found = hepad.evaluate(detector.score(background["test"]), detector.score(x), eps_b=[0.01])
                (point,) = found.working_points
                values = {"auc": found.auc.value, "eps_s_1e-2": point.eps_s.value}
                values |= {"low": point.eps_s.low, "high": point.eps_s.high}
                values = {key: f"{value:.3f}" for key, value in values.items()}
                rows.append({"detector": name, "signal": signal, "seed": seed} | values)
            print(rows[-3:], flush=True)
    for name, of in PUBLISHED.items():
        for signal, (auc, *at) in of.items():
            values = dict(zip(("auc", "eps_s_1e-2", "eps_s_1e-3"), (auc, *at), strict=True))
            rows.append({"detector": name, "signal": signal, "seed": "published"} | values)
    order = [*PUBLISHED]
    rows.sort(key=lambda row: (order.index(row["detector"]), [*signals].index(row["signal"]), str(row["seed"])))
    columns = ["detector", "signal", "seed", "auc", "eps_s_1e-2", "low", "high", "eps_s_1e-3"]
    write_rows(args.to, columns, [{key: row.get(key, "") for key in columns} for row in rows])


if __name__ == "__main__":
    main()
