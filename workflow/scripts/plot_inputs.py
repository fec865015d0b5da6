"""Distributions of the vector's variables in background and signals: do the samples look as they should?"""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.features import Features
from hepad.figures import input_histograms
from hepad.representations.vector import with_units
from hepad.style import save, style

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    features = [Features.read(path) for path in snakemake.input]
    names, space = [snakemake.params.labels[name] for name in snakemake.params.samples], features[0].space
    values = {n: f.x.flatten(1)[:, space.pixels :].numpy() for n, f in zip(names, features, strict=True)}
    background = values.pop(names[0])
    figure = input_histograms(
        with_units(space.columns), background, values, snakemake.params.style, background_name=names[0]
    )
    save(figure, Path(snakemake.output[0]).with_suffix(""))
