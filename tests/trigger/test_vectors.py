"""Test vectors: what a reader who has nothing of hepad finds in them, and that they are what the file decides."""

import csv
import json

import numpy as np
import onnxruntime
import pytest
import torch

from hepad import detectors
from hepad.cli.main import main
from hepad.representations import EventMatrix, Space
from hepad.representations.features import Features
from hepad.trigger.export import vectors as of_onnx
from hepad.trigger.export.inference import about
from hepad.trigger.vectors import NEAREST, Vectors, chosen, read

VECTOR = Space((3,), ("mass", "girth", "tau21"))
MATRIX = EventMatrix(jets=2, b_jets=0, muons=1, electrons=1, photons=0, features=("pt", "eta", "phi")).space
IMAGE = Space((1, 4, 4), (), 16, unit_sum=False)
PLANE = {"type": "Mixture", "arguments": {"n_gaussians": 2}}
PCA = {"type": "PCAReconstruction", "arguments": {"components": 5}}


def fitted(path, space, spec):
    """A detector of the events of :func:`drawn_events`, in a file."""
    detector, x = detectors.build(spec, space, 1), drawn_events(space)
    detector.fit(x, x, generator=torch.Generator().manual_seed(1))
    detectors.save(detector.eval(), path, spec)
    return detector


def drawn_events(space, n=2000):
    """Events of which every fifth number is zero."""
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(n, *space.shape, generator=generator)
    x[torch.rand(x.shape, generator=generator) < 0.2] = 0
    return x


def features(path, space):
    """The same in a file of features."""
    x = drawn_events(space)
    ids = np.arange(len(x))
    Features(x, space, np.full(len(x), 2, np.int8), np.ones(len(x)), ids, ids, np.zeros((len(x), 4), "f4")).write(path)
    return x


def plain(path):
    """(the first line, rows) as anyone reads them."""
    with open(path, newline="") as file:
        head = json.loads(file.readline().removeprefix("# "))
        return head, list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("space", "spec", "target"),
    [(VECTOR, PLANE, "cmssw"), (MATRIX, PLANE, "generic"), (MATRIX, PLANE, "athena"), (IMAGE, PCA, "generic")],
)
def test_another_implementation_finds_the_same_bits(space, spec, target, tmp_path, capsys):
    detector = fitted(tmp_path / "1.safetensors", space, spec)
    x = features(tmp_path / "f.h5", space)
    scores = detector.score(x).numpy()
    threshold = float(np.sort(scores)[-21])  # on the score of an event: twenty are above
    path = tmp_path / "d.onnx"
    options = ["--to", path, "--target", target, "--events", tmp_path / "f.h5", "--threshold", f"t={threshold!r}"]
    main(["export", *map(str, [tmp_path / "1.safetensors", *options])])
    assert "300 background, 5 below t, 5 above t" in capsys.readouterr().out
    head, rows = plain(tmp_path / "d.vectors.csv")
    found = about(path)
    assert head["digest"] == found["digest"]
    assert head["thresholds"] == found["thresholds"]
    assert [int(row["vector"]) for row in rows] == list(range(len(rows)))
    names = [name for name in rows[0] if name not in ("vector", "kind", "score", "pass_t")]
    assert names == [f"pixel_{i}" for i in range(space.pixels)] + found["columns"]
    session = onnxruntime.InferenceSession(str(path))
    given = np.array([[row[name] for name in names] for row in rows], np.float32)
    (again,) = session.run(None, {"features": given.reshape(len(rows), *session.get_inputs()[0].shape[1:])})
    written = np.array([row["score"] for row in rows], np.float32)
    assert np.array_equal(np.isnan(written), [row["kind"] == "nan" for row in rows])
    np.testing.assert_allclose(again[:, 0], written, rtol=head["rtol"], atol=head["atol"])
    passes = [int(score > head["thresholds"]["t"]) for score in written.astype(float)]
    assert [int(row["pass_t"]) for row in rows] == passes
    for kind, order in (("above t", np.sort(scores)[-20:-15]), ("below t", np.sort(scores)[-25:-20])):
        own = np.array([row["score"] for row in rows if row["kind"] == kind], float)
        np.testing.assert_allclose(np.sort(own), order, rtol=1e-5, atol=head["atol"])
        assert {row["pass_t"] for row in rows if row["kind"] == kind} == {str(int(kind == "above t"))}
    (zeros,) = [row for row in rows if row["kind"] == "zeros"]
    assert {float(zeros[name]) for name in names} == {0.0}
    empty = [sum(float(row[name]) == 0 for name in names) for row in rows if row["kind"] == "padded"]
    assert max(empty[:5]) == (x == 0).flatten(1).sum(1).max()
    if space.objects:
        alone = [row for row in rows if row["kind"] == "padded"][-1]
        assert {name.rpartition("_")[0] for name in names if float(alone[name])} <= {"jet1", "jet2"}
        assert len({name.rpartition("_")[0] for name in names if float(alone[name])}) == 1


def test_every_number_is_kept_to_the_last_bit(tmp_path):
    bits = np.random.default_rng(3).integers(0, 2**32, 30_000, dtype=np.uint32).view(np.float32)
    x = bits[np.isfinite(bits)][:29_000].reshape(-1, 2)
    Vectors(x, ["background"] * len(x), ["a", "b"], x[:, 0]).write(tmp_path / "v.csv", thresholds={})
    again = read(tmp_path / "v.csv")
    assert np.array_equal(again.x.astype(np.float32).view(np.uint32), x.view(np.uint32))
    with open(tmp_path / "v.csv") as file:
        texts = [line.split(",")[2] for line in file.read().splitlines()[2:]]
    assert np.array_equal(np.array(texts, np.float32).view(np.uint32), x[:, 0].view(np.uint32))


def test_a_detector_that_the_file_is_not_of_leaves_nothing(tmp_path, monkeypatch):
    fitted(tmp_path / "1.safetensors", VECTOR, PLANE)
    right = of_onnx.scores
    monkeypatch.setattr(of_onnx, "scores", lambda *args, **how: right(*args, **how) * np.float32(1.001))
    with pytest.raises(SystemExit, match="no test vectors can be written"):
        main(["export", str(tmp_path / "1.safetensors"), "--to", str(tmp_path / "out" / "d.onnx")])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_score_at_the_edge_that_is_not_fixed_is_left_out_by_name(tmp_path, monkeypatch):
    fitted(tmp_path / "1.safetensors", VECTOR, PLANE)
    right = of_onnx.scores

    def off(session, x, batch=256):
        return np.where((x == 0).all(axis=1), np.float32(7), right(session, x, batch))

    monkeypatch.setattr(of_onnx, "scores", off)
    of_onnx_path = tmp_path / "d.onnx"
    main(["export", str(tmp_path / "1.safetensors"), "--to", str(of_onnx_path)])
    _, rows = plain(tmp_path / "d.vectors.csv")
    assert "zeros" not in {row["kind"] for row in rows}
    assert {row["kind"] for row in rows} == {"drawn", "nan"}
    assert "do not fix" not in of_onnx.write_vectors(tmp_path / "e.csv", tmp_path / "1.safetensors", of_onnx_path)


@pytest.mark.parametrize(("nan", "score"), [("keep", "nan"), ("accept", "inf"), ("reject", "-inf")])
def test_what_the_file_gives_a_number_that_is_none(nan, score, tmp_path):
    fitted(tmp_path / "1.safetensors", VECTOR, PLANE)
    options = ["--to", str(tmp_path / "d.onnx"), "--nan", nan, "--threshold", "t=0"]
    main(["export", str(tmp_path / "1.safetensors"), *options])
    _, rows = plain(tmp_path / "d.vectors.csv")
    assert (rows[-1]["kind"], rows[-1]["mass"], rows[-1]["score"]) == ("nan", "nan", score)
    assert rows[-1]["pass_t"] == str(int(nan == "accept"))


def test_few_events_are_all_taken_and_a_threshold_may_have_none_above():
    x = torch.tensor([[1.0], [3.0], [2.0]])
    found, kinds = chosen(x, np.array([1.0, 3.0, 2.0]), {"t": 3.0, "u": 0.5}, Space((1,), ("a",)))
    assert kinds == ["background"] * 3 + ["below t"] * 3 + ["above u"] * 3 + ["zeros", "nan"]
    assert found.flatten().tolist()[3:9] == [1, 2, 3, 1, 2, 3]
    assert NEAREST == 5
