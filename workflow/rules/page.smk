# The front page: made when all else is there, and anew when any of it, the configuration or the page itself changes.
rule page:
    input:
        tables=tables(),
        regrets="results/regret.json",
        evaluations=files_of_tasks("evaluation/{task}/{signals}.json"),
        histories=files_of_tasks("models/{task}/{trainings}.json"),
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
