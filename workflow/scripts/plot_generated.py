"""Events drawn from every model of a task that can generate, beside data."""

from pathlib import Path

from hepad import beliefs, detectors, figures
from hepad.errors import told_plainly
from hepad.features import Features
from hepad.representations.vector import with_units
from hepad.style import save, style

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    params, name = snakemake.params, snakemake.params.labels[snakemake.params.background]
    for key, model, features in zip(params.detectors, snakemake.input.models, snakemake.input.features, strict=True):
        detector = detectors.load(model)
        found = beliefs.generated(detector, name, Features.read(features, slice(2000)).x)
        look = {"config": params.style, "title": params.labels[key], "score": detector.score_name}
        figure = figures.beside_data(
            found, with_units(detector.space.columns), half_widths=params.half_widths.get(key), **look
        )
        save(figure, Path(snakemake.output[0]) / key)
