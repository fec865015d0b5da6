"""Distributions of the vector's variables, or of the features of all objects, in background and signals: do the samples
look as they should?"""

from pathlib import Path

from hepad.errors import report_errors
from hepad.figures import input_histograms
from hepad.figures.style import save, style
from hepad.representations import occupied
from hepad.representations.event_vector import with_units
from hepad.representations.features import Features

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    features = [Features.read(path, slice(100_000)) for path in snakemake.input]
    names, space = [snakemake.params.labels[name] for name in snakemake.params.samples], features[0].space
    columns, x = with_units(space.columns), [f.x.flatten(1)[:, space.pixels :] for f in features]
    if space.objects:  # those that are there, of all kinds together
        columns = with_units(tuple(name.rpartition("_")[2] for name in space.columns[: space.shape[-1]]))
        x = [f.x[occupied(f.x).squeeze(-1)] for f in features]
    values = {n: of_sample.numpy() for n, of_sample in zip(names, x, strict=True)}
    background = values.pop(names[0])
    figure = input_histograms(columns, background, values, snakemake.params.style, background_name=names[0])
    save(figure, Path(snakemake.output[0]).with_suffix(""))
