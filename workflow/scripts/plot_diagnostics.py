"""The diagnostics of a task on one page."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.evaluation.checks import joined
from hepad.evaluation.tables import read_records
from hepad.figures import diagnostics_page
from hepad.figures.style import save, style
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]), style(snakemake.params.style):
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
