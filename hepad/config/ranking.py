"""The table of a run's results: for every task and signal its detectors, the best first."""

from collections.abc import Iterator

from hepad.config.results import Results
from hepad.errors import InputError
from hepad.evaluation import seed_spread
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.tables import SUPERVISED, read_records

__all__ = ["COLUMNS", "MIN_COUNT", "ranking"]

COLUMNS = ("task", "background", "signal", "detector", "label", "group", "trainings", "eps_b", "eps_s", "eps_s_low",
           "eps_s_high", "independent", "auc", "auc_low", "auc_high")  # fmt: skip


def ranking(results: Results) -> list[dict]:
    """Rows with the keys ``COLUMNS``, for every task and signal the best detector first.

    eps_s at the working point, auc: medians of the trainings with their ranges, as in the table seed_spread.csv;
    None where the background sample does not fix the threshold. independent: the smallest number of independent
    background events that pass. InputError if the run has not come so far.
    """
    return [row for task in results.tasks for signal in results.config["tasks"][task]["signals"]
            for row in sorted(_rows(results, task, signal), key=_rank)]  # fmt: skip


def _rank(row: dict) -> tuple:
    return row["eps_s"] is None, -(row["eps_s"] or 0), -row["auc"]


def _rows(results: Results, task: str, signal: str) -> Iterator[dict]:
    path = results.folder / "evaluation" / task / f"{signal}.json"
    if not path.is_file():
        raise InputError(f"{path} is missing: the run is not finished. Start it again: what is finished is kept.")
    at, labels = results.config["evaluation"]["working_point"], _labels(results)
    records = read_records([path], labels)
    points = {}
    for row in seed_spread.rows(records):
        if row["quantity"] == "auc" or (row["quantity"] == "eps_s" and row["at"] == at):
            points[row["detector"], row["quantity"]] = row
    for detector, group in {r["detector"]: r["group"] for r in records}.items():
        eps_s, auc = points.get((detector, "eps_s"), {}), points[detector, "auc"]
        passing = [p.independent for r in records if r["detector"] == detector
                   for p in r["evaluation"].working_points if p.eps_b == at]  # fmt: skip
        limits = ("median", "low", "high")
        values = (
            task, results.config["tasks"][task]["background"], signal, detector, labels.get(detector, detector), group,
            auc["trainings"], at, *(eps_s.get(key) for key in limits), min(passing, default=None),
            *(auc[key] for key in limits),
        )  # fmt: skip
        yield dict(zip(COLUMNS, values, strict=True))


def _labels(results: Results) -> dict[str, str]:
    entries = results.config["detectors"]
    return {name: entries[name].get("label", name) for name in results.detectors} | SUPERVISED
