"""The diagnostics of a task on one page."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.figures import diagnostics_page
from hepad.io import read_json
from hepad.style import save, style
from hepad.tables import read_records
from hepad.trigger import areas

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    params, labels = snakemake.params, snakemake.params.labels
    found = areas(read_records(snakemake.input.evaluations), snakemake.wildcards.task, params.backgrounds)
    contamination = {Path(path).stem: read_json(path) for path in snakemake.input.contamination}
    records, groups = {}, {}
    for record in read_json(snakemake.input.checks):
        name = record["detector"]
        of = {kind: {labels[s]: auc for s, auc in found[name][kind].items()} for kind in ("auc", "swapped")}
        records[labels[name]] = record | of | {"contamination": contamination.get(name)}
        groups[labels[name]] = params.groups[name]
    figure = diagnostics_page(records, groups, params.style, title=f"background {labels[params.background]}")
    save(figure, Path(snakemake.output[0]).with_suffix(""))
