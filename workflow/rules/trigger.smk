# From scores to a trigger: rates, gains, turn-ons, and the checks of a score. Nothing here feeds a training of the task.


rule rates:
    input:
        scores=lambda w: expand(
            "results/scores/{task}/{sample}.h5", task=w.task, sample=SAMPLES_OF[w.task]
        ),
        events=lambda w: expand("results/events/{sample}.h5", sample=SAMPLES_OF[w.task]),
        models=lambda w: models_of(w.task),
        menu=lambda w: (config["samples"][TASKS[w.task]["background"]].get("menu") or {}).get("table", []),
    output:
        "results/rates/{task}.json",
    log:
        "results/logs/rates/{task}.log",
    benchmark:
        "results/benchmarks/rates/{task}.tsv"
    conda:
        "../../environment.yml"
    params:
        code=code_of("rates"),
        samples=lambda w: SAMPLES_OF[w.task],
        rate=lambda w: config["samples"][TASKS[w.task]["background"]].get("rate"),
        menu=lambda w: config["samples"][TASKS[w.task]["background"]].get("menu"),
        khz=config["evaluation"]["rates_khz"],
        eps_b=config["evaluation"]["eps_b"],
    script:
        "../scripts/rates.py"


rule tabulate_rates:
    input:
        expand("results/rates/{task}.json", task=TASKS),
    output:
        report(
            "results/rates.csv", caption="../report/rates_table.rst", category="Tables"
        ),
    log:
        "results/logs/tabulate_rates.log",
    benchmark:
        "results/benchmarks/tabulate_rates.tsv"
    conda:
        "../../environment.yml"
    params:
        code=code_of("tabulate_rates"),
        tasks=list(TASKS),
    script:
        "../scripts/tabulate_rates.py"


rule diagnose:
    input:
        events=lambda w: f"results/events/{TASKS[w.task]['background']}.h5",
        scores=lambda w: f"results/scores/{w.task}/{TASKS[w.task]['background']}.h5",
        models=lambda w: first_models_of(w.task),
    output:
        "results/diagnostics/{task}.json",
    log:
        "results/logs/diagnose/{task}.log",
    benchmark:
        "results/benchmarks/diagnose/{task}.tsv"
    conda:
        "../../environment.yml"
    params:
        code=lambda w: code_of("diagnose", TASKS[w.task]["detectors"], representations_of(w.task)),
        sample=lambda w: TASKS[w.task]["background"],
        representations=lambda w: {
            r: config["representations"][r] for r in representations_of(w.task)
        },
        detectors=lambda w: {
            d: representation_of(d) for d in TASKS[w.task]["detectors"]
        },
        seed=lambda w: seed_of(w.task),
        eps_b=config["evaluation"]["eps_b"],
        working_point=config["evaluation"]["working_point"],
    script:
        "../scripts/diagnose.py"


rule tabulate_diagnostics:
    input:
        checks=expand("results/diagnostics/{task}.json", task=TASKS),
        evaluations=[
            f"results/evaluation/{task}/{signal}.json"
            for task, entry in TASKS.items()
            for signal in entry["signals"]
        ],
        contamination=[path for task in TASKS for path in contaminations_of(task)],
    output:
        report(
            "results/diagnostics.csv",
            caption="../report/diagnostics_table.rst",
            category="Diagnostics",
        ),
    log:
        "results/logs/tabulate_diagnostics.log",
    benchmark:
        "results/benchmarks/tabulate_diagnostics.tsv"
    conda:
        "../../environment.yml"
    params:
        code=code_of("tabulate_diagnostics"),
        backgrounds={task: entry["background"] for task, entry in TASKS.items()},
    script:
        "../scripts/tabulate_diagnostics.py"


# A training of its own on background with some signal in it, for the report alone: its model is not kept.
rule contaminate:
    input:
        background=lambda w: features_of(
            TASKS[w.task]["background"], "train", representation_of(w.detector)
        ),
        signal=lambda w: features_of(
            TASKS[w.task]["signals"][0], "train", representation_of(w.detector)
        ),
        background_test=lambda w: features_of(
            TASKS[w.task]["background"], "test", representation_of(w.detector)
        ),
        signal_test=lambda w: features_of(
            TASKS[w.task]["signals"][0], "test", representation_of(w.detector)
        ),
    output:
        "results/contamination/{task}/{detector}.json",
    log:
        "results/logs/contaminate/{task}/{detector}.log",
    benchmark:
        "results/benchmarks/contaminate/{task}/{detector}.tsv"
    conda:
        "../../environment.yml"
    params:
        code=lambda w: code_of("contaminate", [w.detector]),
        spec=lambda w: loading.detector_spec(config["detectors"][w.detector]),
        fractions=config["evaluation"]["contamination"],
        signal=lambda w: TASKS[w.task]["signals"][0],
        seed=lambda w: seed_of(w.task),
    script:
        "../scripts/contaminate.py"
