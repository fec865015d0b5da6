"""Scores of a detector, its float student and its fixed-point students, compiled once, of each sample of a task."""

from pathlib import Path

import torch

from hepad import detectors
from hepad.errors import report_errors
from hepad.evaluation.scores import score, write_scores
from hepad.representations.features import Features
from hepad.trigger import student
from hepad.trigger.fixed_point import Emulation, Format

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, folder = snakemake.params, Path(snakemake.output[0])
    pupil = student.load(snakemake.input.student)
    ranges = Features.read_split(snakemake.input.background, "train").x[:10_000]
    engines = {"detector/teacher": detectors.load(snakemake.input.teacher), "student/float": pupil}
    for form in map(Format.of, params.formats):
        project = folder / f"{form.width}_{'by_layer' if form.integer is None else form.integer}"
        engines[f"student/{form.label}"] = Emulation(pupil, form, ranges, project)
    loaded = {key: ("seen", engine) for key, engine in engines.items()}
    for sample, path in zip(params.samples, snakemake.input.tests, strict=True):
        write_scores(folder / f"{sample}.h5", score(loaded, {"seen": Features.blocks(path)}))
