"""Numbers with uncertainties of one signal against the background of its task, detector by detector."""

from hepad.errors import report_errors
from hepad.evaluation.roc import evaluate, to_json
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import rows_and_events
from hepad.storage.files import write_json

with report_errors(snakemake.log[0]):
    points = {"eps_b": snakemake.params.eps_b, "eps_s": snakemake.params.eps_s}
    groups, records = {**snakemake.params.groups, "supervised": "supervised"}, []
    for paths in ((snakemake.input.background, snakemake.input.signal), snakemake.input.supervised):
        samples = dict(zip(("background", "signal"), (read_scores(path)[0] for path in paths), strict=True))
        for name in samples["background"]:
            detector, seed = name.split("/")
            b, s = (rows_and_events(of, scores.weighted(name)) for of, scores in samples.items())
            record = {**snakemake.wildcards, "detector": detector, "seed": int(seed), "group": groups[detector]}
            records.append({**record, "evaluation": to_json(evaluate(b[0], s[0], events=(b[1], s[1]), **points))})
    write_json(snakemake.output[0], records)
