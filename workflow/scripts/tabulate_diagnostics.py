"""All checks of all detectors."""

from hepad.checks import joined, write_checks
from hepad.errors import told_plainly
from hepad.io import read_json
from hepad.tables import read_records

with told_plainly(snakemake.log[0]):
    checks = [record for path in snakemake.input.checks for record in read_json(path)]
    evaluations, contamination = (
        read_records(snakemake.input.evaluations),
        map(read_json, snakemake.input.contamination),
    )
    records = joined(checks, evaluations, list(contamination), snakemake.params.backgrounds)
    write_checks(snakemake.output[0], records)
