"""ε_S and significance against ε_B, and against the rate where there is one: a line and a band per detector."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.figures import trigger_curves
from hepad.io import read_json
from hepad.style import save, style
from hepad.tables import read_records
from hepad.trigger import band

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    labels, wildcards = snakemake.params.labels, snakemake.wildcards
    records = read_records([snakemake.input.evaluation], {**labels, "ceiling": "gradient-boosted trees"})
    trainings, groups = {}, {record["label"]: record["group"] for record in records}
    for record in records:
        trainings.setdefault(record["label"], []).append(record["evaluation"])
    khz = next((record["scale_khz"] for record in read_json(snakemake.input.rates)), None)
    bands = {name: band(of) for name, of in trainings.items()}
    title = " → ".join(labels[name] for name in (snakemake.params.background, wildcards.signal))
    figure = trigger_curves(bands, groups, snakemake.params.style, khz=khz, title=title)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
