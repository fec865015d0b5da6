"""One seeded chunk of a generated sample, as a ROOT file."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.events import FIRST_IDS
from hepad.progress import Progress
from hepad.samples.root_output import write_root
from hepad.samples.simulation import cards, pythia
from hepad.storage.chunks import shares

with report_errors(snakemake.log[0]):
    source = cards.located(snakemake.params.source, Path(snakemake.scriptdir).resolve().parents[1])
    chunk, chunks, seed = int(snakemake.wildcards.chunk), source.pop("chunks"), source.pop("seed")
    source["jets"] = shares(source["jets"], chunks)[chunk]
    progress = Progress(f"{snakemake.wildcards.sample} {chunk}", snakemake.log[0])
    with progress.stage("generate", source["jets"], "jets") as stage:
        events = pythia.generate(
            **source,
            seed=1000 * seed + chunk,
            selection=snakemake.params.selection,
            first_event_id=chunk * FIRST_IDS,
            progress=stage.reach,
        )
    write_root(events, snakemake.output[0])
