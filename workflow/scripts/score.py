"""Scores of one sample's test part under every detector of a task."""

from itertools import product

import torch

from hepad import detectors
from hepad.device import resolve
from hepad.errors import told_plainly
from hepad.features import Features, write_scores

with told_plainly(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, resolve(snakemake.config["device"], snakemake.resources.gpu)
    features = dict(zip(params.representations, map(Features.read, snakemake.input.features), strict=True))
    scores = {}
    for (name, seed), path in zip(product(params.detectors, params.seeds), snakemake.input.models, strict=True):
        detector = detectors.load(path).to(device)
        scores[f"{name}/{seed}"] = detector.score(features[params.detectors[name]].x).numpy()
    write_scores(snakemake.output[0], scores, next(iter(features.values())))
