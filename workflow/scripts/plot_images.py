"""Single and average jet images of a task's samples, without filter and with two filters."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.events import Events
from hepad.figures import average_images, jet_images
from hepad.representations import JetImage
from hepad.style import save, style

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    names = [snakemake.params.labels[name] for name in snakemake.params.samples]
    events = {n: Events.read(path, slice(0, 5000)) for n, path in zip(names, snakemake.input, strict=True)}
    versions = {"no filter": 0, r"$\sigma_G$ = 1": 1, r"$\sigma_G$ = 2": 2}
    images = {n: {v: JetImage(sigma=s)(e[:1])[0, 0].numpy() for v, s in versions.items()} for n, e in events.items()}
    save(jet_images(images, snakemake.params.style), Path(snakemake.output[0]).with_suffix(""))
    average = {f"{n}, {len(e)} jets": JetImage(sigma=0)(e).mean(0)[0].numpy() for n, e in events.items()}
    save(average_images(average, snakemake.params.style), Path(snakemake.output[1]).with_suffix(""))
