# Students of detectors, for a trigger level that computes in fixed point. hls4ml and g++ are needed: hepad[fpga].
include: "student_inputs.smk"


# A student sees the training part of the background and nothing else.
rule distil:
    input:
        teacher=teacher_of,
        background=lambda w: seen_by(w.student, "train", task_of(w.student)["background"]),
    output:
        model="results/students/{student}.safetensors",
        history="results/students/{student}.json",
    params:
        code=lambda w: code_of("distil", [STUDENTS[w.student]["detector"]]),
        network=lambda w: STUDENTS[w.student]["network"],
        training=lambda w: STUDENTS[w.student]["training"],
        outliers=lambda w: STUDENTS[w.student]["outliers"],
        seed=lambda w: STUDENTS[w.student]["seed"],
    log:
        "results/logs/distil/{student}.log",
    benchmark:
        "results/benchmarks/distil/{student}.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/distil.py"


rule emulate:
    input:
        teacher=teacher_of,
        student="results/students/{student}.safetensors",
        background=lambda w: seen_by(w.student, "train", task_of(w.student)["background"]),
        tests=lambda w: seen_by(w.student, "test", *samples_of(w.student)),
    output:
        directory("results/students/{student}"),
    params:
        code=lambda w: code_of("emulate", [STUDENTS[w.student]["detector"]]),
        formats=lambda w: STUDENTS[w.student]["formats"],
        samples=lambda w: samples_of(w.student),
    log:
        "results/logs/emulate/{student}.log",
    benchmark:
        "results/benchmarks/emulate/{student}.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/emulate.py"


rule compare_student:
    input:
        scores="results/students/{student}",
        events=lambda w: f"results/events/{task_of(w.student)['background']}.h5",
    output:
        table="results/students/{student}.csv",
        comparison="results/students/{student}.comparison.json",
    params:
        code=code_of("compare_student"),
        samples=lambda w: samples_of(w.student),
        rate=lambda w: config["samples"][task_of(w.student)["background"]].get("rate"),
        khz=config["evaluation"]["rates_khz"],
        eps_b=config["evaluation"]["eps_b"],
    log:
        "results/logs/compare_student/{student}.log",
    benchmark:
        "results/benchmarks/compare_student/{student}.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/compare_student.py"
