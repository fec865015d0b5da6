"""Scores of a detector, its float student and its fixed-point students, compiled once, of each sample of a task."""

from pathlib import Path

import torch

from hepad import detectors, student
from hepad.errors import told_plainly
from hepad.features import Features, score, write_scores
from hepad.fixed_point import Emulation, Format

with told_plainly(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, folder = snakemake.params, Path(snakemake.output[0])
    pupil = student.load(snakemake.input.student)
    ranges = Features.read_split(snakemake.input.background[0], "train").x[:10_000]
    engines = {"detector/teacher": detectors.load(snakemake.input.teacher), "student/float": pupil}
    for form in map(Format.of, params.formats):
        project = folder / f"{form.width}_{'by_layer' if form.integer is None else form.integer}"
        engines[f"student/{form.label}"] = Emulation(pupil, form, ranges, project)
    loaded = {key: ("seen", engine) for key, engine in engines.items()}
    for sample, path in zip(params.samples, snakemake.input.tests, strict=True):
        write_scores(folder / f"{sample}.h5", score(loaded, {"seen": Features.chunks(path)}))
