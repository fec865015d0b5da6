# Names, paths and checks that the rules share; everything with a formula lives in the package.
import functools
import re

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from hepad import errors
from hepad.config import figure_jobs, loading, plain_yaml, plan
from hepad.samples.simulation import cards
from hepad.storage import chunks


# a misspelt key or class, a missing file or branch is refused here, before any job
with errors.report_errors():
    PLANNED_FOR = plan.of(config)
    PLAN = None if workflow.is_main_process else plan.read(PLANNED_FOR)
    if PLAN is None:
        from hepad.config import migration, preflight, validation  # torch, the readers and all classes take seconds

        for path in workflow.configfiles:
            plain_yaml.check_duplicate_keys(path)
            config.update(plain_yaml.with_numbers(config, plain_yaml.load(path)))
        migration.check_keys(config)
        try:
            validate(config, "../schemas/config.schema.yaml")
        except WorkflowError as error:
            validation.raise_schema_error(error.__context__)
        PLAN = preflight.make(config, workflow.basedir)
    config.update(PLAN["config"])

DEVICE = PLAN["device"]
TASKS = config["tasks"]
SAMPLES_OF = {task: [entry["background"], *entry["signals"]] for task, entry in TASKS.items()}
MODEL_SAMPLES = ("model_samples", "negatives", "paths")
CHECKS = ("data_quality", "diagnostics")
FIGURES = ("auc.pdf", "scores", "efficiency_against", "inputs.pdf", "data_quality.pdf", "diagnostics.pdf")


wildcard_constraints:
    sample=r"[A-Za-z]\w*",
    signal=r"[A-Za-z]\w*",
    task=r"[A-Za-z]\w*",
    detector=r"[A-Za-z]\w*",
    representation=r"[A-Za-z]\w*",
    seed=r"\d+",
    chunk=r"\d+",


def source_of(sample):
    return config["samples"][sample]["source"]


@functools.cache
def chunks_of(sample):
    """The files of a sample, generated or the user's, in groups: each is read, represented and scored by one job."""
    source = source_of(sample)
    if "card" in source:
        sizes = {
            f"results/samples/{sample}/{chunk}.root": size
            for chunk, size in enumerate(chunks.shares(source["jets"], source["chunks"]))
        }
    elif sample in PLAN["entries"]:
        sizes = PLAN["entries"][sample]
    else:  # no task names it
        from hepad.samples import sources

        sizes = {path: found.entries for path, found in sources.check_files(source).items()}
    return chunks.grouped(sizes, config["chunk_events"]["reading"])


def of_chunks(pattern, sample, **names):
    """Files of the chunks of a sample, in their order."""
    return expand(pattern, sample=sample, chunk=range(len(chunks_of(sample))), **names)


def generation_of(sample):
    """The settings of a source that concern its generation."""
    keys = ("card", "jets", "chunks", "seed", "leading", "response", "matching", "pileup", "zero_bias", "level1")
    source = {key: source_of(sample)[key] for key in keys}
    # a pool is divided as the events are; without one the division is the reader's alone
    pooled = source["pileup"] or source["zero_bias"]
    return source | {"split": config["samples"][sample]["split"] if pooled else None}


def cards_of(sample):
    """Digests of the cards that a sample is generated from, that of its pile-up included."""
    named = [part["card"] for part in (source_of(sample), source_of(sample)["pileup"]) if part]
    with errors.report_errors():
        return [cards.digest(cards.find(card, workflow.basedir)) for card in named]


def reading_of(sample):
    """The settings of a source that concern its reader; generated chunks are read like any of hepad's ROOT files."""
    source = source_of(sample)
    return {"reader": "Mapped"} if "card" in source else {k: v for k, v in source.items() if k != "files"}


def admit_user_files():
    """Read the beginning of user files before anything is trained; a bad one ends the run here."""
    from hepad.config import preflight  # as above

    with errors.report_errors():
        preflight.admit(config, PLAN["entries"], PLAN["known"])
        plan.write(PLAN, PLANNED_FOR)


def features_of(sample, part, representations):
    return expand(
        "results/features/{r}/{sample}.{part}.h5", r=representations, sample=sample, part=part
    )


def representation_of(detector):
    return config["detectors"][detector]["representation"]


def representations_of(task):
    """Of a task's detectors, each once, in the order of the configuration."""
    return list(dict.fromkeys(representation_of(d) for d in TASKS[task]["detectors"]))


def runs_of(task, names=None):
    """(detector, seed) of the trainings of a task, of all its detectors unless some are named."""
    return loading.trainings(config, task, names)


def models_of(task, names=None, suffix="safetensors"):
    """Files of a task's trainings, of all its detectors unless some are named."""
    return [f"results/models/{task}/{name}/{seed}.{suffix}" for name, seed in runs_of(task, names)]


def first_models_of(task, names=None, suffix="safetensors"):
    """Files of the first training of each detector: what figures of single models show."""
    names = TASKS[task]["detectors"] if names is None else names
    return expand("results/models/{task}/{d}/{seed}.{suffix}", task=task, d=names, seed=seed_of(task), suffix=suffix)


def seed_of(task):
    """The seed of the trainings that figures of single models show."""
    return TASKS[task]["seeds"][0]


def trained_detectors_of(task):
    """Detectors of a task that are trained step by step."""
    return [name for name in TASKS[task]["detectors"] if groups()[name] == "detector"]


def image_detectors_of(task):
    """Detectors of a task that can show the reconstruction of an image."""
    images = {name for name, entry in config["representations"].items() if entry["type"] == "JetImage"}
    return [
        name
        for name in TASKS[task]["detectors"]
        if PLAN["detectors"][name]["reconstructing"] and representation_of(name) in images
    ]


def energy_detectors_of(task):
    """Detectors of a task whose trainings have candidates to choose from."""
    return [name for name in TASKS[task]["detectors"] if PLAN["detectors"][name]["energy"]]


def generating_detectors_of(task):
    """Detectors of a task that can draw events from their model."""
    return [name for name in TASKS[task]["detectors"] if PLAN["detectors"][name]["generating"]]


def energy_representations_of(task):
    return list(dict.fromkeys(representation_of(d) for d in energy_detectors_of(task)))


def image_representations_of(task):
    return list(dict.fromkeys(representation_of(d) for d in image_detectors_of(task)))


def image_of(task):
    """The image that a task's detectors see, the first of several; none if they see no image."""
    found = (PLAN["representations"][name]["image"] for name in representations_of(task))
    return next(filter(None, found), {})


def half_widths_of(detectors):
    """Detector -> Δη and Δφ of the image that it sees, half its width and height; none where it sees no image."""
    images = {name: PLAN["representations"][representation_of(name)]["image"] for name in detectors}
    return {name: (image["eta_range"], image["phi_range"]) for name, image in images.items() if image}


def image_models_of_task(wildcards):
    return first_models_of(wildcards.task, image_detectors_of(wildcards.task))


def code_of(script, detectors=(), representations=()):
    """Digests of what a job runs: its script, and the classes of detectors and representations that it makes.

    An edit there makes what the job made anew, wherever the files are and whenever they were written.
    """
    named = [PLAN["detectors"][name] for name in detectors] + [PLAN["representations"][name] for name in representations]
    return sorted({PLAN["scripts"][script], *(found["code"] for found in named)})


def groups():
    """Where each detector stands in tables and curves."""
    return {name: found["group"] for name, found in PLAN["detectors"].items()}


def one_of(names):
    """A constraint of a wildcard: one of these names and nothing else."""
    return "|".join(names) or "(?!)"


def score_names():
    """What the score of each detector is called in figures."""
    return {name: found["score_name"] for name, found in PLAN["detectors"].items()}


def labels():
    """What a job's detectors and samples are called in figures; a new signal changes those of its own task only."""

    def of_job(wildcards):
        task = TASKS[wildcards.task]
        signals = [wildcards.signal] if "signal" in wildcards.keys() else task["signals"]
        shown = [(name, config["samples"][name]) for name in (task["background"], *signals)]
        shown += [(name, config["detectors"][name]) for name in task["detectors"]]
        found = {name: entry.get("label", name) for name, entry in shown}
        any_window = {name: " (window: any)" for name, entry in shown if entry.get("selection") == "any"}
        return {name: label + any_window.get(name, "") for name, label in found.items()}

    return of_job


def declares_rate(task):
    """Whether the background says what its rate is made of."""
    background = config["samples"][TASKS[task]["background"]]
    return bool(background["rate"] or background["source"].get("zero_bias"))


def evaluations_with_swapped(task):
    """Evaluations of a task, and of those in which its background is a signal and one of its signals the background."""
    own = TASKS[task]
    swapped = [
        name
        for name, entry in TASKS.items()
        if own["background"] in entry["signals"] and entry["background"] in own["signals"]
    ]
    return expand("results/evaluation/{task}/{signal}.json", task=task, signal=own["signals"]) + expand(
        "results/evaluation/{task}/{signal}.json", task=swapped, signal=own["background"]
    )


def contaminations_of(task):
    """Of the fast detectors of a task, if the configuration asks for it."""
    fast = [name for name in trained_detectors_of(task) if name not in energy_detectors_of(task)]
    wanted = fast if config["evaluation"]["contamination"] else []
    return expand("results/contamination/{task}/{detector}.json", task=task, detector=wanted)


def tables():
    names = ("auc", "seed_spread", "efficiency", "rejection", "dark_machines", "supervised", "rates", *CHECKS)
    paths = expand("results/{name}.csv", name=names)
    if any(energy_detectors_of(task) for task in TASKS):
        paths.append("results/model_selection.csv")
    return paths + expand("results/{task}_{kind}.tex", task=TASKS, kind=("efficiency", "rejection"))


def figures():
    """Folders, and the PDFs of those that are in none."""
    paths = [path.format_map(subject.wildcards | {"detector": ""}) for subject in figure_jobs.subjects(PLAN) for path in subject.kind["draws"]]
    return [f"results/figures/{path.rstrip('/')}{'' if path.endswith('/') else '.pdf'}" for path in paths]
