# Figures: PDF for notes, PNG for the report. What there is one of per detector goes into a folder.


rule plot_efficiency:
    input:
        "results/evaluation/{task}/{signal}.json",
    output:
        "results/figures/{task}/efficiency_{signal}.pdf",
        report(
            "results/figures/{task}/efficiency_{signal}.png",
            caption="../report/efficiency_curves.rst",
            category="Signal efficiency",
            labels={"task": "{task}", "signal": "{signal}"},
        ),
    params:
        code=code_of("plot_efficiency"),
        style=config["style"],
        labels=labels(),
        background=lambda w: TASKS[w.task]["background"],
    log:
        "results/logs/figures/{task}/efficiency/{signal}.log",
    benchmark:
        "results/benchmarks/figures/{task}/efficiency/{signal}.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_efficiency.py"


rule plot_summary:
    input:
        lambda w: expand("results/evaluation/{task}/{signal}.json", task=w.task, signal=TASKS[w.task]["signals"]),
    output:
        "results/figures/{task}/auc.pdf",
        report(
            "results/figures/{task}/auc.png",
            caption="../report/auc_summary.rst",
            category="Summary",
            labels={"task": "{task}"},
        ),
    params:
        code=code_of("plot_summary"),
        style=config["style"],
        labels=labels(),
    log:
        "results/logs/figures/{task}/summary.log",
    benchmark:
        "results/benchmarks/figures/{task}/summary.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_summary.py"


rule plot_scores:
    input:
        lambda w: expand("results/scores/{task}/{sample}.h5", task=w.task, sample=SAMPLES_OF[w.task]),
    output:
        scores=report(
            directory("results/figures/{task}/scores"),
            patterns=["{detector}.png"],
            caption="../report/scores.rst",
            category="Scores",
            labels={"task": "{task}", "detector": "{detector}"},
        ),
        against=report(
            directory("results/figures/{task}/efficiency_against"),
            patterns=["{detector}.png"],
            caption="../report/efficiency_against.rst",
            category="Efficiency against pT and mass",
            labels={"task": "{task}", "detector": "{detector}"},
        ),
    params:
        code=code_of("plot_scores"),
        style=config["style"],
        labels=labels(),
        samples=lambda w: SAMPLES_OF[w.task],
        score_names=score_names(),
        seed=lambda w: seed_of(w.task),
        working_point=config["evaluation"]["working_point"],
    log:
        "results/logs/figures/{task}/scores.log",
    benchmark:
        "results/benchmarks/figures/{task}/scores.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_scores.py"


rule plot_training:
    input:
        lambda w: first_models_of(w.task, trained_detectors_of(w.task), "json"),
    output:
        report(
            directory("results/figures/{task}/training"),
            patterns=["{detector}.png"],
            caption="../report/training.rst",
            category="Training",
            labels={"task": "{task}", "detector": "{detector}"},
        ),
    params:
        code=code_of("plot_training"),
        style=config["style"],
        labels=labels(),
    log:
        "results/logs/figures/{task}/training.log",
    benchmark:
        "results/benchmarks/figures/{task}/training.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_training.py"


rule plot_images:
    input:
        lambda w: expand("results/events/{sample}.h5", sample=SAMPLES_OF[w.task]),
    output:
        "results/figures/{task}/images.pdf",
        "results/figures/{task}/average_images.pdf",
        report(
            expand("results/figures/{{task}}/{name}.png", name=["images", "average_images"]),
            caption="../report/images.rst",
            category="Jet images",
            labels={"task": "{task}"},
        ),
    params:
        code=code_of("plot_images"),
        image=lambda w: image_of(w.task),
        style=config["style"],
        labels=labels(),
        samples=lambda w: SAMPLES_OF[w.task],
    log:
        "results/logs/figures/{task}/images.log",
    benchmark:
        "results/benchmarks/figures/{task}/images.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_images.py"


rule plot_reconstructions:
    input:
        models=image_models_of_task,
        features=lambda w: [
            path
            for sample in SAMPLES_OF[w.task]
            for path in features_of(sample, "test", image_representations_of(w.task))
        ],
    output:
        report(
            directory("results/figures/{task}/reconstructions"),
            patterns=["{detector}.png"],
            caption="../report/reconstructions.rst",
            category="Reconstructions",
            labels={"task": "{task}", "detector": "{detector}"},
        ),
    params:
        code=lambda w: code_of("plot_reconstructions", image_detectors_of(w.task)),
        half_widths=lambda w: half_widths_of(image_detectors_of(w.task)),
        style=config["style"],
        labels=labels(),
        samples=lambda w: SAMPLES_OF[w.task],
        representations=lambda w: image_representations_of(w.task),
        detectors=lambda w: {name: representation_of(name) for name in image_detectors_of(w.task)},
    log:
        "results/logs/figures/{task}/reconstructions.log",
    benchmark:
        "results/benchmarks/figures/{task}/reconstructions.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_reconstructions.py"


rule plot_inputs:
    input:
        lambda w: [
            path
            for sample in SAMPLES_OF[w.task]
            for path in features_of(sample, "test", config["evaluation"]["supervised"])
        ],
    output:
        "results/figures/{task}/inputs.pdf",
        report(
            "results/figures/{task}/inputs.png",
            caption="../report/inputs.rst",
            category="Inputs",
            labels={"task": "{task}"},
        ),
    params:
        code=code_of("plot_inputs"),
        style=config["style"],
        labels=labels(),
        samples=lambda w: SAMPLES_OF[w.task],
    log:
        "results/logs/figures/{task}/inputs.log",
    benchmark:
        "results/benchmarks/figures/{task}/inputs.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_inputs.py"


rule plot_model_samples:
    input:
        models=lambda w: first_models_of(w.task, energy_detectors_of(w.task)),
        features=lambda w: [
            path
            for sample in SAMPLES_OF[w.task]
            for path in features_of(sample, "test", energy_representations_of(w.task))
        ],
    output:
        samples=report(
            directory("results/figures/{task}/model_samples"),
            patterns=["{detector}.png"],
            caption="../report/model_samples.rst",
            category="Samples of the model",
            labels={"task": "{task}", "detector": "{detector}", "figure": "samples"},
        ),
        negatives=report(
            directory("results/figures/{task}/negatives"),
            patterns=["{detector}.png"],
            caption="../report/negatives.rst",
            category="Samples of the model",
            labels={"task": "{task}", "detector": "{detector}", "figure": "negative samples"},
        ),
        paths=report(
            directory("results/figures/{task}/paths"),
            patterns=["{detector}.png"],
            caption="../report/paths.rst",
            category="Samples of the model",
            labels={"task": "{task}", "detector": "{detector}", "figure": "energy on the way"},
        ),
    params:
        code=lambda w: code_of("plot_model_samples", energy_detectors_of(w.task)),
        half_widths=lambda w: half_widths_of(energy_detectors_of(w.task)),
        style=config["style"],
        labels=labels(),
        samples=lambda w: SAMPLES_OF[w.task],
        representations=lambda w: energy_representations_of(w.task),
        detectors=lambda w: {name: representation_of(name) for name in energy_detectors_of(w.task)},
    log:
        "results/logs/figures/{task}/model_samples.log",
    benchmark:
        "results/benchmarks/figures/{task}/model_samples.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_model_samples.py"


rule plot_generated:
    input:
        models=lambda w: first_models_of(w.task, generating_detectors_of(w.task)),
        features=lambda w: [
            path
            for name in generating_detectors_of(w.task)
            for path in features_of(TASKS[w.task]["background"], "test", [representation_of(name)])
        ],
    output:
        report(
            directory("results/figures/{task}/generated"),
            patterns=["{detector}.png"],
            caption="../report/generated.rst",
            category="Samples of the model",
            labels={"task": "{task}", "detector": "{detector}", "figure": "generated"},
        ),
    params:
        code=lambda w: code_of("plot_generated", generating_detectors_of(w.task)),
        half_widths=lambda w: half_widths_of(generating_detectors_of(w.task)),
        style=config["style"],
        background=lambda w: TASKS[w.task]["background"],
        labels=labels(),
        detectors=lambda w: generating_detectors_of(w.task),
    log:
        "results/logs/figures/{task}/generated.log",
    benchmark:
        "results/benchmarks/figures/{task}/generated.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/plot_generated.py"
