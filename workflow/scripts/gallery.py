"""The gallery of a task: its most anomalous events, and what makes them so."""

from pathlib import Path

from hepad.config import gallery
from hepad.config.results import Results
from hepad.errors import report_errors

with report_errors(snakemake.log[0]):
    path = Path(snakemake.output[0])
    gallery.write(gallery.gallery(Results(path.parents[1]), snakemake.wildcards.task), path)
