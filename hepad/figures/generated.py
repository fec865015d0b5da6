"""Events drawn from every model of a task that can generate, beside data."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.figure import Figure

from hepad.evaluation import model_samples
from hepad.figures.model_samples import EVENTS, beside_data
from hepad.figures.registry import Shown, figure
from hepad.representations.event_vector import with_units


@figure(
    {
        "{task}/generated/{detector}": Shown(
            "Samples of the model", {"task": "{task}", "detector": "{detector}", "figure": "generated"}
        )
    },
    reads={
        "models": "models/{task}/{detectors}/{seed}.safetensors",
        "features": "features/{representations}/{background}.test.h5",
    },
    needs=("background", "representation_of", "half_widths"),
    labels=("background", "detectors"),
    detectors="generating",
    on_request=True,
)
def generated(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Events drawn from the model beside data, with their scores. A model whose events look unlike the data has learned
    something else than the background, whatever its AUC.
    """
    for name, path in job.files["models"].items():
        detector, x = model_samples.loaded(path, [job.files["features"][job.representation_of[name]]], EVENTS)
        samples = model_samples.generated(detector, job.labels[job.background], x)
        look = {"half_widths": job.half_widths.get(name), "title": job.labels[name], "score": detector.score_name}
        columns = with_units(detector.space.columns)
        yield f"{job.task}/generated/{name}", beside_data(samples, columns, job.style, **look)
