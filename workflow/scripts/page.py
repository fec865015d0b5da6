"""The front page of the run, and the summary that the report begins with."""

from pathlib import Path

from hepad.config import overview
from hepad.errors import report_errors

with report_errors(snakemake.log[0]):
    overview.write(Path(snakemake.output.page).parent)
