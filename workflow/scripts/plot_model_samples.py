"""Samples of every energy-based detector of a task beside data, and the energy on the way to signals."""

from itertools import product
from pathlib import Path

from hepad import detectors, figures
from hepad.errors import report_errors
from hepad.evaluation import model_samples
from hepad.figures.style import save, style
from hepad.representations.event_vector import with_units
from hepad.representations.features import Features

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    params, out = snakemake.params, snakemake.output
    names = [params.labels[sample] for sample in params.samples]
    files = zip(product(names, params.representations), snakemake.input.features, strict=True)
    events = {key: Features.read(path, slice(2000)).x for key, path in files}
    for (name, representation), path in zip(params.detectors.items(), snakemake.input.models, strict=True):
        detector, look = detectors.load(path), {"config": params.style, "title": params.labels[name]}
        found = model_samples.look_into(detector, {n: events[n, representation] for n in names})
        columns = with_units(detector.space.columns)
        half_widths = params.half_widths.get(name)
        for samples, folder in ((found.samples, out.samples), (found.negatives, out.negatives)):
            save(figures.beside_data(samples, columns, half_widths=half_widths, **look), Path(folder) / name)
        save(figures.energy_paths(found.paths, background_name=names[0], **look), Path(out.paths) / name)
