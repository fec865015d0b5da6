"""Training curves of every trained detector of a task."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.figures import training_curves
from hepad.io import read_json
from hepad.style import save, style

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    for path in map(Path, snakemake.input):
        detector = path.parent.name
        history = read_json(path)["history"]
        figure = training_curves(history, snakemake.params.style, title=snakemake.params.labels[detector])
        save(figure, Path(snakemake.output[0]) / detector)
