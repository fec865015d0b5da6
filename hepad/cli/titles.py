"""What a job of the workflow does, in words: 'training NAE, images on QCD, seed 1'."""

# rule -> words; those in braces are wildcards of the job, or the background of its task
TITLES = {
    "generate_chunk": "generating {sample}, part {chunk}",
    "read_events": "reading {sample}, part {chunk}",
    "gather_events": "gathering the events of {sample}",
    "represent": "representing {sample} as {representation}, part {chunk}",
    "gather_features": "gathering {sample} as {representation}",
    "train_detector": "training {detector} on {background}, seed {seed}",
    "score": "scoring {sample}, detectors of {background}, part {chunk}",
    "gather_scores": "gathering the scores of {sample}, detectors of {background}",
    "supervised_trees": "training the supervised trees, {signal} in {background}",
    "evaluate": "evaluating {signal} in {background}",
    "follow_candidates": "following the states of {detector} on {background}",
    "contaminate": "training {detector} on contaminated {background}",
    "rates": "rates of {background}",
    "diagnose": "checking the scores of {background}",
    "distil": "distilling {student}",
    "emulate": "emulating {student} in fixed point",
    "compare_student": "comparing {student} with its teacher",
    "gallery": "the strangest events beside {background}",
    "page": "writing the page of results",
    "all": "finishing",
}
FIGURES, TABLES, BASELINES = "plot_", "tabulate", "train_baselines_"


def title(rule: str, wildcards: dict[str, str], config: dict) -> str:
    """Of a job, with the labels of the configuration; a rule that is not known has its name and its wildcards."""
    words = {name: _label(name, value, config) for name, value in (wildcards or {}).items()}
    task = config.get("tasks", {}).get((wildcards or {}).get("task"), {})
    words.setdefault("background", _label("background", task.get("background", "background"), config))
    try:
        return TITLES[rule].format_map(words)
    except KeyError:
        pass
    given = ", ".join(words[name] for name in wildcards or {} if name != "task")
    subject = ", ".join(filter(None, [words["background"] if task else "", given]))
    what = rule.replace("_", " ")
    if rule.startswith(FIGURES):
        what = f"drawing {rule.removeprefix(FIGURES).replace('_', ' ')}"
    elif rule.startswith(BASELINES):
        what = f"fitting the simple opponents of {rule.removeprefix(BASELINES)}"
    elif rule.startswith(TABLES):
        what = f"writing tables: {rule.removeprefix(TABLES).strip('_').replace('_', ' ') or 'results'}"
    return f"{what} ({subject})" if subject else what


def _label(word: str, value: str, config: dict) -> str:
    entries = config.get("detectors" if word == "detector" else "samples", {})
    found = entries.get(value) if word in ("detector", "sample", "signal", "background") else None
    return (found or {}).get("label", value)
