"""Signal efficiencies of a detector, its float student and its fixed-point students: table and figure."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.evaluation.scores import read_scores
from hepad.events import Events
from hepad.figures.student import student_efficiencies
from hepad.figures.style import save, style
from hepad.storage.files import write_rows
from hepad.trigger.fixed_point import COLUMNS, compare, of_events
from hepad.trigger.working_points import declared_scale

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    params, labels, folder = snakemake.params, snakemake.params.labels, Path(snakemake.input.scores)
    names = (params.background, *params.signals)
    samples = {name: of_events(*read_scores(folder / f"{name}.h5")) for name in names}
    scale = declared_scale(params.background, {"rate": params.rate}, Events.table(snakemake.input.events).meta)
    of = {n: compare(samples[params.background], samples[n], scale, params.khz, params.eps_b) for n in params.signals}
    write_rows(snakemake.output.table, COLUMNS, [{"signal": n, **row} for n, rows in of.items() for row in rows])
    rows = [{**row, "signal": labels[n]} for n, rows in of.items() for row in rows]
    shown = {"detector/teacher": labels[params.detector]}
    names = {row["engine"]: shown.get(row["engine"], row["engine"].replace("/", ", ")) for row in rows}
    figure = student_efficiencies(rows, names, params.style, title=labels[params.background])
    save(figure, Path(snakemake.output.figure).with_suffix(""))
