"""All evaluations to tables; the supervised trees have a file of its own."""

from hepad.errors import report_errors
from hepad.evaluation.latex import write_latex
from hepad.evaluation.seed_spread import write_seed_spread
from hepad.evaluation.tables import SUPERVISED, read_records, write_csv, write_dark_machines, write_supervised

output, params = snakemake.output, snakemake.params
with report_errors(snakemake.log[0]):
    records = read_records(snakemake.input)
    blind = [record for record in records if record["group"] != "supervised"]
    for kind in ("auc", "efficiency", "rejection"):
        write_csv(output[kind], kind, blind)
    write_seed_spread(output.seed_spread, blind)
    write_dark_machines(output.dark_machines, blind)
    write_supervised(output.supervised, records)
    labels = params.labels | SUPERVISED
    labelled = [record | {"label": labels[record["detector"]]} for record in records]
    for i, (task, searched) in enumerate(params.searches.items()):
        of_task = {"task": task, "at": params.compared_at, "searched": searched}
        write_latex(output.efficiency_tex[i], "efficiency", labelled, **of_task)
        write_latex(output.rejection_tex[i], "rejection", labelled, **of_task)
