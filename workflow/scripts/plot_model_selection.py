"""Criteria and AUC of the candidates of every energy-based detector of a task, first seed."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.figures import model_selection_curves
from hepad.figures.style import save, style
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    records = [{**r, "signal": labels[r["signal"]]} for path in snakemake.input for r in read_json(path)]
    for name in snakemake.params.detectors:
        of_detector = [r for r in records if (r["detector"], r["seed"]) == (name, snakemake.params.seed)]
        figure = model_selection_curves(of_detector, snakemake.params.style, title=labels[name])
        save(figure, Path(snakemake.output[0]) / name)
