"""Some of the files of one sample to events, block by block: selection, checks, split."""

from hepad.errors import report_errors
from hepad.events import write_blocks
from hepad.progress import Progress
from hepad.samples.processes import of_process
from hepad.samples.sources import stream_of

with report_errors(snakemake.log[0]):
    params, name = snakemake.params, snakemake.wildcards.sample
    events = stream_of({**params.source, "files": params.files}, name=name, part=params.part, **params.entry)
    if params.process is not None:
        events = of_process(events, params.process)
    meta = write_blocks(snakemake.output[0], events)
    Progress(name, snakemake.log[0]).count(meta["counts"])
