"""Events drawn from every model of a task that can generate, beside data."""

from pathlib import Path

from hepad import detectors, figures
from hepad.errors import report_errors
from hepad.evaluation import model_samples
from hepad.figures.style import save, style
from hepad.representations.event_vector import with_units
from hepad.representations.features import Features

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    params, name = snakemake.params, snakemake.params.labels[snakemake.params.background]
    for key, model, features in zip(params.detectors, snakemake.input.models, snakemake.input.features, strict=True):
        detector = detectors.load(model)
        found = model_samples.generated(detector, name, Features.read(features, slice(2000)).x)
        look = {"config": params.style, "title": params.labels[key], "score": detector.score_name}
        figure = figures.beside_data(
            found, with_units(detector.space.columns), half_widths=params.half_widths.get(key), **look
        )
        save(figure, Path(snakemake.output[0]) / key)
