"""Originals beside reconstructions, one jet of every sample, for every detector that reconstructs images."""

from itertools import product
from pathlib import Path

import torch

from hepad import detectors
from hepad.errors import report_errors
from hepad.figures import reconstructions
from hepad.figures.style import save, style
from hepad.representations.features import Features

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    params = snakemake.params
    keys = product(params.samples, params.representations)
    images = {key: Features.read(path, slice(1)).x for key, path in zip(keys, snakemake.input.features, strict=True)}
    names = [params.labels[sample] for sample in params.samples]
    for (name, representation), path in zip(params.detectors.items(), snakemake.input.models, strict=True):
        detector, x = detectors.load(path), torch.cat([images[s, representation] for s in params.samples])
        pictures = (x[:, 0].numpy(), detector.reconstruct(x)[:, 0].numpy(), detector.score(x).numpy())
        figure = reconstructions(*pictures, params.style, names=names, half_widths=params.half_widths[name])
        save(figure, Path(snakemake.output[0]) / name)
