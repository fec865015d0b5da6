"""A file that does not fit into the memory is not called damaged: what it says would be to delete it."""

import h5py
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import uproot
from dialects import DIALECTS

from hepad import detectors
from hepad.detectors.training import candidates
from hepad.errors import report_errors
from hepad.evaluation.scores import read_scores, write_scores
from hepad.events import Events
from hepad.representations import EventVector
from hepad.representations.features import Features
from hepad.samples import sources
from hepad.samples.readers import dark_machines
from hepad.storage.table import write_index


def exhausted(kind: type[Exception] = MemoryError):
    def fail(*_args, **_kwargs):
        raise kind("Unable to allocate 9 GiB")

    return fail


def batches(*_args, **_kwargs):
    yield exhausted(pa.lib.ArrowMemoryError)()


# what of a file's library is refused memory, by the ending of the file
LIBRARIES = {
    ".root": (uproot.behaviors.TBranch.HasBranches, "arrays", exhausted()),
    ".ntuple": (uproot.behaviors.RNTuple.HasFields, "arrays", exhausted()),
    ".h5": (h5py.Dataset, "__getitem__", exhausted()),
    ".parquet": (pq.ParquetFile, "iter_batches", batches),
    ".csv": (dark_machines, "_parse", exhausted()),
    ".safetensors": (torch.Tensor, "isnan", exhausted()),
}
NTUPLES = ("delphes", "physlite")


def told(read, *arguments) -> str:
    with pytest.raises(SystemExit) as stop, report_errors():
        read(*arguments)
    return str(stop.value)


@pytest.mark.parametrize("name", DIALECTS)
def test_of_a_users_file(name, make_events, tmp_path, monkeypatch):
    dialect = DIALECTS[name]
    path = dialect.file(tmp_path / name, dialect.columns(make_events(30, 5)))
    monkeypatch.setattr(*LIBRARIES[".ntuple" if name in NTUPLES else path.suffix])
    how = {"name": "s", "selection": "any", "split": (0.6, 0.1, 0.3)}
    said = told(lambda: sources.read({"files": str(path), **dialect.options}, **how))
    assert said.startswith("ERROR: not enough memory (")
    assert "Unable to allocate 9 GiB" in said
    assert name == "dark_machines" or str(path) in said


def test_of_files_of_hepad(make_events, tmp_path, monkeypatch):
    events, representation = make_events(30, 5), EventVector(variables=("mass", "girth"))
    events.write(tmp_path / "events.h5")
    features = Features.of(representation, events)
    features.write(tmp_path / "features.h5")
    write_scores(tmp_path / "scores.h5", [({"ae/1": events.weight}, features)])
    write_index([tmp_path / "features.h5"], tmp_path / "index.h5")
    monkeypatch.setattr(*LIBRARIES[".h5"])
    reads = {"events": Events.read, "features": Features.read, "index": Features.read}
    reads["scores"] = lambda path: read_scores(path)[0]["ae/1"]
    for name, read in reads.items():
        assert told(read, tmp_path / f"{name}.h5").startswith("ERROR: not enough memory ("), name


def test_of_models(make_events, tmp_path, monkeypatch):
    spec = {"type": "Variable", "arguments": {"variable": "mass"}}
    features = Features.of(EventVector(variables=("mass", "girth")), make_events(30, 5))
    detector = detectors.build(spec, features.space, seed=0)
    detector.fit(features.x, features.x, generator=torch.Generator())
    detectors.save(detector, tmp_path / "model.safetensors", spec)
    candidates.save_candidates({1: detector.state_dict()}, tmp_path / "candidates.safetensors")
    monkeypatch.setattr(*LIBRARIES[".safetensors"])
    monkeypatch.setattr(candidates, "digest", exhausted())
    for name, load in {"model": detectors.load, "candidates": candidates.load_candidates}.items():
        assert told(load, tmp_path / f"{name}.safetensors").startswith("ERROR: not enough memory ("), name
