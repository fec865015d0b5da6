"""All checks of all detectors."""

from hepad.diagnostics import COLUMNS, rows
from hepad.errors import told_plainly
from hepad.io import read_json
from hepad.tables import write_rows

with told_plainly(snakemake.log[0]):
    records = [record for path in snakemake.input for record in read_json(path)]
    write_rows(snakemake.output[0], COLUMNS, [row for record in records for row in rows(record)])
