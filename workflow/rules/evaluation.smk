# Scores of the test part, and the numbers made from them.
rule score:
    input:
        models=files("models/{task}/{trainings}.safetensors"),
        features=files("features/{representations}/{sample}/{chunk}.test.h5"),
    output: "results/scores/{task}/{sample}/{chunk}.h5"
    params:
        code=code_of("score", "detectors"),
        representations=value("representations"),
        detectors=value("representation_of"),
        runs=value("runs"),
    log: "results/logs/score/{task}/{sample}/{chunk}.log"
    benchmark: "results/benchmarks/score/{task}/{sample}/{chunk}.tsv"
    conda: "../../environment.yml"
    resources:
        gpu=1 if DEVICE == "cuda" else 0,
    script: "../scripts/score.py"


rule gather_scores:
    input: lambda w: of_chunks("results/scores/{task}/{sample}/{chunk}.h5", w.sample, task=w.task)
    output: "results/scores/{task}/{sample}.h5"
    params:
        code=code_of("gather"),
    log: "results/logs/gather/scores/{task}/{sample}.log"
    benchmark: "results/benchmarks/gather/scores/{task}/{sample}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/gather.py"


rule supervised_trees:
    input:
        background=files("features/{supervised}/{background}.train.h5"),
        signal=files("features/{supervised}/{signal}.train.h5"),
        tests=files("features/{supervised}/{background}.test.h5", "features/{supervised}/{signal}.test.h5"),
    output:
        background="results/supervised/{task}/{signal}_background.h5",
        signal="results/supervised/{task}/{signal}_signal.h5",
    params:
        code=code_of("supervised"),
    log: "results/logs/supervised/{task}/{signal}.log"
    benchmark: "results/benchmarks/supervised/{task}/{signal}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/supervised.py"


rule evaluate:
    input:
        background=files("scores/{task}/{background}.h5"),
        signal="results/scores/{task}/{signal}.h5",
        supervised=expand("results/supervised/{{task}}/{{signal}}_{of}.h5", of=["background", "signal"]),
    output: "results/evaluation/{task}/{signal}.json"
    params:
        code=code_of("evaluate"),
        eps_b=config["evaluation"]["eps_b"],
        eps_s=config["evaluation"]["eps_s"],
        groups=value("groups"),
    log: "results/logs/evaluate/{task}/{signal}.log"
    benchmark: "results/benchmarks/evaluate/{task}/{signal}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/evaluate.py"


rule tabulate:
    input: files_of_tasks("evaluation/{task}/{signals}.json")
    output:
        auc=report("results/auc.csv", caption="../report/auc.rst", category="Tables"),
        efficiency=report("results/efficiency.csv", caption="../report/efficiency.rst", category="Tables"),
        rejection=report("results/rejection.csv", caption="../report/rejection.rst", category="Tables"),
        seed_spread=report("results/seed_spread.csv", caption="../report/seed_spread.rst", category="Tables"),
        dark_machines="results/dark_machines.csv",
        supervised="results/supervised.csv",
        efficiency_tex=expand("results/{task}_efficiency.tex", task=TASKS),
        rejection_tex=expand("results/{task}_rejection.tex", task=TASKS),
    params:
        code=code_of("tabulate"),
        labels=LABELS,
        searches=SEARCHES,
        compared_at=subjects.Subject(PLAN, {}).compared_at,
    log: "results/logs/tabulate.log"
    benchmark: "results/benchmarks/tabulate.tsv"
    conda: "../../environment.yml"
    script: "../scripts/tabulate.py"


rule tabulate_regret:
    input:
        evaluations=files_of_tasks("evaluation/{task}/{signals}.json"),
        scores=files_of_tasks("scores/{task}/{samples}.h5"),
    output:
        table=report("results/regret.csv", caption="../report/regret.rst", category="Tables"),
        records="results/regret.json",
        tex="results/regret.tex",
    params:
        code=code_of("tabulate_regret"),
        places=[(task, sample) for task, of in OF_TASKS.items() for sample in of.samples],
        backgrounds={task: of.background for task, of in OF_TASKS.items()},
        labels=LABELS,
        searches=SEARCHES,
        compared_at=subjects.Subject(PLAN, {}).compared_at,
    log: "results/logs/tabulate_regret.log"
    benchmark: "results/benchmarks/tabulate_regret.tsv"
    conda: "../../environment.yml"
    script: "../scripts/tabulate_regret.py"
