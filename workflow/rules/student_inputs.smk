# What the rules of students share.
STUDENTS = config["students"]


wildcard_constraints:
    student=r"[A-Za-z]\w*",


def task_of(student):
    return TASKS[STUDENTS[student]["task"]]


def teacher_of(w):
    entry = STUDENTS[w.student]
    return f"results/models/{entry['task']}/{entry['detector']}/{entry['seed']}.safetensors"


def seen_by(student, part, *samples):
    """Features of samples as the student's teacher sees them."""
    seen = representation_of(STUDENTS[student]["detector"])
    return [path for sample in samples for path in features_of(sample, part, seen)]


def samples_of(student):
    return [task_of(student)["background"], *task_of(student)["signals"]]


def student_labels(w):
    shown = [(name, config["samples"][name]) for name in samples_of(w.student)]
    shown.append((STUDENTS[w.student]["detector"], config["detectors"][STUDENTS[w.student]["detector"]]))
    return {name: entry.get("label", name) for name, entry in shown}
