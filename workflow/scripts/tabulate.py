"""All evaluations to tables; the supervised trees have a file of its own."""

from hepad.errors import report_errors
from hepad.evaluation.seed_spread import write_seed_spread
from hepad.evaluation.tables import read_records, write_csv, write_dark_machines, write_latex, write_supervised

with report_errors(snakemake.log[0]):
    records = read_records(snakemake.input)
    blind = [record for record in records if record["group"] != "supervised"]
    for kind in ("auc", "efficiency", "rejection"):
        write_csv(snakemake.output[kind], kind, blind)
    write_seed_spread(snakemake.output.seed_spread, blind)
    write_dark_machines(snakemake.output.dark_machines, blind)
    write_supervised(snakemake.output.supervised, records)
    for task, efficiency, rejection in zip(
        snakemake.params.tasks, snakemake.output.efficiency_tex, snakemake.output.rejection_tex, strict=True
    ):
        write_latex(efficiency, "efficiency", records, task)
        write_latex(rejection, "rejection", records, task)
