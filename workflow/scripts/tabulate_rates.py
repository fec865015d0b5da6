"""Working points of all tasks in kHz."""

from hepad.errors import report_errors
from hepad.storage.files import read_json
from hepad.trigger.rate_tables import write_rates

with report_errors(snakemake.log[0]):
    write_rates(snakemake.output[0], dict(zip(snakemake.params.tasks, map(read_json, snakemake.input), strict=True)))
