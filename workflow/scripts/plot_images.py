"""Single and average jet images of a task's samples, in the window of its detectors, without filter and with two."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.events import Events
from hepad.figures import average_images, jet_images
from hepad.figures.style import save, style
from hepad.representations import JetImage

FILTERS = {"no filter": 0, r"$\sigma_G$ = 1": 1, r"$\sigma_G$ = 2": 2}

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    names = [snakemake.params.labels[name] for name in snakemake.params.samples]
    events = {n: Events.read(path, slice(0, 5000)) for n, path in zip(names, snakemake.input, strict=True)}
    filters = {text: JetImage(sigma=sigma, **snakemake.params.image) for text, sigma in FILTERS.items()}
    plain = filters["no filter"]
    look = {"config": snakemake.params.style, "half_widths": (plain.eta_range, plain.phi_range)}
    images = {n: {text: of(e[:1])[0, 0].numpy() for text, of in filters.items()} for n, e in events.items()}
    save(jet_images(images, **look), Path(snakemake.output[0]).with_suffix(""))
    average = {f"{n}, {len(e)} jets": plain(e).mean(0)[0].numpy() for n, e in events.items()}
    save(average_images(average, **look), Path(snakemake.output[1]).with_suffix(""))
