"""Raw quantities of a task's samples beside each other, and a refusal where a comparison would not be fair."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.events import Events
from hepad.figures import input_histograms
from hepad.figures.style import save, style
from hepad.samples import data_quality

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    names = snakemake.params.samples
    events = {name: Events.read(path, slice(100_000)) for name, path in zip(names, snakemake.input, strict=True)}
    if not snakemake.params.any_window:
        data_quality.check_comparable(events)
    labels = snakemake.params.labels
    columns, values = data_quality.shared_quantities({labels[name]: of_sample for name, of_sample in events.items()})
    background = values.pop(labels[names[0]])
    figure = input_histograms(columns, background, values, snakemake.params.style, background_name=labels[names[0]])
    save(figure, Path(snakemake.output[0]).with_suffix(""))
