"""Fit one detector on background events."""

import torch

from hepad import detectors
from hepad.device import resolve
from hepad.errors import told_plainly
from hepad.features import Features
from hepad.io import write_json
from hepad.progress import Progress
from hepad.selection import save_trail

with told_plainly(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    background = Features.read(snakemake.input.background[0])
    device = resolve(snakemake.config["device"], snakemake.resources.gpu)
    seed, spec = int(snakemake.wildcards.seed), snakemake.params.spec
    detector = detectors.build(spec, background.space, seed).to(device)
    train, valid = (background.of_split(name).x.to(device) for name in ("train", "valid"))
    progress = Progress(f"{snakemake.wildcards.task} {snakemake.wildcards.detector}", snakemake.log[0])
    generator = torch.Generator(device).manual_seed(seed)
    fit = detector.fit(train, valid, generator=generator, progress=progress)
    save_trail(fit.trail, snakemake.output.trail)
    detectors.save(detector, snakemake.output.model, spec)
    write_json(snakemake.output.history, {"history": fit.history, "facts": fit.facts})
