"""All AUCs of a task."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.evaluation.tables import read_records
from hepad.figures import auc_summary
from hepad.figures.style import save, style

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    records = read_records(snakemake.input, {**labels, "supervised": "gradient-boosted trees"})
    records = [{**r, "detector": r["label"], "signal": labels[r["signal"]]} for r in records]
    figure = auc_summary(records, snakemake.wildcards.task, snakemake.params.style)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
