"""Signal efficiencies of a detector, its float student and its fixed-point students."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.evaluation.scores import read_scores
from hepad.events import Events
from hepad.storage.files import write_json, write_rows
from hepad.trigger.fixed_point import COLUMNS, compare, of_events
from hepad.trigger.rate_tables import declared_scale

with report_errors(snakemake.log[0]):
    params, folder, rows = snakemake.params, Path(snakemake.input.scores), []
    background, *signals = params.samples
    samples = {name: of_events(*read_scores(folder / f"{name}.h5")) for name in params.samples}
    scale = declared_scale(background, {"rate": params.rate}, Events.table(snakemake.input.events).meta)
    for name in signals:
        of_signal = compare(samples[background], samples[name], scale, params.khz, params.eps_b)
        rows += [{"signal": name, **row} for row in of_signal]
    write_rows(snakemake.output.table, COLUMNS, rows)
    write_json(snakemake.output.comparison, rows)
