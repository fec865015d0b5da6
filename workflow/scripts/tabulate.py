"""All evaluations to tables; the supervised ceiling has a file of its own."""

from hepad.bands import write_bands
from hepad.errors import told_plainly
from hepad.tables import read_records, write_csv, write_dark_machines, write_latex

with told_plainly(snakemake.log[0]):
    records = read_records(snakemake.input)
    blind = [record for record in records if record["group"] != "ceiling"]
    for kind in ("auc", "efficiency", "rejection"):
        write_csv(snakemake.output[kind], kind, blind)
    write_bands(snakemake.output.bands, blind)
    write_dark_machines(snakemake.output.dark_machines, blind)
    write_csv(snakemake.output.ceiling, "auc", [r for r in records if r["group"] == "ceiling"])
    for task, efficiency, rejection in zip(
        snakemake.params.tasks, snakemake.output.efficiency_tex, snakemake.output.rejection_tex, strict=True
    ):
        write_latex(efficiency, "efficiency", records, task)
        write_latex(rejection, "rejection", records, task)
