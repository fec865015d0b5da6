"""The diagnostics of a task on one page."""

from pathlib import Path

from hepad.checks import joined
from hepad.errors import told_plainly
from hepad.figures import diagnostics_page
from hepad.io import read_json
from hepad.style import save, style
from hepad.tables import read_records

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    params, labels, records, groups = snakemake.params, snakemake.params.labels, {}, {}
    evaluations, contamination = (
        read_records(snakemake.input.evaluations),
        map(read_json, snakemake.input.contamination),
    )
    for record in joined(read_json(snakemake.input.checks), evaluations, list(contamination), params.backgrounds):
        name = record["detector"]
        of = {kind: {labels[s]: auc for s, auc in record[kind].items()} for kind in ("auc", "swapped")}
        if dirty := record["contamination"]:
            of["contamination"] = dirty | {"signal": labels[dirty["signal"]]}
        records[labels[name]], groups[labels[name]] = record | of, params.groups[name]
    figure = diagnostics_page(records, groups, params.style, title=f"background {labels[params.background]}")
    save(figure, Path(snakemake.output[0]).with_suffix(""))
