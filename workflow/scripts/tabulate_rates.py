"""Working points of all tasks in kHz."""

from hepad.errors import told_plainly
from hepad.io import read_json
from hepad.trigger import write_rates

with told_plainly(snakemake.log[0]):
    write_rates(snakemake.output[0], dict(zip(snakemake.params.tasks, map(read_json, snakemake.input), strict=True)))
