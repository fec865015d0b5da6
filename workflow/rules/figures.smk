# Figures: PDF for notes, PNG for the report. Each kind declares itself in hepad/figures; this makes a rule of it.
import tempfile

CAPTIONS = tempfile.TemporaryDirectory(prefix="hepad-captions-") if workflow.is_main_process else None


def figure_of(kind, wildcards):
    return figure_jobs.Subject(PLAN, kind, dict(wildcards.items()))


def inputs_of(kind):
    """What a job of the kind reads. A function of its own, since all rules of a loop share the loop's variable."""

    def of_job(wildcards):
        found = figure_jobs.inputs(figure_of(kind, wildcards))
        return {name: [f"results/{path}" for path in paths] for name, paths in found.items()}

    return of_job


def told_to(kind):
    return lambda wildcards: figure_jobs.told(figure_of(kind, wildcards))


def code_of_figure(kind):
    """Digests of what draws it, and of the detectors whose models it loads."""
    if not any(pattern.endswith(".safetensors") for pattern in kind["reads"].values()):
        return [kind["code"]]
    return lambda wildcards: sorted(
        {kind["code"], *(PLAN["detectors"][name]["code"] for name in figure_of(kind, wildcards).detectors)}
    )


def outputs_of(kind):
    """What the kind draws, with its captions for the report: a PDF and a PNG, or a folder with those of each detector."""
    for (pattern, shown), caption in zip(kind["draws"].items(), kind["captions"], strict=True):
        folder, _, detector = pattern.partition("/{detector}")
        words = figure_jobs.words_of(pattern)
        how = {
            "category": shown["category"],
            "labels": shown["labels"] or {word: f"{{{word}}}" for word in words},
            "caption": written(caption, pattern, words),
        }
        if detector or folder != pattern:
            yield report(directory(f"results/figures/{folder}"), patterns=["{detector}.png"], **how)
        else:
            yield f"results/figures/{pattern}.pdf"
            yield report(f"results/figures/{pattern}.png", **how)


def written(caption, pattern, words):
    """The file that the report reads a caption from; jobs need none."""
    if CAPTIONS is None:
        return None
    path = Path(CAPTIONS.name, *pattern.split("/")[1:2]).with_suffix(".rst")
    path.write_text(caption.format(**{word: f"{{{{ snakemake.wildcards.{word} }}}}" for word in words}))
    return str(path)


def named_after(kind):
    """Where its log and benchmark are."""
    words = figure_jobs.words_of(next(iter(kind["draws"])))
    each = [f"{{{word}}}" for word in words if word not in ("task", "detector")]
    return "/".join(["figures", *(["{task}"] if "task" in words else []), kind["name"], *each])


for kind in PLAN["figures"].values():

    rule:
        name:
            f"plot_{kind['name']}"
        input:
            unpack(inputs_of(kind)),
        output:
            *outputs_of(kind),
        params:
            code=code_of_figure(kind),
            kind=kind["name"],
            style=config["style"],
            told=told_to(kind),
        log:
            f"results/logs/{named_after(kind)}.log",
        benchmark:
            f"results/benchmarks/{named_after(kind)}.tsv"
        conda:
            "../../environment.yml"
        priority: kind["priority"]
        script:
            "../scripts/figure.py"
