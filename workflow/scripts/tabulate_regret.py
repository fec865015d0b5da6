"""What each detector loses to the simple opponents on its worst signal, over all tasks."""

from hepad.errors import report_errors
from hepad.evaluation.areas import areas
from hepad.evaluation.latex import write_regret_latex
from hepad.evaluation.regret import regrets, write_regret
from hepad.evaluation.scores import read_scores
from hepad.evaluation.tables import read_records
from hepad.storage.files import write_json

paths, output, params = snakemake.input, snakemake.output, snakemake.params
with report_errors(snakemake.log[0]):
    records = read_records(paths.evaluations)
    scores = {tuple(place): read_scores(path)[0] for place, path in zip(params.places, paths.scores, strict=True)}
    rows = regrets(records, areas(records, scores, params.backgrounds), params.compared_at)
    write_regret(output.table, rows)
    write_json(output.records, rows)
    write_regret_latex(output.tex, rows, params.labels, params.searches)
