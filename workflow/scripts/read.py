"""Some of the files of one sample to events, chunk by chunk: selection, checks, split."""

from hepad.errors import told_plainly
from hepad.events import write_chunks
from hepad.progress import Progress
from hepad.samples import stream_of

with told_plainly(snakemake.log[0]):
    params, name = snakemake.params, snakemake.wildcards.sample
    events = stream_of({**params.source, "files": params.files}, name=name, part=params.part, **params.entry)
    meta = write_chunks(snakemake.output[0], events)
    Progress(name, snakemake.log[0]).say(f"counts: {meta['counts']}")
