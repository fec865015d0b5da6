# Figures: PDF for notes, PNG for the report. Each kind declares itself in hepad/figures; the loop makes a rule of it.
import tempfile

CAPTIONS = tempfile.TemporaryDirectory(prefix="hepad-captions-") if workflow.is_main_process else None


def inputs_of(kind):
    """What a job of the kind reads; a function of its own, since all rules of a loop share the loop's variable."""
    reads = {name: files(pattern, which=kind["detectors"]) for name, pattern in kind["reads"].items()}
    return lambda w: {name: paths(w) for name, paths in reads.items()}


def parameters_of(kind):
    return lambda w: subjects.parameters(kind, subjects.Subject(PLAN, w, kind["detectors"]))


def outputs_of(kind):
    """What the kind draws, with captions for the report: a PDF and a PNG, or a folder with those of each detector."""
    for drawn in subjects.drawn_by(kind):
        marks = {"category": drawn.category, "labels": drawn.labels}
        if CAPTIONS:  # the report reads a file; jobs of batch systems make none
            marks["caption"] = os.path.join(CAPTIONS.name, f"{os.path.basename(drawn.path)}.rst")
            Path(marks["caption"]).write_text(drawn.caption)
        if drawn.folder:
            yield report(directory(f"results/figures/{drawn.path}"), patterns=["{detector}.png"], **marks)
        else:
            yield from (f"results/figures/{drawn.path}.pdf", report(f"results/figures/{drawn.path}.png", **marks))


for kind in PLAN["figures"].values():

    rule:
        name: f"plot_{kind['name']}"
        input: unpack(inputs_of(kind))
        output: *outputs_of(kind)
        params:
            code=with_classes(kind["code"], kind["loads"], kind["detectors"]),
            kind=kind["name"],
            style=config["style"],
            parameters=parameters_of(kind),
        log: f"results/logs/figures/{subjects.record_of(kind)}.log"
        benchmark: f"results/benchmarks/figures/{subjects.record_of(kind)}.tsv"
        conda: "../../environment.yml"
        priority: kind["priority"]
        script: "../scripts/figure.py"
