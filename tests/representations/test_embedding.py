"""Embeddings: known answers in numpy, symmetries, copies, and files that are refused."""

import copy
import os
import pickle
import re
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from command_line import ROOT
from encoders import dense_safetensors, layers, linear_onnx, write_onnx
from onnx import helper
from safetensors.numpy import load_file, save_file
from scipy.special import erf
from sklearn.base import clone

import hepad
from hepad import detectors
from hepad.errors import EncoderError, InputError, MissingLibrary
from hepad.events.kinematics import delta_phi
from hepad.representations import Constituents, Embedding, EventVector, JetImage, Joined, build

VECTOR = EventVector(["mass", "multiplicity", "girth"])
FUNCTIONS = {
    "relu": lambda h: h * (h > 0),
    "leaky_relu": lambda h: np.where(h < 0, h / 100, h),
    "tanh": np.tanh,
    "gelu": lambda h: h * (1 + erf(h / 2**0.5)) / 2,
    "silu": lambda h: h / (1 + np.exp(-h)),
}


@pytest.fixture(scope="module")
def events(make_events):
    return make_events(150, 8)


@pytest.mark.parametrize("seen", [VECTOR, JetImage(size=8), Constituents(count=6)], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_a_linear_encoder_is_a_product_with_its_matrix(events, tmp_path, seen, kind):
    x = seen(events).numpy().reshape(len(events), -1).astype(np.float64)
    [(weight, bias)] = layers(x.shape[1], 5)
    write = {"onnx": lambda path: linear_onnx(path, weight, bias, seen.space.shape),
             "safetensors": lambda path: dense_safetensors(path, [(weight, bias)])}  # fmt: skip
    embedding = Embedding(seen, write[kind](tmp_path / f"my-net.{kind}"))
    expected = x @ weight.T.astype(np.float64) + bias
    np.testing.assert_allclose(embedding(events), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert embedding.space.shape == (5,)
    assert embedding.space.columns == ("my_net_1", "my_net_2", "my_net_3", "my_net_4", "my_net_5")
    assert embedding(events).dtype == torch.float32


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_activations_stand_between_the_layers(events, tmp_path, activation):
    (w, b), (v, c) = of_layers = layers(3, 7, 2)
    embedding = Embedding(VECTOR, dense_safetensors(tmp_path / "e.safetensors", of_layers, activation))
    hidden = VECTOR(events).double().numpy() @ w.T.astype(float) + b
    np.testing.assert_allclose(embedding(events), FUNCTIONS[activation](hidden) @ v.T.astype(float) + c, rtol=1e-6)


def test_weights_of_torch_are_read_as_torch_writes_them(events, tmp_path):
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    save_file(tensors, tmp_path / "e.safetensors", metadata={"network": "dense", "activation": "tanh"})
    with torch.no_grad():
        expected = network.double()(VECTOR(events).double())
    torch.testing.assert_close(Embedding(VECTOR, str(tmp_path / "e.safetensors"))(events).double(), expected, rtol=1e-6,
                               atol=1e-6)  # fmt: skip


def deep(path, seen):
    """A network in which rounding could depend on the batch: wide layers of single precision."""
    size = int(np.prod(seen.space.shape))
    (w, b), (v, c) = layers(size, 300, 9)
    nodes = [("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "W", "b"], ["g"], transB=1),
             ("Tanh", ["g"], ["t"]), helper.make_node("Gemm", ["t", "V", "c"], ["h"], transB=1)]  # fmt: skip
    return write_onnx(path, nodes, {"W": w, "b": b, "V": v, "c": c}, seen.space.shape, ["batch", 9])


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_an_embedding_is_that_of_the_event_alone_to_the_last_digit(events, tmp_path, kind):
    seen = Constituents(count=20)
    path = tmp_path / f"e.{kind}"
    embedding = Embedding(seen, deep(path, seen) if kind == "onnx" else dense_safetensors(path, layers(60, 300, 9)))
    together = embedding(events)
    assert torch.equal(embedding(events), together)
    assert torch.equal(torch.cat([embedding(events[i : i + 1]) for i in range(len(events))]), together)
    order = np.random.default_rng(0).permutation(len(events))
    assert torch.equal(embedding(events[order]), together[order])
    assert torch.equal(torch.cat(list(embedding.blocks(events, 37))), together)
    assert embedding(events[:0]).shape == (0, 9)


def test_the_order_and_the_padding_of_constituents_do_not_matter(events, tmp_path):
    seen = Constituents(count=70)
    embedding = Embedding(seen, deep(tmp_path / "e.onnx", seen))
    order = np.random.default_rng(1).random(events.constituents.shape[:2]).argsort(1)
    mixed = replace(events, constituents=np.take_along_axis(events.constituents, order[..., None], 1))
    longer = replace(events, constituents=np.pad(events.constituents, ((0, 0), (0, 30), (0, 0))))
    for other in (mixed, longer):
        assert torch.equal(seen(other), seen(events))
        assert torch.equal(embedding(other), embedding(events))


def test_constituents_are_those_of_the_jet(events):
    x = Constituents(count=4, features=["z", "deta", "dphi", "pt"])(events).numpy()
    hardest = np.sort(events.constituents[..., 0], axis=1)[:, ::-1][:, :4]
    np.testing.assert_array_equal(x[:, 0, :, 3], hardest)
    np.testing.assert_allclose(x[:, 0, :, 0] * events.jet[:, :1], hardest, rtol=1e-6)
    first = events.constituents[np.arange(len(events)), events.constituents[..., 0].argmax(1)]
    np.testing.assert_allclose(x[:, 0, 0, 1], first[:, 1] - events.jet[:, 1], atol=1e-6)
    np.testing.assert_allclose(x[:, 0, 0, 2], delta_phi(first[:, 2], events.jet[:, 2]), atol=1e-6)
    few = replace(events, constituents=events.constituents[:, :2])
    assert (Constituents(count=4)(few)[:, 0, 2:] == 0).all()


def test_constituents_turn_with_their_jet(events):
    turned = replace(events, constituents=events.constituents.copy(), jet=events.jet.copy())
    for p in (turned.constituents, turned.jet):
        p[..., 2] = np.where(p[..., 0] > 0, delta_phi(p[..., 2], -2.5), 0)
    np.testing.assert_allclose(Constituents()(turned), Constituents()(events), atol=2e-6)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"count": 0}, "1 or more"), ({"count": 2.0}, "1 or more"), ({"features": ["deta"]}, "absent"),
    ({"features": ["z", "z"]}, "twice"), ({"features": ["zz"]}, "Did you mean 'z'"), ({"features": []}, "at least one"),
])  # fmt: skip
def test_constituents_refuse(arguments, said):
    with pytest.raises(InputError, match=said):
        Constituents(**arguments)


@pytest.fixture
def linear(tmp_path):
    [(weight, bias)] = layers(3, 4)
    return Embedding(VECTOR, linear_onnx(tmp_path / "e.onnx", weight, bias, (3,)))


def test_an_entry_makes_the_same_again(events, linear):
    again = build(linear.entry)
    assert again.entry == linear.entry
    assert again.space == linear.space
    assert torch.equal(again(events), linear(events))
    assert linear.contains(again)
    assert not linear.contains(VECTOR)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_encode_alike(events, linear, copied):
    assert torch.equal(copied(linear)(events), linear(events))


def test_open_axes_are_those_of_the_input(events, tmp_path):
    """Networks on sets are exported for any number of particles."""
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["h"], keepdims=0)]
    path = write_onnx(tmp_path / "sum.onnx", nodes, {"axes": np.array([1, 2])}, (1, "particles", 3), ["batch", "D"])
    for count in (5, 30):
        x = Constituents(count=count)(events)
        torch.testing.assert_close(Embedding(Constituents(count=count), path)(events), x.sum((1, 2)))


def test_it_needs_what_its_input_needs(linear, tmp_path):
    [(weight, bias)] = layers(2, 1)
    path = dense_safetensors(tmp_path / "e.safetensors", [(weight, bias)])
    of_event = Embedding(EventVector(["met", "n_jets"]), path)
    assert of_event.needs == {"met", "jets"}
    assert not of_event.needs_constituents
    assert linear.needs_constituents
    with pytest.raises(InputError, match="has no jets, met"):
        of_event.check_present({"name": "a", "present": ["constituents"]})


def test_beside_others(events, linear):
    both = Joined([JetImage(size=6), linear, VECTOR])
    assert both.space.encoders == linear.space.encoders
    assert torch.equal(both(events)[:, 36:], torch.cat([linear(events), VECTOR(events)], 1))
    with pytest.raises(InputError, match="comes from more than one part"):
        Joined([linear, linear])


def test_embeddings_of_embeddings_have_both_digests(events, linear, tmp_path):
    [(weight, bias)] = layers(4, 2)
    second = Embedding(linear, dense_safetensors(tmp_path / "f.safetensors", [(weight, bias)]))
    np.testing.assert_allclose(second(events), linear(events).numpy() @ weight.T + bias, rtol=1e-5)
    assert second.space.encoders[0] == linear.space.encoders[0]
    assert len(set(second.space.encoders)) == 2


def test_a_detector_knows_its_encoder(make_events, linear, tmp_path):
    background = make_events(600, 1)
    detector = clone(hepad.Mixture(representation=linear, n_gaussians=2)).fit(background)
    scores = detector.score(background)
    detector.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(hepad.load(tmp_path / "m.safetensors").score(background), scores)
    assert detectors.load(tmp_path / "m.safetensors").space.encoders == linear.space.encoders
    [(weight, bias)] = layers(3, 4, seed=1)
    linear_onnx(tmp_path / "e.onnx", weight, bias, (3,))
    with pytest.raises(EncoderError, match=r"m.safetensors: its representation: .*it was made with"):
        hepad.load(tmp_path / "m.safetensors")
    other = detector.set_params(representation=build(linear.entry))
    other.representation = None
    with pytest.raises(EncoderError, match="Put the file of the encoder back"):
        other.score(background)
    (tmp_path / "e.onnx").unlink()
    with pytest.raises(EncoderError, match=r"e.onnx: there is no such file"):
        hepad.load(tmp_path / "m.safetensors")


def nan(array):
    array = array.copy()
    array.flat[2] = np.nan
    return array


def identity(path, shape, made, **options):
    return write_onnx(path, [("Identity", ["x"], ["h"])], {}, shape, made, **options)


def normalising(path, weight, bias):
    """Batch normalisation with the moments of the batch, as in training."""
    nodes = [("ReduceMean", ["x"], ["m"]), ("Sub", ["x", "m"], ["y"]),
             helper.make_node("Gemm", ["y", "W", "b"], ["h"], transB=1)]  # fmt: skip
    nodes[0] = helper.make_node("ReduceMean", ["x"], ["m"], axes=[0])
    return write_onnx(path, nodes, {"W": weight, "b": bias}, (3,), ["batch", 4])


def noisy(path, weight, bias):
    nodes = [("Gemm", ["x", "W", "b"], ["g"]), ("RandomNormalLike", ["g"], ["e"]), ("Add", ["g", "e"], ["h"])]
    return write_onnx(path, nodes, {"W": weight.T.copy(), "b": bias}, (3,), ["batch", 4])


def of_no_batch(path, weight, bias):
    """Its output has one row, of however many events."""
    node = helper.make_node("ReduceMean", ["x"], ["h"], axes=[0])
    return write_onnx(path, [node], {}, (3,), ["one", 3])


def of_values(path, weight, bias):
    """As many numbers as columns are large in some event."""
    largest = helper.make_node("ReduceMax", ["x"], ["top"], axes=[0], keepdims=0)
    chosen = helper.make_node("Compress", ["x", "some"], ["h"], axis=1)
    nodes = [largest, ("Greater", ["top", "half"], ["some"]), chosen]
    return write_onnx(path, nodes, {"half": np.array([0.5], np.float32)}, (3,), ["batch", "n"])


def two_outputs(path, weight, bias):
    model = onnx.load(linear_onnx(path, weight, bias, (3,)))
    model.graph.output.append(helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, ["batch", 3]))
    onnx.save(model, path)


def cut(path, weight, bias):
    linear_onnx(path, weight, bias, (3,))
    path.write_bytes(path.read_bytes()[:-40])


def unknown_operator(path, weight, bias):
    write_onnx(path, [("Attend", ["x"], ["h"])], {}, (3,), ["batch", 3])


ONNX = {
    "other shape": (lambda p, w, b: linear_onnx(p, *layers(5, 4)[0], (5,)), r"takes events \[5\]; its input makes"),
    "more axes": (lambda p, w, b: linear_onnx(p, w, b, (1, 3)), r"takes events \[1, 3\]; its input makes \[3\]"),
    "NaN": (lambda p, w, b: linear_onnx(p, nan(w), b, (3,)), "hold NaN, 'W'"),
    "one at a time": (lambda p, w, b: linear_onnx(p, w, b, (3,), batch=1, made=[1, 4]), "takes 1 events at a time"),
    "open output": (of_values, "D numbers are needed|sizes that depend on values"),
    "a row for each object": (
        lambda p, w, b: write_onnx(
            p, [("Unsqueeze", ["x", "axes"], ["h"])], {"axes": np.array([2])}, (3,), ["batch", 3, 1]
        ), r"its output is \(64, 3, 1\); 64 times D numbers are needed. Pool",
    ),
    "doubles": (
        lambda p, w, b: identity(p, (3,), ["batch", 3], kind=onnx.TensorProto.DOUBLE), "single precision are needed"
    ),
    "two outputs": (two_outputs, "one output of single precision"),
    "side file": (
        lambda p, w, b: linear_onnx(
            p, w, b, (3,), save_as_external_data=True, location="side.bin", size_threshold=0
        ), "in a side file. Save it as one",
    ),
    "of the batch": (normalising, "depends on the other events"),
    "of chance": (noisy, "or on chance"),
    "no batch": (of_no_batch, r"of 64 events its output is \(1, 3\)"),
    "cut": (cut, "ONNX"),
    "text": (lambda p, w, b: p.write_text("no network"), "not a readable ONNX file|not an ONNX file"),
    "empty": (lambda p, w, b: p.write_bytes(b""), "not an ONNX file"),
    "unknown operator": (unknown_operator, "does not load it .*Attend"),
    "folder": (lambda p, w, b: p.mkdir(), "no such file"),
    "missing": (lambda p, w, b: None, "there is no such file"),
    "of torch": (lambda p, w, b: torch.save({"W": torch.ones(3)}, p), r"a pickle.*torch\.onnx\.export"),
    "old torch": (
        lambda p, w, b: torch.save({"W": torch.ones(3)}, p, _use_new_zipfile_serialization=False), "a pickle, as torch"
    ),
    "pickle": (lambda p, w, b: p.write_bytes(pickle.dumps({"W": w})), "a pickle"),
}  # fmt: skip


@pytest.mark.parametrize("case", ONNX)
def test_files_that_are_no_encoder_are_refused(tmp_path, case):
    write, said = ONNX[case]
    write(tmp_path / "e.onnx", *layers(3, 4)[0])
    with pytest.raises(EncoderError, match=said) as error:
        Embedding(VECTOR, str(tmp_path / "e.onnx"))
    assert str(tmp_path / "e.onnx") in str(error.value)


def with_tensors(change):
    def write(path):
        tensors = load_file(dense_safetensors(path, layers(3, 6, 4)))
        change(tensors)
        save_file(tensors, path, metadata={"network": "dense", "activation": "relu"})

    return write


PLAIN = {
    "other activation": (lambda p: dense_safetensors(p, layers(3, 4), "sine"), '"activation": one of relu'),
    "other network": (lambda p: dense_safetensors(p, layers(3, 4), network="resnet"), "Other networks come as ONNX"),
    "no metadata": (lambda p: save_file({"0.weight": np.ones((2, 3), np.float32)}, p), "its metadata must be"),
    "other shape": (lambda p: dense_safetensors(p, layers(5, 4)), r"it is given 3 numbers of events \(3,\)"),
    "layers that do not fit": (
        lambda p: dense_safetensors(p, [*layers(3, 6), *layers(5, 4)]), r"layer 2 has a weight \(4, 5\).*given 6"
    ),
    "no bias": (with_tensors(lambda t: t.pop("2.bias")), "missing or too many: 2.bias"),
    "other tensors": (with_tensors(lambda t: t.update(scale=np.ones(3))), "missing or too many: scale"),
    "NaN": (with_tensors(lambda t: t.update({"0.bias": np.full(6, np.nan)})), "layer 0 are NaN"),
    "whole numbers": (with_tensors(lambda t: t.update({"0.weight": np.ones((6, 3), int)})), "no floating-point"),
    "no tensors": (lambda p: save_file({}, p, metadata={"network": "dense", "activation": "relu"}), "are needed"),
    "cut": (lambda p: p.write_bytes(dense_safetensors(p, layers(3, 4)).read_bytes()[:-8]), "not a readable safetens"),
    "a header alone": (lambda p: p.write_bytes((2).to_bytes(8, "little") + b"{x"), "not a readable safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLAIN)
def test_safetensors_that_are_no_encoder_are_refused(tmp_path, case):
    write, said = PLAIN[case]
    write(tmp_path / "e.safetensors")
    with pytest.raises(EncoderError, match=said) as error:
        Embedding(VECTOR, str(tmp_path / "e.safetensors"))
    assert str(tmp_path / "e.safetensors") in str(error.value)


def test_numbers_that_are_not_finite_are_refused(events, tmp_path):
    path = write_onnx(tmp_path / "log.onnx", [("Log", ["x"], ["h"])], {}, (3,), ["batch", 3])
    vector = EventVector(["mass", "n_muons", "girth"])
    wrong = int((vector(events).numpy() <= 0).any(1).sum())
    with pytest.raises(EncoderError, match=f"NaN or infinity for {wrong} of {len(events)} events"):
        Embedding(vector, str(path))(events)


def test_an_input_must_be_a_representation(tmp_path):
    path = str(dense_safetensors(tmp_path / "e.safetensors", layers(3, 4)))
    for wrong in ("vector", None, [VECTOR.entry], {"size": 3}):
        with pytest.raises(InputError, match=r"'input' must be a representation|is not an entry with the key 'type'"):
            build({"type": "Embedding", "input": wrong, "encoder": path})


def test_without_onnx_runtime_safetensors_are_read_all_the_same(linear, events, tmp_path, monkeypatch):
    path = str(dense_safetensors(tmp_path / "e.safetensors", layers(3, 4)))
    monkeypatch.setitem(__import__("sys").modules, "hepad.storage.onnx_file", None)
    monkeypatch.delattr("hepad.storage.onnx_file", raising=False)
    assert Embedding(VECTOR, path)(events).shape == (150, 4)
    with pytest.raises(MissingLibrary, match=r"hepad\[export\]"):
        Embedding(VECTOR, linear.encoder)


class Attention(torch.nn.Module):
    """(B, C, 4), (B, C, 1) to a row for each particle, (B, C, 8): what foundation models of jets are like."""

    def __init__(self):
        super().__init__()
        self.first, self.query, self.key = torch.nn.Linear(4, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x, there):
        h = torch.tanh(self.first(x))
        a = self.query(h) @ self.key(h).transpose(1, 2)
        return h + torch.softmax(a.masked_fill(there.transpose(1, 2) == 0, -torch.inf), -1) @ h


def test_the_wrapper_of_the_page(events, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/embeddings.md").read_text(), re.DOTALL)
    page = {}
    exec(next(block for block in blocks if "ForHepad" in block), page)
    torch.manual_seed(1)
    network, seen = Attention(), Constituents(count=25, features=["deta", "dphi", "pt", "energy"])
    page["export"](network, tmp_path / "e.onnx", count=25)
    x = seen(events)
    expected = []
    for event in x[:, 0].double():  # of the particles that are there, without any mask
        particles = event[event[:, 2] > 0]
        particles[:, 2:] = particles[:, 2:].clamp(min=1e-3).log()
        with torch.no_grad():
            expected.append(network.double()(particles[None], torch.ones(1, len(particles), 1))[0].mean(0))
    found = Embedding(seen, tmp_path / "e.onnx")(events)
    torch.testing.assert_close(found.double(), torch.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", [None, 5, ["e.onnx"], b"e.onnx"])
def test_a_path_must_be_one(path):
    with pytest.raises(InputError, match=r"encoder: .* is no path\. Give that of a file"):
        Embedding(VECTOR, path)


def test_bfloat16_is_named(tmp_path):
    tensors = {"0.weight": torch.ones(4, 3).bfloat16(), "0.bias": torch.ones(4).bfloat16()}
    about = {"network": "dense", "activation": "relu"}
    safetensors.torch.save_file(tensors, tmp_path / "e.safetensors", metadata=about)
    with pytest.raises(
        EncoderError, match=r"its weights are of bfloat16. Write them in single precision: tensor\.float"
    ):
        Embedding(VECTOR, tmp_path / "e.safetensors")


@pytest.fixture
def moved(events, tmp_path, monkeypatch):
    """A detector that was fitted on an encoder with a relative path, its scores, and its file below that folder;
    the program is elsewhere now."""
    monkeypatch.chdir(tmp_path)
    linear_onnx("e.onnx", *layers(3, 2)[0], (3,))
    detector = hepad.Mixture(representation=Embedding(VECTOR, "e.onnx"), n_gaussians=1).fit(events)
    path = tmp_path / "results/models/1.safetensors"
    detector.save(path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return path, detector.score(events)


def test_the_encoder_of_a_model_is_found_from_where_its_file_lies(moved, events):
    path, scores = moved
    linear_onnx("e.onnx", *layers(3, 2, seed=1)[0], (3,))  # another one under its name, where the program is
    for given in (path, "../results/models/1.safetensors"):
        np.testing.assert_array_equal(hepad.load(given).score(events), scores)


def test_another_encoder_in_its_place_is_refused_and_a_missing_one_named(moved, tmp_path):
    path, _ = moved
    linear_onnx(tmp_path / "e.onnx", *layers(3, 2, seed=1)[0], (3,))
    linear_onnx("e.onnx", *layers(3, 2, seed=2)[0], (3,))
    with pytest.raises(
        EncoderError, match=r"1\.safetensors: its representation: the events come from an encoder of SHA"
    ):
        hepad.load(path)
    for file in (tmp_path / "e.onnx", "e.onnx"):
        os.remove(file)
    with pytest.raises(EncoderError, match=r"1\.safetensors: e\.onnx: there is no such file"):
        hepad.load(path)


def test_an_encoder_is_known_by_its_content(tmp_path):
    """Wherever it lies: two detectors of one run may be combined, however their files were opened."""
    path = linear_onnx(tmp_path / "e.onnx", *layers(3, 2)[0], (3,))
    (tmp_path / "copy").mkdir()
    same, other = (tmp_path / f"{folder}/e.onnx" for folder in ("copy", "."))
    shutil.copy(path, same)
    assert Embedding(VECTOR, same).contains(Embedding(VECTOR, other))
    assert Joined([Embedding(VECTOR, same), VECTOR]).contains(Embedding(VECTOR, other))
    linear_onnx(same, *layers(3, 2, seed=1)[0], (3,))
    assert not Embedding(VECTOR, same).contains(Embedding(VECTOR, other))
    assert not Embedding(VECTOR, other).contains(VECTOR)
