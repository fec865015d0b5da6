"""All checks of all detectors."""

from hepad.errors import report_errors
from hepad.evaluation.checks import joined, write_checks
from hepad.evaluation.tables import read_records
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]):
    checks = [record for path in snakemake.input.checks for record in read_json(path)]
    evaluations, contamination = (
        read_records(snakemake.input.evaluations),
        map(read_json, snakemake.input.contamination),
    )
    records = joined(checks, evaluations, list(contamination), snakemake.params.backgrounds)
    write_checks(snakemake.output[0], records)
