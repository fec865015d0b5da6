"""Numbers with uncertainties of one signal against the background of its task, detector by detector."""

from hepad.errors import told_plainly
from hepad.evaluation import evaluate, to_json
from hepad.features import read_scores
from hepad.io import write_json

with told_plainly(snakemake.log[0]):
    points = {"eps_b": snakemake.params.eps_b, "eps_s": snakemake.params.eps_s}
    groups, records = {**snakemake.params.groups, "ceiling": "ceiling"}, []
    for paths in ((snakemake.input.background, snakemake.input.signal), snakemake.input.ceiling):
        (background, about_background), (signal, about_signal) = map(read_scores, paths)
        weights = {"background_weights": about_background["weight"], "signal_weights": about_signal["weight"]}
        for name, scores in background.items():
            detector, seed = name.split("/")
            result = evaluate(scores, signal[name], **points, **weights)
            record = {**snakemake.wildcards, "detector": detector, "seed": int(seed), "group": groups[detector]}
            records.append({**record, "evaluation": to_json(result)})
    write_json(snakemake.output[0], records)
