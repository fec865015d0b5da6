# The pages of the run: the events of each task, and the front page, which is made when all else is there, and anew when
# any of it, the configuration or the page itself changes.
rule gallery:
    input:
        models=files("models/{task}/{trainings}.safetensors"),
        scores=files("scores/{task}/{samples}.h5"),
        events=files("events/{samples}.h5"),
    output: "results/gallery/{task}.html"
    params:
        code=code_of("gallery", "detectors", "representations"),
        labels=lambda w: subjects.Subject(PLAN, w).labels(["samples", "detectors"]),
    log: "results/logs/gallery/{task}.log"
    benchmark: "results/benchmarks/gallery/{task}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/gallery.py"


rule page:
    input:
        tables=tables(),
        regrets="results/regret.json",
        evaluations=files_of_tasks("evaluation/{task}/{signals}.json"),
        histories=files_of_tasks("models/{task}/{trainings}.json"),
        galleries=expand("results/gallery/{task}.html", task=TASKS),
        figures=[f"results/figures/{path}" for path in subjects.figure_files(PLAN)],
    output:
        page="results/index.html",
        summary="results/summary.html",
    params:
        code=code_of("page"),
        config=plan.digest(config),
    log: "results/logs/page.log"
    benchmark: "results/benchmarks/page.tsv"
    conda: "../../environment.yml"
    script: "../scripts/page.py"
