"""One job of figures of any kind: from files to PDF and PNG."""

from pathlib import Path

from hepad.config import subjects
from hepad.errors import report_errors
from hepad.figures import registry

with report_errors(snakemake.log[0]):
    params = snakemake.params
    job = subjects.job(params.parameters, dict(snakemake.input.items()), params.style)
    registry.draw(params.kind, job, Path(snakemake.output[0]).parents[1])
