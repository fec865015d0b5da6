"""One seeded chunk of a generated sample, as a ROOT file."""

from hepad.errors import told_plainly
from hepad.events import FIRST_IDS
from hepad.parts import shares
from hepad.progress import Progress
from hepad.samples import write_root
from hepad.simulation import pythia

with told_plainly(snakemake.log[0]):
    source, chunk = dict(snakemake.params.source), int(snakemake.wildcards.chunk)
    total, chunks, seed = source.pop("jets"), source.pop("chunks"), source.pop("seed")
    jets = shares(total, chunks)[chunk]
    progress = Progress(f"{snakemake.wildcards.sample} {chunk}", snakemake.log[0])
    with progress.stage("generate", jets, "jets") as stage:
        events = pythia.generate(
            snakemake.input[0],
            jets,
            seed=1000 * seed + chunk,
            selection=snakemake.params.selection,
            first_event_id=chunk * FIRST_IDS,
            progress=stage.reach,
            **source,
        )
    write_root(events, snakemake.output[0])
