"""All flows of the ConvVAE and the density estimators around it on the same events: tables of a finished workflow.

    snakemake --cores all --configfile config/flows.yaml
    python benchmarks/flow_comparison.py --results results

`flow_comparison.csv` joins the workflow's `auc.csv` and `efficiency.csv`. `flow_verdict.csv` asks for each
representation and signal whether the flow of largest validation ELBO (on background, averaged over the trainings; for
the Chamfer distance the objective C + beta KL that was trained) improves eps_S at eps_B = 1e-2 over the plain ConvVAE
by more than the spread of the trainings, sqrt(s1^2 + s2^2) of the two standard deviations.
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from pathlib import Path

from records import write_table
from workflow_tables import COLUMNS, EFFICIENCY, TABLES, joined

from hepad.errors import report_errors
from hepad.storage.files import write_rows

VERDICT = ["task", "signal", "representation", "flow", "objective", "objective_plain", "eps_s", "eps_s_plain"]
VERDICT += ["spread", "improves"]
WORKING_POINT = 0.01


def smallest_loss(results: Path, row: dict) -> float:
    """The validation loss, -ELBO, of the state that a training was ended with."""
    path = results / "models" / row["task"] / row["detector"] / f"{row['seed']}.json"
    return min(record["valid_loss"] for record in json.loads(path.read_text())["history"])


def verdicts(results: Path, rows: list[dict]) -> list[dict]:
    """One row for each representation and signal; detectors are named vae_<representation>, vae_<flow>_<...>."""
    found: dict = defaultdict(lambda: defaultdict(list))
    for row in rows:
        name = row["detector"].split("_")
        if name[0] == "vae" and math.isclose(float(row["eps_b"]), WORKING_POINT) and row["eps_s"] is not None:
            loss = smallest_loss(results, row)
            found[row["task"], row["signal"], name[-1]]["_".join(name[1:-1])].append((loss, row["eps_s"]))
    table = []
    for key, of_flow in found.items():
        loss, eps_s = ({flow: [pair[i] for pair in pairs] for flow, pairs in of_flow.items()} for i in (0, 1))
        mean = {flow: statistics.fmean(values) for flow, values in loss.items() if flow}
        best = min(mean, key=mean.get)
        gain = statistics.fmean(eps_s[best]) - statistics.fmean(eps_s[""])
        spread = math.hypot(*(statistics.stdev(eps_s[flow]) for flow in (best, "")))
        values = [*key, best, mean[best], statistics.fmean(loss[""])]
        values += [statistics.fmean(eps_s[best]), statistics.fmean(eps_s[""]), spread, "yes" if gain > spread else "no"]
        table.append(dict(zip(VERDICT, values, strict=True)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the workflow with config/flows.yaml")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    options = parser.parse_args()
    rows = joined(options.results)
    measures = ["auc", "n_background_passed", *EFFICIENCY]
    rows = [{**row, "n_background_passed": int(row["n_background_passed"])} for row in rows]
    write_table(options.tables / "flow_comparison.csv", COLUMNS, rows, over="seed", measures=measures)
    found = verdicts(options.results, rows)
    write_rows(options.tables / "flow_verdict.csv", VERDICT, found)
    for row in found:
        print(f"{row['representation']}, {row['signal']}: {row['flow']} improves on no flow: {row['improves']}")


if __name__ == "__main__":
    with report_errors():
        main()
