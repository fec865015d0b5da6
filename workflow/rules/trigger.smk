# From scores to a trigger: rates, and the checks of a score. Nothing here feeds a training of the task.
rule rates:
    input:
        scores=files("scores/{task}/{samples}.h5"),
        events=files("events/{samples}.h5"),
        models=files("models/{task}/{trainings}.safetensors"),
        menu=lambda w: loading.menu_tables(subjects.Subject(PLAN, w).menu),
    output: "results/rates/{task}.json"
    params:
        code=code_of("rates"),
        samples=value("samples"),
        rate=value("rate"),
        menu=value("menu"),
        khz=config["evaluation"]["rates_khz"],
        eps_b=config["evaluation"]["eps_b"],
    log: "results/logs/rates/{task}.log"
    benchmark: "results/benchmarks/rates/{task}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/rates.py"


rule tabulate_rates:
    input: files_of_tasks("rates/{task}.json")
    output: report("results/rates.csv", caption="../report/rates_table.rst", category="Tables")
    params:
        code=code_of("tabulate_rates"),
        tasks=list(TASKS),
    log: "results/logs/tabulate_rates.log"
    benchmark: "results/benchmarks/tabulate_rates.tsv"
    conda: "../../environment.yml"
    script: "../scripts/tabulate_rates.py"


# The seeds of the menu themselves, where a background has one.
rule tabulate_menu:
    input:
        scores=files("scores/{task}/{samples}.h5"),
        events=files("events/{samples}.h5"),
        menu=lambda w: loading.menu_tables(subjects.Subject(PLAN, w).menu),
    output: report("results/{task}_menu.csv", caption="../report/menu_table.rst", category="Tables")
    params:
        code=code_of("tabulate_menu"),
        samples=value("samples"),
        rate=value("rate"),
        menu=value("menu"),
    log: "results/logs/menu/{task}.log"
    benchmark: "results/benchmarks/menu/{task}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/tabulate_menu.py"


rule diagnose:
    input:
        events=files("events/{background}.h5"),
        scores=files("scores/{task}/{background}.h5"),
        models=files("models/{task}/{detectors}/{seed}.safetensors"),
    output: "results/diagnostics/{task}.json"
    params:
        code=code_of("diagnose", "detectors", "representations"),
        sample=value("background"),
        representations=lambda w: {r: config["representations"][r] for r in value("representations")(w)},
        detectors=value("representation_of"),
        seed=value("seed"),
        eps_b=config["evaluation"]["eps_b"],
        working_point=config["evaluation"]["working_point"],
    log: "results/logs/diagnose/{task}.log"
    benchmark: "results/benchmarks/diagnose/{task}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/diagnose.py"


rule tabulate_diagnostics:
    input:
        checks=files_of_tasks("diagnostics/{task}.json"),
        evaluations=files_of_tasks("evaluation/{task}/{signals}.json"),
        contamination=files_of_tasks("contamination/{task}/{contaminated}.json"),
    output: report("results/diagnostics.csv", caption="../report/diagnostics_table.rst", category="Diagnostics")
    params:
        code=code_of("tabulate_diagnostics"),
        backgrounds={task: entry["background"] for task, entry in TASKS.items()},
    log: "results/logs/tabulate_diagnostics.log"
    benchmark: "results/benchmarks/tabulate_diagnostics.tsv"
    conda: "../../environment.yml"
    script: "../scripts/tabulate_diagnostics.py"


# A training of its own on background with some signal in it, for the report alone: its model is not kept.
rule contaminate:
    input:
        background=files("features/{representation}/{background}.train.h5"),
        signal=files("features/{representation}/{first_signal}.train.h5"),
        background_test=files("features/{representation}/{background}.test.h5"),
        signal_test=files("features/{representation}/{first_signal}.test.h5"),
    output: "results/contamination/{task}/{detector}.json"
    params:
        code=code_of("contaminate", "detector"),
        spec=value("spec"),
        fractions=config["evaluation"]["contamination"],
        signal=value("first_signal"),
        seed=value("seed"),
    log: "results/logs/contaminate/{task}/{detector}.log"
    benchmark: "results/benchmarks/contaminate/{task}/{detector}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/contaminate.py"
