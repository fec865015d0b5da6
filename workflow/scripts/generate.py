"""One seeded chunk of a generated sample, as a ROOT file."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.events import FIRST_IDS
from hepad.progress import Progress
from hepad.samples.root_output import write_root
from hepad.samples.simulation import cards, pythia
from hepad.samples.simulation.settings import Generation
from hepad.storage.chunks import shares

with report_errors(snakemake.log[0]):
    source = cards.located(snakemake.params.source, Path(snakemake.scriptdir).resolve().parents[1])
    chunk, chunks, seed = int(snakemake.wildcards.chunk), source.pop("chunks"), source.pop("seed")
    number = chunk - snakemake.params.first  # of the process, of a sum of processes
    jets, split = shares(source.pop("jets"), chunks)[number], source.pop("split")
    progress = Progress(f"{snakemake.wildcards.sample} {chunk}", snakemake.log[0])
    with progress.stage("generate", jets, "jets") as stage:
        settings = Generation(**source, selection=snakemake.params.selection)
        first, told = chunk * FIRST_IDS, stage.reach
        events = pythia.generate(settings, jets, 1000 * seed + chunk, first_event_id=first, split=split, progress=told)
    write_root(events, snakemake.output[0])
