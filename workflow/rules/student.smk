# Students of detectors, for a trigger level that computes in fixed point. hls4ml and g++ are needed: hepad[fpga].
STUDENTS = config["students"]


# A student sees the training part of the background and nothing else.
rule distil:
    input:
        teacher=files("models/{task}/{teacher}/{teacher_seed}.safetensors"),
        background=files("features/{representation}/{background}.train.h5"),
    output:
        model="results/students/{student}.safetensors",
        history="results/students/{student}.json",
    params:
        code=code_of("distil", "teacher"),
        network=lambda w: STUDENTS[w.student]["network"],
        training=lambda w: STUDENTS[w.student]["training"],
        outliers=lambda w: STUDENTS[w.student]["outliers"],
        seed=lambda w: STUDENTS[w.student]["seed"],
    log: "results/logs/distil/{student}.log"
    benchmark: "results/benchmarks/distil/{student}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/distil.py"


rule emulate:
    input:
        teacher=files("models/{task}/{teacher}/{teacher_seed}.safetensors"),
        student="results/students/{student}.safetensors",
        background=files("features/{representation}/{background}.train.h5"),
        tests=files("features/{representation}/{samples}.test.h5"),
        events=files("events/{background}.h5"),
    output: directory("results/students/{student}")
    params:
        code=code_of("emulate", "teacher"),
        formats=lambda w: STUDENTS[w.student]["formats"],
        samples=value("samples"),
        rate=value("rate"),
        khz=config["evaluation"]["rates_khz"],
        eps_b=config["evaluation"]["eps_b"],
    log: "results/logs/emulate/{student}.log"
    benchmark: "results/benchmarks/emulate/{student}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/emulate.py"


rule compare_student:
    input:
        scores="results/students/{student}",
        events=files("events/{background}.h5"),
    output:
        table="results/students/{student}.csv",
        comparison="results/students/{student}.comparison.json",
    params:
        code=code_of("compare_student"),
        samples=value("samples"),
        rate=value("rate"),
        khz=config["evaluation"]["rates_khz"],
        eps_b=config["evaluation"]["eps_b"],
    log: "results/logs/compare_student/{student}.log"
    benchmark: "results/benchmarks/compare_student/{student}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/compare_student.py"
