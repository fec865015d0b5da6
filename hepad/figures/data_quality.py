"""Raw quantities of a task's samples beside each other, and a refusal where a comparison would not be fair."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.figure import Figure

from hepad.figures.histograms import input_histograms
from hepad.figures.registry import Shown, figure
from hepad.samples.data_quality import check_comparable, first_events, shared_quantities

EVENTS = 100_000  # of a sample, at most


@figure(
    {"{task}/data_quality": Shown("Data quality")},
    reads={"events": "events/{samples}.h5"},
    needs=("any_window",),
    labels=("samples",),
    priority=90,
)
def data_quality(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Raw quantities of background and signals after the selection, each of unit sum, of up to 100,000 jets: the jet,
    the event, weights and pile-up.
    """
    events = first_events(job.files["events"], EVENTS)
    if not job.any_window:
        check_comparable(events)
    columns, values = shared_quantities({job.labels[name]: of_sample for name, of_sample in events.items()})
    background = next(iter(values))
    weights = {job.labels[name]: of_sample.weight for name, of_sample in events.items()}
    look = {"background_name": background, "weights": weights}
    drawn = input_histograms(columns, values.pop(background), values, job.style, **look)
    yield f"{job.task}/data_quality", drawn
