"""A student in all its fixed-point formats: compiled, scored beside its teacher, with test vectors for each."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from hepad.detectors.base import Detector
from hepad.evaluation.scores import read_scores, score, write_scores
from hepad.representations.features import Features
from hepad.trigger.fixed_point import Emulation, Format, of_events, thresholds
from hepad.trigger.rates import Scale
from hepad.trigger.student import Student

VECTORS_OF = 100_000  # events of the test background, at most


def compiled(pupil: Student, formats: Iterable, ranges: Tensor, folder: Path) -> dict[str, Emulation]:
    """{'student/<format>': emulation} of a student, compiled below ``folder``.

    ``ranges``: (N, *space.shape) training events, which the widths of its layers are chosen by
    """
    return {
        f"student/{form.label}": Emulation(pupil, form, ranges, folder / project_of(form))
        for form in map(Format.of, formats)
    }


def project_of(form: Format) -> str:
    """The name of a format's project."""
    return f"{form.width}_{'by_layer' if form.integer is None else form.integer}"


def write_scores_of(engines: Mapping[str, Detector | Emulation], tests: Mapping[str, str], folder: Path) -> None:
    """Scores of all engines on the test features of each sample, ``folder``/<sample>.h5."""
    loaded = {key: ("seen", engine) for key, engine in engines.items()}
    for sample, path in tests.items():
        write_scores(folder / f"{sample}.h5", score(loaded, {"seen": Features.blocks(path)}))


def write_vectors_of(
    projects: Mapping[str, Emulation], tests: Mapping[str, str], folder: Path, scale: Scale | None, khz, eps_b
) -> None:
    """Test vectors of every emulation, at the thresholds of its budgets on the background, the first of ``tests``."""
    background = next(iter(tests))
    scored = of_events(*read_scores(folder / f"{background}.h5"))
    events = Features.read(tests[background], slice(VECTORS_OF)).x
    for key, engine in projects.items():
        named = thresholds(scored, key, scale, khz, eps_b)
        engine.write_vectors(folder / f"{project_of(engine.form)}.vectors.csv", events, named)
