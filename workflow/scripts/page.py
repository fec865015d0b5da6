"""The front page of the run, and the summary that the report begins with."""

from pathlib import Path

from hepad.config import front_page
from hepad.errors import report_errors

with report_errors(snakemake.log[0]):
    front_page.write(Path(snakemake.output.page).parent)
