"""Training curves of every trained detector of a task."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.figures import training_curves
from hepad.figures.style import save, style
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    for path in map(Path, snakemake.input):
        detector = path.parent.name
        history = read_json(path)["history"]
        figure = training_curves(history, snakemake.params.style, title=snakemake.params.labels[detector])
        save(figure, Path(snakemake.output[0]) / detector)
