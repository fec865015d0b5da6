"""All AUCs of a task."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.figures import auc_summary
from hepad.style import save, style
from hepad.tables import read_records

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    records = read_records(snakemake.input, {**labels, "ceiling": "gradient-boosted trees"})
    records = [{**r, "detector": r["label"], "signal": labels[r["signal"]]} for r in records]
    figure = auc_summary(records, snakemake.wildcards.task, snakemake.params.style)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
