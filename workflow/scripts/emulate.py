"""Scores of a detector, its float student and its fixed-point students, compiled once, of each sample of a task."""

from pathlib import Path

import torch

from hepad import detectors
from hepad.errors import report_errors
from hepad.evaluation.scores import read_scores, score, write_scores
from hepad.events import Events
from hepad.representations.features import Features
from hepad.trigger import student
from hepad.trigger.fixed_point import Emulation, Format, of_events, thresholds
from hepad.trigger.rate_tables import declared_scale

VECTORS_OF = 100_000  # events of the test background, at most

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, folder = snakemake.params, Path(snakemake.output[0])
    pupil = student.load(snakemake.input.student)
    ranges = Features.read_split(snakemake.input.background, "train").x[:10_000]
    engines = {"detector/teacher": detectors.load(snakemake.input.teacher), "student/float": pupil}
    projects = {}
    for form in map(Format.of, params.formats):
        project = folder / f"{form.width}_{'by_layer' if form.integer is None else form.integer}"
        engines[f"student/{form.label}"] = Emulation(pupil, form, ranges, project)
        projects[f"student/{form.label}"] = project
    loaded = {key: ("seen", engine) for key, engine in engines.items()}
    for sample, path in zip(params.samples, snakemake.input.tests, strict=True):
        write_scores(folder / f"{sample}.h5", score(loaded, {"seen": Features.blocks(path)}))
    background, scored = params.samples[0], of_events(*read_scores(folder / f"{params.samples[0]}.h5"))
    scale = declared_scale(background, {"rate": params.rate}, Events.table(snakemake.input.events).meta)
    events = Features.read(snakemake.input.tests[0], slice(VECTORS_OF)).x
    for key, project in projects.items():
        named = thresholds(scored, key, scale, params.khz, params.eps_b)
        engines[key].write_vectors(project.with_name(f"{project.name}.vectors.csv"), events, named)
