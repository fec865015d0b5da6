"""Files of models and HDF5 files that attack: nothing in them runs, and they are refused quickly."""

import copy
import json
import struct
import time
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import hepad
from hepad import detectors
from hepad.detectors.training import candidates
from hepad.errors import InputError
from hepad.evaluation.scores import read_scores
from hepad.events import Events
from hepad.representations import Space
from hepad.storage.hdf5 import append_array, open_hdf5, read_array
from hepad.trigger import student

# models ---------------------------------------------------------------------------------------------------------------

SPACE = Space(shape=(6,), columns=tuple("abcdef"))
SPEC = {"type": "AE", "arguments": {"autoencoder": {"hidden_dims": [8], "latent_dim": 2}, "training": {"steps": 10}}}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """(tensors, description) of a small model in a file."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    detectors.save(detectors.build(SPEC, SPACE, seed=1), path, SPEC)
    detectors.load(path)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["hepad"])


def described(parts, change):
    about = copy.deepcopy(parts[1])
    change(about)
    return dict(parts[0]), {"hepad": json.dumps(about)}


def with_tensors(parts, change):
    tensors = dict(parts[0])
    change(tensors, max(tensors, key=lambda name: tensors[name].numel()))
    return tensors, {"hepad": json.dumps(parts[1])}


def arguments(about):
    return about["spec"]["arguments"]


CONTENTS = {
    "shape": (lambda p: with_tensors(p, lambda t, k: t.update({k: torch.zeros(3)})), "has shape"),
    "transposed": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k].T.contiguous()})), "has shape"),
    "type": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k].double()})), "float64"),
    "integers": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k].to(torch.int8)})), "int8"),
    "missing": (lambda p: with_tensors(p, lambda t, k: t.pop(k)), "missing or too many"),
    "extra": (lambda p: with_tensors(p, lambda t, k: t.update(extra=torch.zeros(1))), "too many: extra"),
    "nan": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k] * float("nan")})), "NaN"),
    "wide": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden_dims=[10**9])),
        "larger than any",
    ),
    "wide for the file": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden_dims=[10**7])),
        "more numbers than the file",
    ),
    "square": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden_dims=[40_000, 40_000])),
        "more numbers than the file",
    ),
    "long": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden_dims=[8] * 10_000)),
        "more numbers than the file",
    ),
    "space": (lambda p: described(p, lambda a: a["space"].update(shape=[10**7], columns=[])), "hepad model"),
    "foreign class": (lambda p: described(p, lambda a: a["spec"].update(type="os.system")), "'os.system' is unknown"),
    "another class": (lambda p: described(p, lambda a: a.update(spec={"type": "Variable"})), "hepad model"),
    "class that is a list": (lambda p: described(p, lambda a: a["spec"].update(type=[])), "hepad model"),
    "argument": (lambda p: described(p, lambda a: arguments(a).update(__class__=1)), "'__class__' is unknown"),
    "spec": (lambda p: described(p, lambda a: a.update(spec=[1])), "hepad model"),
    "space that is a word": (lambda p: described(p, lambda a: a.update(space="x")), "hepad model"),
    "nothing described": (lambda p: (dict(p[0]), None), "hepad model"),
    "deep": (lambda p: (dict(p[0]), {"hepad": "[" * 100_000 + "]" * 100_000}), "recursion"),
    "not JSON": (lambda p: (dict(p[0]), {"hepad": "import os"}), "hepad model"),
    "list": (lambda p: (dict(p[0]), {"hepad": "[]"}), "hepad model"),
    "huge number": (lambda p: (dict(p[0]), {"hepad": "9" * 10_000}), "larger than any"),
}


def refused_quickly(load, path, message):
    start = time.monotonic()
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("case", CONTENTS.values(), ids=CONTENTS)
def test_models_with_other_contents_are_refused(case, parts, tmp_path):
    tensors, metadata = case[0](parts)
    path = tmp_path / "m.safetensors"
    save_file(tensors, path, metadata=metadata)
    refused_quickly(detectors.load, path, case[1])


def header(entries, size=None, data=b""):
    text = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def pickled(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch PWNED'\ntR.")


BYTES = {
    "empty": b"",
    "truncated size": b"\x10\x00",
    "huge header": header({}, size=100 * 10**9),
    "largest header": header({}, size=2**64 - 1),
    "header longer than the file": header({}, size=1000),
    "claims 100 GB": header({"a": tensor([25 * 10**9], 0, 100 * 10**9)}),
    "overlap": header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, data=bytes(12)),
    "hole": header({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, data=bytes(12)),
    "backwards": header({"a": tensor([1], 4, 0)}, data=bytes(4)),
    "shape overflows": header({"a": tensor([2**63, 2**63], 0, 4)}, data=bytes(4)),
    "negative": header({"a": tensor([-1], 0, 4)}, data=bytes(4)),
    "unknown type": header({"a": tensor([1], 0, 4, "OBJECT")}, data=bytes(4)),
    "deep": header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "metadata of numbers": header({"__metadata__": {"hepad": 1}}),
    "no JSON": header(b"\x80\x04cos\nsystem\n(S'id'\ntR."),
    "pickle": b"\x80\x04cos\nsystem\n(S'touch PWNED'\ntR.",
    "more data": header({"a": tensor([1], 0, 4)}, data=bytes(400)),
}
LOADS = (detectors.load, hepad.load, student.load, candidates.load_candidates)


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES)
def test_model_files_with_other_bytes_are_refused(content, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    for load in LOADS:
        refused_quickly(load, path, "not a usable|not the candidates")


def test_pickles_folders_and_cut_files_are_refused(parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.safetensors"
    save_file(parts[0], path, metadata={"hepad": json.dumps(parts[1])})
    whole = path.read_bytes()
    for load in LOADS:
        for length in (7, 8, 100, len(whole) - 1):
            path.write_bytes(whole[:length])
            refused_quickly(load, path, "not a usable|not the candidates")
        pickled(tmp_path / "z.safetensors")
        refused_quickly(load, tmp_path / "z.safetensors", "not a usable|not the candidates")
        refused_quickly(load, tmp_path, "there is no such file")
        refused_quickly(load, tmp_path / "none.safetensors", "there is no such file")
    assert not (tmp_path / "PWNED").exists()


def test_a_model_that_fits_is_loaded_as_it_was(parts, tmp_path):
    save_file(parts[0], tmp_path / "m.safetensors", metadata={"hepad": json.dumps(parts[1])})
    state = detectors.load(tmp_path / "m.safetensors").state_dict()
    assert state.keys() == parts[0].keys()
    assert all(torch.equal(state[name], parts[0][name]) for name in state)


@pytest.mark.parametrize(
    "tensors",
    [{"a": 1}, {"x/a": 1}, {"1/a": 1, "2/b": 1}, {"1/a": 1, "2/a": 2}],
    ids=["no step", "no number", "other names", "other shapes"],
)
def test_candidates_of_another_form_are_refused(tensors, tmp_path):
    save_file({name: torch.zeros(size) for name, size in tensors.items()}, tmp_path / "t.safetensors")
    refused_quickly(candidates.load_candidates, tmp_path / "t.safetensors", "not the candidates")


# HDF5 -----------------------------------------------------------------------------------------------------------------


def scores_file(path, change):
    """A file of scores, changed."""
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "hepad scores"
        group = file.create_group("scores")
        append_array(group, "ae/1", np.arange(5.0))
        for name in ("weight", "event_id", "cluster"):
            append_array(file, name, np.ones(5))
        append_array(file, "jet", np.ones((5, 4), np.float32))
        del file["weight"]
        change(file)
    return path


def virtual(file):
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (5,))
    file.create_virtual_dataset("weight", layout)


def of_zeros(file, name, chunks=None):
    """A column of which nothing was written."""
    if name in file:
        del file[name]
    file.create_dataset(name, (10**13,), "f8", chunks=chunks)


HDF5 = {
    "external link": (lambda f: f.update({"weight": h5py.ExternalLink("secret.h5", "x")}), "from another file"),
    "external link, nested": (
        lambda f: f["scores"].update({"b/c": h5py.ExternalLink("/etc/passwd", "x")}),
        "from another file",
    ),
    "virtual": (virtual, "from another file"),
    "external storage": (
        lambda f: f.create_dataset("weight", (5,), "u1", external=[("/etc/passwd", 0, 5)]),
        "from another file",
    ),
    "soft link": (lambda f: f.update({"weight": h5py.SoftLink("/event_id")}), "no dataset of its own"),
    "group": (lambda f: f.create_group("weight"), "no dataset of its own"),
    "text": (lambda f: f.create_dataset("weight", data=["a"] * 5), "not of numbers"),
    "lists": (lambda f: f.create_dataset("weight", (5,), h5py.vlen_dtype(np.float64)), "not of numbers"),
    "references": (lambda f: f.create_dataset("weight", (5,), h5py.ref_dtype), "not of numbers"),
    "records": (lambda f: f.create_dataset("weight", (5,), [("a", "f8")]), "not of numbers"),
    "huge, empty": (lambda f: f.create_dataset("weight", (10**13,), "f8", chunks=(1000,)), "different numbers"),
    "huge, not chunked": (lambda f: f.create_dataset("weight", (10**13,), "f8"), "different numbers"),
    "all huge, not chunked": (lambda f: [of_zeros(f, name) for name in ("weight", "event_id")], "incomplete"),
    "all huge, empty": (lambda f: [of_zeros(f, name, (1000,)) for name in ("weight", "event_id")], "incomplete"),
    "huge chunks": (lambda f: f.create_dataset("weight", (5,), "f8", maxshape=(None,), chunks=(10**8,)), "in chunks"),
}


@pytest.mark.parametrize("case", HDF5.values(), ids=HDF5)
def test_hdf5_files_hold_their_own_numbers(case, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.full(5, 42.0)
    refused_quickly(lambda path: read_scores(path)[1]["weight"], scores_file(tmp_path / "s.h5", case[0]), case[1])


def test_an_event_file_is_read_by_the_same_checks(make_events, tmp_path):
    make_events(20, 1).write(tmp_path / "e.h5")
    assert len(Events.read(tmp_path / "e.h5")) == 20
    with h5py.File(tmp_path / "e.h5", "a") as file:
        del file["weight"]
        file["weight"] = h5py.ExternalLink("secret.h5", "x")
    refused_quickly(Events.read, tmp_path / "e.h5", "from another file")


def test_rows_are_read_as_before(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        append_array(file, "x", np.arange(12.0).reshape(6, 2))
    with open_hdf5(tmp_path / "a.h5") as file:
        assert read_array(file, "x", slice(1, 3)).tolist() == [[2, 3], [4, 5]]
        assert read_array(file, "x", np.array([0, 5])).tolist() == [[0, 1], [10, 11]]
