"""Fit one detector on background events."""

import torch

from hepad import detectors, distributed
from hepad.checkpoint import Checkpoint
from hepad.errors import told_plainly
from hepad.features import Features
from hepad.io import write_json
from hepad.progress import Progress
from hepad.selection import save_trail

config, log = snakemake.config, snakemake.log[0]
with told_plainly(log), distributed.processes(config["device"], snakemake.resources.gpu) as device:
    torch.set_num_threads(snakemake.threads)
    background = [Features.read_split(snakemake.input.background[0], name) for name in ("train", "valid")]
    seed, spec = int(snakemake.wildcards.seed), snakemake.params.spec
    progress = Progress(f"{snakemake.wildcards.task} {snakemake.wildcards.detector}", log)
    checkpoint = Checkpoint(snakemake.params.checkpoint, {"spec": spec, "seed": seed}, config["checkpoint_seconds"])
    detector, fit = detectors.train(spec, *background, seed, device, progress=progress, checkpoint=checkpoint)
    if distributed.rank() == 0:
        save_trail(fit.trail, snakemake.output.trail)
        detectors.save(detector, snakemake.output.model, spec)
        write_json(snakemake.output.history, {"history": fit.history, "facts": fit.facts})
        checkpoint.delete()
