"""What each criterion chooses and what it costs, for all tasks, signals and energy-based detectors."""

from hepad.blindness import write_prices
from hepad.errors import told_plainly
from hepad.io import read_json

with told_plainly(snakemake.log[0]):
    write_prices(snakemake.output[0], [record for path in snakemake.input for record in read_json(path)])
