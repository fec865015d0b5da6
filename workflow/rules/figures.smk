# Figures: PDF for notes, PNG for the report. Each kind declares itself in hepad/figures; the loop makes a rule of it.
import tempfile

CAPTIONS = tempfile.TemporaryDirectory(prefix="hepad-captions-") if workflow.is_main_process else None


def inputs_of(kind):
    """What a job of the kind reads; a function of its own, since all rules of a loop share the loop's variable."""
    reads = {name: files(pattern, kind["detectors"]) for name, pattern in kind["reads"].items()}
    return lambda w: {name: paths(w) for name, paths in reads.items()}


def told_to(kind):
    return lambda w: subjects.told(kind, subjects.Subject(PLAN, w, kind["detectors"]))


def outputs_of(kind):
    """What the kind draws, with captions for the report: a PDF and a PNG, or a folder with those of each detector."""
    for (pattern, shown), caption in zip(kind["draws"].items(), kind["captions"], strict=True):
        path, words = f"results/figures/{pattern}", subjects.words_of(pattern)
        marks = {"category": shown["category"], "labels": shown["labels"] or {word: f"{{{word}}}" for word in words}}
        if CAPTIONS:  # the report reads a file; jobs of batch systems make none
            file = Path(CAPTIONS.name, pattern.split("/")[1]).with_suffix(".rst")
            file.write_text(caption.format(**{word: f"{{{{ snakemake.wildcards.{word} }}}}" for word in words}))
            marks["caption"] = str(file)
        if "detector" in words:
            yield report(directory(path.removesuffix("/{detector}")), patterns=["{detector}.png"], **marks)
        else:
            yield from (f"{path}.pdf", report(f"{path}.png", **marks))


def place_of(kind):
    """Where its log and benchmark are, and what they are called."""
    words = [word for word in subjects.words_of(next(iter(kind["draws"]))) if word != "detector"]
    each = [f"{{{word}}}" for word in words]
    return "/".join(["figures", *each[: "task" in words], kind["name"], *each["task" in words :]])


def figures():
    """Folders, and the PDFs of those that are in none."""
    drawn = ((pattern, subject.wildcards) for kind, subject in subjects.figures(PLAN) for pattern in kind["draws"])
    paths = (f"results/figures/{pattern}.pdf".replace("/{detector}.pdf", "").format(**words) for pattern, words in drawn)
    return list(paths)


for kind in PLAN["figures"].values():

    rule:
        name: f"plot_{kind['name']}"
        input: unpack(inputs_of(kind))
        output: *outputs_of(kind)
        params:
            code=with_classes(kind["code"], kind["loads"], kind["detectors"]),
            kind=kind["name"],
            style=config["style"],
            told=told_to(kind),
        log: f"results/logs/{place_of(kind)}.log"
        benchmark: f"results/benchmarks/{place_of(kind)}.tsv"
        conda: "../../environment.yml"
        priority: kind["priority"]
        script: "../scripts/figure.py"
