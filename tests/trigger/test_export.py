"""ONNX files: they score and decide as the detectors do, and keep to what the experiments' wrappers ask."""

import argparse
import copy
import csv
import json
import subprocess
import sys
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper

from hepad import detectors
from hepad.cli.export import add_command
from hepad.config.loading import detector_spec
from hepad.detectors import DETECTORS, flows
from hepad.detectors.combination import METHODS
from hepad.errors import InputError
from hepad.representations import EventMatrix, Space, build
from hepad.representations.features import Features
from hepad.storage.files import write_json
from hepad.storage.onnx_file import LEVELS, session
from hepad.trigger.export.closure_test import TOLERANCE, drawn, place
from hepad.trigger.export.contracts import OPSETS, TARGETS, check_contract
from hepad.trigger.export.inference import about, run
from hepad.trigger.export.layout import Layout
from hepad.trigger.export.metadata import digest_of
from hepad.trigger.export.onnx_export import export, sha256
from hepad.trigger.export.onnx_graph import closed, gram_schmidt
from hepad.trigger.export.thresholds import thresholds_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import export_c
import score_latency

VECTOR = Space((6,), ("mass", "b", "c", "d", "e", "f"))
IMAGE = Space((1, 12, 12), (), 144)
DIGIT = Space((1, 28, 28), (), 784, unit_sum=False)
BOTH = Space((150,), VECTOR.columns, 144)
MATRIX = EventMatrix(jets=6, b_jets=0, muons=4, electrons=3, photons=3, features=("pt", "eta", "phi")).space
ONE = {"steps": 1}
CHAINS = {
    "latent_chain": {"n_steps": 1, "step_size": 0.1, "noise_std": 0.1},
    "visible_chain": {"n_steps": 1, "step_size": 1, "noise_std": 1},
}
VISIBLE = {"visible_chain": CHAINS["visible_chain"], "training": ONE}
SMALL = {"hidden_dims": [16], "latent_dim": 4}
PHASES = {"pretraining": ONE, "training": ONE, "autoencoder": SMALL}
VAE = {"latent_dim": 4, "context": 8, "hidden_dims": [16], "training": ONE}
FLOW = {"hidden_dims": [16], "transforms": 2, "training": ONE}
PLANE = {"name": "plane", "type": "Mixture", "arguments": {"n_gaussians": 2}, "space": asdict(VECTOR)}
BLOB = {"name": "blob", "type": "AE", "arguments": {"autoencoder": SMALL, "training": ONE}, "space": asdict(IMAGE)}
MEMBERS = {"members": [PLANE, BLOB]}
CASES = [
    ("AE", IMAGE, {"autoencoder": SMALL, "training": ONE}),
    ("AE", IMAGE, {"autoencoder": {"network": "heidelberg", "hidden_dims": [16], "latent_dim": 4}, "training": ONE}),
    ("AE", DIGIT, {"autoencoder": {"network": "mnist", "hidden_dims": [32], "latent_dim": 4}, "training": ONE}),
    ("AE", BOTH, {"autoencoder": SMALL, "training": ONE}),
    ("AE", BOTH, {"autoencoder": SMALL, "training": ONE, "n_components": 4}),
    ("AE", MATRIX, {"autoencoder": {"network": "objects", **SMALL}, "training": ONE}),
    ("AE", Space((1, 12, 12), (), 144, unit_sum=False), {"autoencoder": SMALL, "training": ONE}),
    ("ConvVAE", IMAGE, VAE | {"flow": {"type": "Planar", "layers": 2}}),
    ("ConvVAE", VECTOR, VAE | {"network": "dense", "score": "importance", "samples": 4}),
    ("ConvVAE", MATRIX, VAE | {"network": "dense", "score": "elbo", "likelihood": "chamfer"}),
    *(
        ("ConvVAE", VECTOR, VAE | {"network": "dense", "score": "elbo", "flow": {"type": flow, "layers": 2}})
        for flow in flows.FLOWS
    ),
    ("NAE", IMAGE, PHASES | CHAINS),
    ("MPDR", VECTOR, PHASES | CHAINS | {"kind": "reconstruction"}),
    ("MPDR", VECTOR, PHASES | CHAINS | {"kind": "scalar"}),
    ("MPDR", VECTOR, PHASES | CHAINS | {"kind": "masked"}),
    ("WNAE", VECTOR, PHASES | VISIBLE),
    ("IGEBM", IMAGE, VISIBLE | {"network": "strided", "hidden_dims": [16]}),
    ("DRL", VECTOR, VISIBLE | {"sigma": [0.8, 1.0]}),
    ("FlowDensity", VECTOR, FLOW | {"kind": "NSF"}),
    ("FlowDensity", VECTOR, FLOW | {"kind": "MAF"}),
    ("FlowDensity", BOTH, FLOW | {"kind": "RealNVP", "n_components": 4}),
    ("LatentMixture", IMAGE, {"of": {"type": "AE", "autoencoder": SMALL}, "training": ONE, "n_gaussians": [1, 3]}),
    ("Contrastive", VECTOR, {"hidden_dims": [16], "embedding": 4, "n_gaussians": 2, "training": ONE}),
    ("WGAN", VECTOR, {"autoencoder": SMALL, "training": ONE, "encoding": ONE}),
    ("DAGMM", IMAGE, {"hidden_dims": [16], "latent_dim": 2, "n_gaussians": 3, "training": ONE}),
    ("DAGMM", VECTOR, {"hidden_dims": [16], "training": ONE}),
    ("DeepSVDD", IMAGE, {"network": "strided", "hidden_dims": [16], "training": ONE}),
    ("DeepSVDD", BOTH, {"n_components": 4, "training": ONE}),
    ("DeepSVDD", VECTOR, {"latent_dims": [2, 3], "centers": [1, 10], "training": ONE}),
    ("MaskedPrediction", IMAGE, {"hidden_dims": [16], "share": 0.75, "masks": 4, "patch": 3, "training": ONE}),
    ("MaskedPrediction", VECTOR, {"hidden_dims": [16], "training": ONE}),
    ("FlowMatching", VECTOR, {"hidden_dims": [16], "training": ONE}),
    ("FlowMatching", BOTH, {"hidden_dims": [16], "n_components": 4, "training": ONE}),
    ("Glow", IMAGE, {"depth": 2, "width": 8, "training": ONE}),
    ("Glow", DIGIT, {"depth": 2, "width": 8, "training": ONE}),
    ("PixelCNN", IMAGE, {"width": 4, "mixture": 2, "training": ONE}),
    ("PixelCNN", DIGIT, {"width": 4, "mixture": 2, "training": ONE}),
    ("Variable", VECTOR, {"variable": "d", "sign": -1}),
    ("Mixture", BOTH, {"n_gaussians": 3, "n_components": 4}),
    ("NearestNeighbours", BOTH, {"k": 3, "n_components": 4, "references": 50}),
    ("PCAReconstruction", IMAGE, {"components": 5}),
    ("PixelNorm", IMAGE, {}),
    *(("Combination", BOTH, MEMBERS | {"method": method}) for method in METHODS),
    ("Combination", BOTH, MEMBERS | {"given": ["mass"]}),
]


BATCHES = """
import json, sys
import numpy as np, onnxruntime as ort
for folder in sys.argv[1:]:
    x, found = np.load(folder + "/x.npy"), []
    for level in (ort.GraphOptimizationLevel.ORT_ENABLE_BASIC, ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        session = ort.InferenceSession(folder + "/d.onnx", options, providers=["CPUExecutionProvider"])
        for batch in (0, 1, 7):
            (scores,) = session.run(["score"], {"features": x[:batch]})
            assert scores.shape == (batch, 1), scores.shape
            found.append(scores[:, 0].tolist())
    print(json.dumps(found), flush=True)
"""


def saved(folder: Path, name: str, space: Space, arguments: dict) -> Path:
    """A detector with random weights and constants as a fit might leave them; the score does not look trained."""
    spec = {"type": name, "arguments": arguments}
    detector = detectors.build(spec, space, 1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        for key, buffer in detector.named_buffers():
            last = key.rpartition(".")[2]
            if last in ("scale", "width"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
            elif last in ("low", "high"):
                buffer.copy_((-1.0 if last == "low" else 1.0) * torch.ones(buffer.shape))
            elif last in ("mean", "mu", "shift", "center", "eps", "references"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator))
            elif last == "axes":
                buffer.copy_(torch.linalg.qr(torch.randn(buffer.shape, generator=generator).T)[0].T)
            elif last == "log_weight":
                buffer.copy_(-torch.rand(buffer.shape, generator=generator))
    path = folder / "model.safetensors"
    detectors.save(detector.eval(), path, spec)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("ae"), "AE", VECTOR, {"autoencoder": SMALL, "training": ONE})


@pytest.fixture(scope="module")
def of_objects(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("objects"), "AE", MATRIX, {"autoencoder": SMALL, "training": ONE})


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "ae.onnx"
    export(model, path, thresholds={"1kHz": 0.5}, hashes={"config": "ab"})
    return path


def test_every_detector_is_among_the_cases():
    assert {name for name, *_ in CASES} == {name for name, cls in DETECTORS.items() if not cls.no_graph}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Of a case, once: the folder with 'd.onnx' and events 'x.npy', what the export has found, and torch's scores."""

    @cache
    def of(number: int) -> tuple:
        folder = tmp_path_factory.mktemp("case")
        path = saved(folder, *CASES[number])
        found, detector = export(path, folder / "d.onnx"), detectors.load(path)
        x = drawn(detector, 300)
        np.save(folder / "x.npy", x.numpy())
        return folder, found, detector.score(x).numpy()

    return of


def close_to(expected: np.ndarray) -> dict:
    return {"rtol": 1e-5, "atol": 1e-5 * expected.std()}


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{name}-{len(of.shape)}" for name, of, _ in CASES])
def test_file_scores_as_torch_does(number, exported):
    folder, found, expected = exported(number)
    assert found.events == 1000
    assert found.difference <= TOLERANCE
    assert expected.std() > 0
    np.testing.assert_allclose(run(folder / "d.onnx", np.load(folder / "x.npy")), expected, **close_to(expected))


def test_files_score_small_batches_in_a_process_that_knows_nothing_of_hepad(exported):
    """A graph may end its process on an empty batch."""
    cases = [exported(number) for number in range(len(CASES))]
    command = [sys.executable, "-c", BATCHES, *(folder for folder, *_ in cases)]
    child = subprocess.run(command, capture_output=True, text=True)
    lines = child.stdout.splitlines()
    assert child.returncode == 0, f"after {CASES[len(lines)][0]} began: {child.returncode}, {child.stderr[-300:]}"
    for line, (_, _, expected) in zip(lines, cases, strict=True):
        for found in json.loads(line):
            np.testing.assert_allclose(found, expected[: len(found)], **close_to(expected))


@pytest.mark.parametrize(
    ("target", "opset"),
    [*(("generic", o) for o in OPSETS), *((t, o) for t in ("cmssw", "athena") for o in (OPSETS[0], OPSETS[-1]))],
)
def test_targets_and_opsets(of_objects, tmp_path, target, opset):
    export(of_objects, tmp_path / "d.onnx", target=target, opset=opset)
    read = onnx.load(tmp_path / "d.onnx")
    assert read.ir_version <= 8
    assert [(o.domain, o.version) for o in read.opset_import] == [("", opset)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.onnx"]
    for other in {target, "generic", "cmssw"}:
        check_contract(tmp_path / "d.onnx", other)


def test_athena_takes_a_vector_in_the_order_of_its_tool(tmp_path):
    path = saved(tmp_path, "AE", MATRIX, {"autoencoder": SMALL, "training": ONE})
    export(path, tmp_path / "a.onnx", target="athena")
    columns = about(tmp_path / "a.onnx")["columns"]
    objects = [name.rpartition("_")[0].rstrip("0123456789") for name in columns[::3]]
    assert objects == ["jet"] * 6 + ["electron"] * 3 + ["muon"] * 4 + ["photon"] * 3 + ["met"]
    assert columns[:3] == ["jet1_pt", "jet1_eta", "jet1_phi"]
    detector = detectors.load(path)
    x = drawn(detector, 50)
    by_name = dict(zip(MATRIX.columns, x.flatten(1).T, strict=True))
    vector = torch.stack([by_name[name] for name in columns], 1).numpy()
    np.testing.assert_allclose(run(tmp_path / "a.onnx", vector), detector.score(x), rtol=1e-4)
    layout = Layout(MATRIX, "athena")
    assert torch.equal(layout.to_model(layout.to_file(x)), x)
    assert not np.allclose(run(tmp_path / "a.onnx", x.flatten(1).numpy()), detector.score(x), rtol=1e-4)


def test_athena_is_told_what_the_tool_needs(of_objects, tmp_path, capsys):
    command(of_objects, "--to", tmp_path / "a.onnx", "--target", "athena")
    needed = "TrigADComboHypoTool needs max_jets=6, max_electrons=3, max_muons=4, max_photons=3"
    assert needed in capsys.readouterr().out
    verify(tmp_path / "a.onnx", "--target", "athena")
    assert needed in capsys.readouterr().out
    (source,) = session(tmp_path / "a.onnx").get_inputs()
    assert source.shape[1] == 3 * (6 + 3 + 4 + 3 + 1)  # input_tensor_size of the tool


COUNTS = {"jets": 6, "b_jets": 0, "muons": 3, "electrons": 3, "photons": 3}
OTHERS = {
    "substructure": build({"type": "EventVector", "variables": ["mass", "multiplicity", "met"]}).space,
    "48 numbers": Space((48,), tuple(f"x{i}" for i in range(48))),
    "default matrix": EventMatrix().space,
    "b jets": EventMatrix(**COUNTS | {"jets": 3, "b_jets": 3}, features=("pt", "eta", "phi")).space,
    "order": EventMatrix(**COUNTS, features=("pt", "phi", "eta")).space,
    "eta first": EventMatrix(**COUNTS, features=("eta", "pt", "phi")).space,
    "px, py": EventMatrix(**COUNTS, features=("px", "py", "eta")).space,
    "energy": EventMatrix(**COUNTS, features=("energy", "eta", "phi")).space,
    "mass": EventMatrix(**COUNTS, features=("pt", "eta", "phi", "mass")).space,
    "image": IMAGE,
    "image and vector": Space((147,), ("a", "b", "c"), 144),
    "no MET": Space((9,), tuple(f"jet{i}_{feature}" for i in (1, 2, 3) for feature in ("pt", "eta", "phi"))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_athena_refuses_what_its_tool_does_not_fill(tmp_path, name):
    path = saved(tmp_path, "AE", OTHERS[name], {"autoencoder": SMALL, "training": ONE})
    with pytest.raises(InputError, match="TrigADComboHypoTool fills") as caught:
        export(path, tmp_path / "d.onnx", target="athena")
    assert "features: [pt, eta, phi]" in str(caught.value)
    assert not (tmp_path / "d.onnx").exists()


@pytest.mark.parametrize(("name", "said"), [("48 numbers", "'x0' among them"), ("image and vector", "144 pixels")])
def test_a_vector_for_others_is_none_for_athena(tmp_path, name, said):
    path = saved(tmp_path, "AE", OTHERS[name], {"autoencoder": SMALL, "training": ONE})
    export(path, tmp_path / "d.onnx", target="cmssw")  # whose users fill the columns themselves
    with pytest.raises(InputError, match=said):
        check_contract(tmp_path / "d.onnx", "athena")


@pytest.mark.parametrize("counts", [{}, {"electrons": 0, "photons": 0}, {"jets": 0}, {"jets": 10, "muons": 1}])
def test_athena_takes_any_number_of_objects(tmp_path, counts):
    matrix = EventMatrix(**COUNTS | counts, features=("pt", "eta", "phi"))
    path = saved(tmp_path, "AE", matrix.space, {"autoencoder": SMALL, "training": ONE})
    export(path, tmp_path / "d.onnx", target="athena")
    expected = {f"max_{name}": number for name, number in (COUNTS | counts).items() if name != "b_jets"}
    assert about(tmp_path / "d.onnx")["tool"] == expected


def test_metadata(model, written):
    found = about(written)
    assert found["thresholds"] == {"1kHz": 0.5}
    assert found["config_sha256"] == "ab"
    assert found["model_sha256"] == sha256(model)
    assert found["spec"]["type"] == "AE"
    assert found["columns"] == list(VECTOR.columns)
    assert found["target"] == "generic"
    assert found["nan"] == "keep"
    assert found["digest"] == digest_of(onnx.load(written))


def test_decisions_at_thresholds_that_lie_on_scores(model, tmp_path):
    detector = detectors.load(model)
    x = drawn(detector, 3000)
    scores = detector.score(x).numpy()
    given = {str(q): float(np.sort(scores)[int(q * 3000)]) for q in np.arange(0.01, 1, 0.01).round(2)}
    stored = export(model, tmp_path / "d.onnx", thresholds=given, events=x).thresholds
    found = run(tmp_path / "d.onnx", x.numpy())
    for name, threshold in given.items():
        np.testing.assert_array_equal(found > np.float32(stored[name]), scores > np.float64(threshold))
        below, above = scores[scores <= threshold].max(), scores[scores > threshold].min()
        assert stored[name] == pytest.approx((below + above) / 2, abs=float(TOLERANCE * (threshold + scores.std())))


def test_place():
    scores = np.array([1.0, 2.0, 3.0], np.float32)
    up, down = (np.nextafter(scores, np.float32(d)) for d in (np.inf, -np.inf))
    assert place("t", 2.4, scores, down, up, 1e-5) == float(np.float32(2.4))  # no score is near: as it was given
    for threshold, passing, middle in ((2.0, 1, 2.5), (float(down[1]), 2, 1.5), (float(np.float32(2)) - 1e-12, 2, 1.5)):
        t = place("t", threshold, scores, down, up, 1e-5)
        assert (down > t).sum() == (up > t).sum() == (scores > np.float64(threshold)).sum() == passing
        assert t == pytest.approx(middle, abs=1e-6)
    for threshold, beyond in ((3.0, 3.0), (float(down[0]), 1.0)):  # no event on the other side: a tolerance away
        t = place("t", threshold, scores, down, up, 1e-5)
        assert (down > t).sum() == (up > t).sum() == (scores > np.float64(threshold)).sum()
        assert 1e-6 < abs(t - beyond) < 1e-4
    near = np.array([2.0, np.nextafter(np.float32(2), np.float32(3))], np.float32)
    assert place("t", 2.0, near, near, near, 1e-5) == 2.0  # neighbours in single precision: only the lower one fits
    twins = np.array([2.0, np.nextafter(np.float32(2), np.float32(3))], np.float32)
    with pytest.raises(InputError, match="rounding decides"):
        place("t", 2.0, twins, twins[::-1], twins[::-1], 1e-5)


def test_gram_schmidt_is_qr_of_positive_diagonal():
    a = torch.randn(50, 8, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, r = torch.linalg.qr(a)
    expected = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
    torch.testing.assert_close(gram_schmidt(a), expected)


def test_closing_keeps_the_class_of_other_detectors_whole(tmp_path):
    path = saved(tmp_path, "IGEBM", VECTOR, VISIBLE)
    first, second = detectors.load(path), closed(detectors.load(path))
    x = drawn(first, 20)
    torch.testing.assert_close(second.score(x), first.score(x))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target": "cms"}, "target 'cms' is unknown"),
        ({"opset": 18}, "opset: 18 must be a whole number between 13 and 17"),
        ({"thresholds": {"1kHz": float("nan")}}, "threshold '1kHz'"),
        ({"opset": 13.0}, "opset: 13.0 must be a whole number"),
        ({"events": torch.zeros(5, 7)}, r"at least 2 of shape \(6,\)"),
        ({"events": np.zeros((1, 6))}, r"events: shape \(1, 6\); at least 2"),
        ({"events": "results"}, "events: str is no array of numbers"),
        ({"events": torch.full((5, 6), torch.nan)}, "not finite"),
    ],
)
def test_bad_arguments_leave_no_file(model, tmp_path, arguments, said):
    with pytest.raises(InputError, match=said):
        export(model, tmp_path / "d.onnx", **arguments)
    assert not list(tmp_path.iterdir())


def test_paths_that_no_file_can_have(model, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "d.onnx", tmp_path / "file" / "in" / "d.onnx"):
        with pytest.raises(InputError, match="no file can have this path"):
            export(model, path)


def test_a_score_without_a_closed_graph_is_refused(model, tmp_path, monkeypatch):
    def anomaly(self, x):
        return torch.linalg.svdvals(x.unsqueeze(2) * x.unsqueeze(1))[:, 0]

    monkeypatch.setattr(DETECTORS["AE"], "anomaly", anomaly)
    with pytest.raises(InputError, match=r"AE: its score has no closed ONNX graph at opset 13: .*svdvals"):
        export(model, tmp_path / "d.onnx")
    assert not list(tmp_path.iterdir())


def test_a_graph_that_baked_the_example_in_is_refused(model, tmp_path, monkeypatch):
    own = DETECTORS["AE"].anomaly
    monkeypatch.setattr(DETECTORS["AE"], "anomaly", lambda self, x: own(self, x) * (1 + 0.1 * x[0, 0].item()))
    with pytest.raises(InputError, match="differ by"):
        export(model, tmp_path / "d.onnx")
    assert not list(tmp_path.iterdir())


def test_a_graph_for_one_batch_is_refused(model, tmp_path, monkeypatch):
    own = DETECTORS["AE"].anomaly
    monkeypatch.setattr(DETECTORS["AE"], "anomaly", lambda self, x: own(self, x) + torch.zeros(len(x)))
    with pytest.raises(InputError, match="does not run at a batch of"):
        export(model, tmp_path / "d.onnx")
    assert not list(tmp_path.iterdir())


def einsum() -> onnx.ModelProto:
    """A graph that ends its process with SIGFPE on no events."""
    nodes = [
        helper.make_node("Unsqueeze", ["features", "one"], ["rows"]),
        helper.make_node("Einsum", ["matrix", "rows"], ["product"], equation="kij,bki->bkj"),
        helper.make_node("ReduceSum", ["product", "two"], ["score"], keepdims=0),
    ]
    weights = [helper.make_tensor(name, INT64, [1], [i]) for i, name in enumerate(("zero", "one", "two"))]
    return graph(nodes=nodes, weights=[helper.make_tensor("matrix", FLOAT, [1, 6, 6], np.ones(36)), *weights])


def test_a_graph_that_ends_its_process_is_a_message(model, tmp_path, monkeypatch):
    onnx.save(einsum(), tmp_path / "d.onnx")
    with pytest.raises(InputError, match=r"ends the process that runs it \(SIG[A-Z]+\) at a batch of 0"):
        check_contract(tmp_path / "d.onnx")
    own = DETECTORS["AE"].anomaly
    root = torch.eye(6).repeat(2, 1, 1)
    monkeypatch.setattr(
        DETECTORS["AE"],
        "anomaly",
        lambda self, x: own(self, x) + 0 * torch.einsum("kij,bki->bkj", root, x.unsqueeze(1) - root[:, 0]).sum((1, 2)),
    )
    with pytest.raises(InputError, match="ends the process that runs it"):
        export(model, tmp_path / "e.onnx")
    assert not (tmp_path / "e.onnx").exists()


@pytest.mark.parametrize("name", ["AE", "Variable", "Mixture"])
@pytest.mark.parametrize(("nan", "expected"), [("keep", np.nan), ("accept", np.inf), ("reject", -np.inf)])
def test_events_with_numbers_that_are_not_finite(tmp_path, name, nan, expected):
    path = saved(tmp_path, *next(case for case in CASES if case[0] == name and case[1] in (VECTOR, BOTH)))
    export(path, tmp_path / "d.onnx", nan=nan)
    assert about(tmp_path / "d.onnx")["nan"] == nan
    detector = detectors.load(path)
    x = drawn(detector, 60)
    scores, damaged = detector.score(x).numpy(), x.flatten(1).clone()
    rows = torch.arange(1, 60)
    damaged[rows, rows % damaged.shape[1]] = torch.tensor([torch.nan, torch.inf, -torch.inf])[rows % 3]
    for level in LEVELS:
        found = session(tmp_path / "d.onnx", level).run(None, {"features": damaged.view_as(x).numpy()})[0][:, 0]
        assert found[0] == pytest.approx(scores[0], rel=1e-4)
        if nan != "keep":
            assert (found[1:] == expected).all()
        elif name == "Variable":  # looks at one number: that of the others is lost is not seen
            assert np.isfinite(found[1:]).any()
        else:
            assert np.isnan(found[1:]).all()


def test_a_score_that_overflows_is_not_rejected(tmp_path):
    path = saved(tmp_path, "Mixture", VECTOR, {"n_gaussians": 1})
    export(path, tmp_path / "d.onnx", nan="reject")
    assert run(tmp_path / "d.onnx", np.full((1, 6), 1e30)).tolist() == [np.inf]


def test_model_that_is_none(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a usable hepad model"):
        export(tmp_path / "m.safetensors", tmp_path / "d.onnx")


def graph(inputs=None, outputs=None, nodes=None, opset=13, ir=7, domain="", weights=()) -> onnx.ModelProto:
    """The sum of six numbers, or what the arguments make of it."""
    inputs = inputs or [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 6])]
    outputs = outputs or [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])]
    if nodes is None:
        weights = [helper.make_tensor("axes", TensorProto.INT64, [1], [1])]
        nodes = [helper.make_node("ReduceSum", ["features", "axes"], ["score"], keepdims=1)]
    made = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=ir)


def value(name, kind, shape):
    return [helper.make_tensor_value_info(name, kind, shape)]


FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
ROW = helper.make_node("Identity", ["features"], ["score"])
CAST = [helper.make_node("Cast", ["features"], ["f"], to=FLOAT)]
CAST += [helper.make_node("ReduceMean", ["f"], ["score"], axes=[1], keepdims=1)]
WIDE = [helper.make_node("ReduceMean", ["features"], ["m"], axes=[1], keepdims=1)]
WIDE += [helper.make_node("Cast", ["m"], ["score"], to=DOUBLE)]
ALL = helper.make_node("ReduceMean", ["features"], ["score"], keepdims=1)
TWO = [helper.make_node("ReduceMean", ["features"], [name], axes=[1], keepdims=1) for name in ("score", "other")]
BROKEN = {
    "IR version 10": {"ir": 10},
    "opset 18, not 13 to 17": {"opset": 18},
    "opset 12, not 13 to 17": {"opset": 12, "nodes": [WIDE[0], helper.make_node("Identity", ["m"], ["score"])]},
    "1 inputs and 2 outputs": {
        "nodes": TWO,
        "outputs": value("score", FLOAT, ["batch", 1]) + value("other", FLOAT, ["batch", 1]),
    },
    "the input is tensor(int64)": {"inputs": value("features", INT64, ["batch", 6]), "nodes": CAST},
    "the output is tensor(double)": {"outputs": value("score", DOUBLE, ["batch", 1]), "nodes": WIDE},
    "the batch of the input is fixed": {"inputs": value("features", FLOAT, [1, 6])},
    "a dimension of the input besides the batch is open": {"inputs": value("features", FLOAT, ["batch", "n"])},
    "a dimension of the output besides the batch is open": {
        "outputs": value("score", FLOAT, ["batch", "n"]),
        "nodes": [
            helper.make_node("NonZero", ["features"], ["i"]),
            helper.make_node("Transpose", ["i"], ["j"], perm=[0, 1]),
            helper.make_node("Cast", ["j"], ["score"], to=FLOAT),
        ],
    },
    "its names are": {
        "inputs": value("x", FLOAT, ["batch", 6]),
        "nodes": [helper.make_node("ReduceMean", ["x"], ["score"], axes=[1], keepdims=1)],
    },
    "at batch 1 the output has 6 elements": {"nodes": [ROW], "outputs": value("score", FLOAT, ["batch", 6])},
    "the batch of the output is fixed": {"nodes": [ALL]},
    "operators of the domain 'com.microsoft'": {"domain": "com.microsoft", "opset": 1},
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_that_keeps_the_contract(tmp_path, target):
    onnx.save(graph(), tmp_path / "d.onnx")
    check_contract(tmp_path / "d.onnx", target)
    assert run(tmp_path / "d.onnx", np.ones((3, 6))).tolist() == [6, 6, 6]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("said", BROKEN)
def test_a_file_that_breaks_the_contract(tmp_path, said, target):
    onnx.save(graph(**BROKEN[said]), tmp_path / "d.onnx")
    with pytest.raises(InputError) as caught:
        check_contract(tmp_path / "d.onnx", target)
    assert said in str(caught.value)


def test_weights_in_a_side_file_are_refused(written, tmp_path):
    path = tmp_path / "d.onnx"
    onnx.save_model(onnx.load(written), path, save_as_external_data=True, size_threshold=0, location="d.data")
    with pytest.raises(InputError, match="side file"):
        check_contract(path)


def external() -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="d.data")
    return tensor


def branch(tensor, depth: int) -> onnx.GraphProto:
    """A graph of one output (batch, 1), whose weight, or constant, lies ``depth`` Ifs deep."""
    out = value("out", FLOAT, ["batch", 1])
    if depth:
        inner = branch(tensor, depth - 1)
        node = helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
        return helper.make_graph([node], "deep", [], out)
    if isinstance(tensor, onnx.TensorProto):
        return helper.make_graph([helper.make_node("Add", ["sum", "w"], ["out"])], "g", [], out, [tensor])
    return helper.make_graph([tensor, helper.make_node("Add", ["sum", "w"], ["out"])], "g", [], out)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("kind", ["initializer", "Constant", "sparse"])
def test_side_files_are_found_at_any_depth(tmp_path, depth, kind):
    weight = external()
    if kind == "Constant":
        weight = helper.make_node("Constant", [], ["w"], value=external())
    if kind == "sparse":
        sparse = onnx.SparseTensorProto(values=external(), dims=[1])
        weight = helper.make_node("Constant", [], ["w"], sparse_value=sparse)
    nodes = [helper.make_node("ReduceSum", ["features", "axes"], ["sum"], keepdims=1)]
    nodes += branch(weight, depth).node
    nodes[-1].output[0] = "score"
    weights = [helper.make_tensor("axes", INT64, [1], [1]), helper.make_tensor("yes", TensorProto.BOOL, [], [True])]
    onnx.save(graph(nodes=nodes, weights=weights), tmp_path / "d.onnx")
    with pytest.raises(InputError, match="weights in a side file"):
        check_contract(tmp_path / "d.onnx")


def test_side_files_and_operators_of_functions(tmp_path):
    made = graph()
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    constant = helper.make_node("Constant", [], ["y"], value=external())
    made.functions.append(helper.make_function("", "own", ["x"], ["y"], [constant], opsets))
    (tmp_path / "d.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match=r"com\.microsoft.*weights in a side file"):
        check_contract(tmp_path / "d.onnx")


def changed(path: Path, how) -> None:
    read = onnx.load(path)
    how(read)
    onnx.save(read, path)


def without_weights(read):
    for tensor in read.graph.initializer:
        if tensor.data_type == FLOAT:
            tensor.raw_data = bytes(len(tensor.raw_data))


def lower_threshold(read):
    (entry,) = (e for e in read.metadata_props if e.key == "thresholds")
    entry.value = '{"1kHz": -1e9}'


def without_digest(read):
    kept = [e for e in read.metadata_props if e.key != "digest"]
    del read.metadata_props[:]
    read.metadata_props.extend(kept)


def other_name(read):
    read.metadata_props.add(key="hepad", value="9")


@pytest.mark.parametrize("how", [without_weights, lower_threshold, without_digest, other_name])
def test_a_file_that_was_changed_is_refused(written, tmp_path, how):
    path = tmp_path / "d.onnx"
    path.write_bytes(written.read_bytes())
    digest = about(path)["digest"]
    verify(path, "--digest", digest.upper())
    changed(path, lambda read: None)  # read and written again it is the same
    verify(path, "--digest", digest)
    changed(path, how)
    for use in (check_contract, about, lambda p: run(p, np.zeros((1, 6))), lambda p: verify(p)):
        with pytest.raises(InputError, match=r"d\.onnx.*digest"):
            use(path)


def test_a_file_that_was_sealed_anew_has_another_digest(written, tmp_path):
    path, digest = tmp_path / "d.onnx", about(written)["digest"]
    path.write_bytes(written.read_bytes())
    for how in (without_weights, without_digest):
        changed(path, how)
    changed(path, lambda read: read.metadata_props.add(key="digest", value=digest_of(read)))
    verify(path)
    with pytest.raises(InputError, match="another export, or was changed"):
        verify(path, "--digest", digest)


def test_damaged_metadata_are_a_message(written, tmp_path):
    path, read = tmp_path / "d.onnx", onnx.load(written)
    without_digest(read)
    for key in ("hepad", "target", "thresholds", "columns", "space", "spec", "nan", "tool"):
        for text in ("", "{", "[", "[1, 2]", '{"a": null}', '{"a": NaN}', '{"a": true}', '{"a": 1e999}', "[" * 10_000):
            damaged = copy.deepcopy(read)
            (entry,) = (e for e in damaged.metadata_props if e.key == key)
            entry.value = text
            damaged.metadata_props.add(key="digest", value=digest_of(damaged))
            path.write_bytes(damaged.SerializeToString())
            other_spec = key in ("spec", "tool") and len(text) > 1 and text[0] == "{"
            with nullcontext() if other_spec else pytest.raises(InputError, match=r"d\.onnx: its metadata"):
                about(path)


def test_damaged_files_of_others_are_a_message(tmp_path, capfd):
    """Such as one whose names are no text: it runs, or is refused in one line."""
    path, whole, rng = tmp_path / "d.onnx", graph().SerializeToString(), np.random.default_rng(1)
    refused = 0
    for position in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with suppress(InputError):
            run(path, np.zeros((2, 6)))
            refused -= 1
        refused += 1
    assert refused > 200
    assert capfd.readouterr() == ("", "")


def test_any_damaged_byte_is_a_message(written, tmp_path):
    path, whole, rng = tmp_path / "d.onnx", written.read_bytes(), np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"d\.onnx"):
            about(path)


@pytest.mark.parametrize("kept", [0, 5, 200])
def test_damaged_files_are_refused(written, tmp_path, kept):
    (tmp_path / "d.onnx").write_bytes(written.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"d\.onnx"):
        check_contract(tmp_path / "d.onnx")
    with pytest.raises(InputError, match="not a readable ONNX file"):
        check_contract(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((3, 7)), r"events of shape \(N, 6\) are needed, not \(3, 7\)"),
        (np.zeros(6), r"not \(6,\)"),
        (np.full((1, 6), np.inf), "finite"),
        (np.array([["a"] * 6]), "finite numbers"),
        ({"x": np.zeros((1, 6))}, "the input is called 'features', not 'x'"),
    ],
)
def test_wrong_events_are_refused(written, x, said):
    with pytest.raises(InputError, match=said):
        run(written, x)


def test_scores_by_name_and_of_no_events(written):
    x = np.random.default_rng(0).random((300, 6))
    assert np.array_equal(run(written, {"features": x}), run(written, x))
    assert run(written, x[:0]).shape == (0,)


def command(*arguments, name: str = "export") -> None:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    args = parser.parse_args([name, *map(str, arguments)])
    args.run(args)


verify = partial(command, name="verify")


def test_command(model, tmp_path, capsys):
    path, config = tmp_path / "d.onnx", tmp_path / "c.yaml"
    config.write_text("a: 1\n")
    command(model, "--to", path, "--target", "cmssw", "--opset", 15, "--config", config, "--threshold", "1kHz=0.25")
    assert "threshold 1kHz: score > 0.25" in capsys.readouterr().out
    found = about(path)
    assert found["thresholds"] == {"1kHz": 0.25}
    assert found["config_sha256"] == sha256(config)
    for text in ("1kHz", "=3", "1kHz=x"):
        with pytest.raises(InputError, match="NAME=VALUE"):
            command(model, "--to", path, "--threshold", text)


def rates_of(path, model, *, declared=True, of="total", remark=""):
    """The rates of a run: a resolved threshold, and one that the sample does not fix."""
    points = [
        {
            "budget_khz": 100 if declared else None,
            "eps_b": 0.01,
            "threshold": 0.1 + 0.2,
            "resolved": True,
            "remark": remark,
        },
        {
            "budget_khz": 0.15 if declared else None,
            "eps_b": 1e-5,
            "threshold": 0.9,
            "resolved": False,
            "remark": "3 pass.",
        },
    ]
    record = {"detector": "ae", "seed": 1, "of": of, "scale_khz": 28608.8 if declared else None, "remarks": {}}
    write_json(path, [record | {"model_sha256": digest, "points": points} for digest in ("0" * 64, sha256(model))])
    return path


def test_thresholds_of_the_run(model, tmp_path, capsys):
    rates, path = rates_of(tmp_path / "level1.json", model), tmp_path / "d.onnx"
    command(model, "--to", path, "--rates", rates)  # what is resolved, to the last digit that single precision has
    found = about(path)
    assert found["thresholds"] == {"100kHz": pytest.approx(0.1 + 0.2, rel=1e-7)}
    assert found["rates_sha256"] == sha256(rates)
    capsys.readouterr()
    command(model, "--to", path, "--rates", rates, "--budget", 0.15, "--budget", 100, "--threshold", "own=0.5")
    assert set(about(path)["thresholds"]) == {"100kHz", "0.15kHz", "own"}
    assert "3 pass." in capsys.readouterr().out
    rates = rates_of(tmp_path / "qcd.json", model, declared=False, of="pure")
    assert thresholds_of(rates, model, []) == {"eps_b_0.01_pure": (0.1 + 0.2, True, "")}
    for budgets, message in (([3.0], "no threshold for 3 of the background; there are those for 0.01, 1e-05"),):
        with pytest.raises(InputError, match=message):
            thresholds_of(rates, model, budgets)
    with pytest.raises(InputError, match="of that name"):
        command(model, "--to", path, "--rates", rates, "--threshold", "eps_b_0.01_pure=1")
    with pytest.raises(InputError, match="--budget: the rates"):
        command(model, "--to", path, "--budget", 100)


def test_thresholds_of_another_training_are_refused(model, tmp_path):
    rates = rates_of(tmp_path / "level1.json", model)
    other = tmp_path / "2.safetensors"
    other.write_bytes(b"another")
    with pytest.raises(InputError, match=r"were not found with .*2\.safetensors: none of its 2 trainings"):
        thresholds_of(rates, other, [100.0])
    write_json(tmp_path / "auc.json", [{"detector": "ae"}])
    with pytest.raises(InputError, match="no rates of hepad"):
        thresholds_of(tmp_path / "auc.json", model, [])


NOT_NUMBERS = (None, True, "0.3", [0.3], {"value": 0.3}, float("nan"), float("inf"), 10**400, 1e300)
DAMAGE = [(key, value) for key in ("threshold", "eps_b", "budget_khz", "scale_khz") for value in NOT_NUMBERS]
DAMAGE += [("points", value) for value in (None, {}, "abc", 3, [], [None], [[]], [3], ["a"], [{}])]
DAMAGE += [("remarks", value) for value in (None, [], "abc", {"qcd": None}, {"qcd": ["a"]}, {"qcd": {}})]
DAMAGE += [("of", value) for value in (None, 3, "pur", [], {})]
DAMAGE += [("resolved", value) for value in (None, 1, "true", [], {})]
DAMAGE += [("remark", value) for value in (None, 3, [], {}, True)]
DAMAGE += [("model_sha256", value) for value in (3, [], {}, True)]


@pytest.mark.parametrize(("key", "wrong"), [*DAMAGE, *((key, ...) for key in dict(DAMAGE))])
def test_damaged_rates_are_a_message(model, tmp_path, key, wrong):
    """A value of another kind, or none at all (...), wherever the key is; what is left as it was is still read."""
    path = rates_of(tmp_path / "level1.json", model)
    records = json.loads(path.read_text())
    for part in (record if key in record else point for record in records for point in record["points"]):
        part.pop(key, None)
        if wrong is not ...:
            part[key] = wrong
    path.write_text(json.dumps(records))
    with pytest.raises(InputError, match=r"level1\.json") as caught:
        thresholds_of(path, model, [])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "3", '"rates"', "{}", "[]", "[[]]", "[3]", "[null]", "[{}]", "{", "[" * 100_000, "\x00"),
        *('[{"model_sha256": null}]', '{"model_sha256": "a"}', "<html>", "NaN", "version https://git-lfs.github.com"),
    ],
)
def test_files_that_are_no_rates_are_a_message(model, tmp_path, text):
    path = tmp_path / "level1.json"
    path.write_text(text)
    for damaged in (text.encode(), b"\xff\xfe" + text.encode("utf-16-le")):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"level1\.json"):
            thresholds_of(path, model, [])


def test_rates_cut_off_anywhere_are_a_message(model, tmp_path):
    path = rates_of(tmp_path / "level1.json", model)
    whole = path.read_bytes()
    for kept in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=r"level1\.json"):
            thresholds_of(path, model, [])


def test_thresholds_that_no_number_can_hold(model, tmp_path):
    for text in ("1kHz=1e39", "1kHz=-1e39", "1kHz=inf", "1kHz=nan"):
        with pytest.raises(InputError, match="threshold '1kHz'"):
            command(model, "--to", tmp_path / "d.onnx", "--threshold", text)
    stored = export(model, tmp_path / "d.onnx", thresholds={"none": 3e38, "all": -3e38}).thresholds
    assert stored == {"none": pytest.approx(3e38), "all": pytest.approx(-3e38)}


def test_exports_in_a_c_program(tmp_path):
    try:
        program = export_c.compiled(tmp_path)
    except InputError as error:
        pytest.skip(str(error))
    path = saved(tmp_path, "Mixture", BOTH, {"n_gaussians": 3, "n_components": 4})
    detector = detectors.load(path)
    x = drawn(detector, 30)
    x.numpy().tofile(tmp_path / "events")
    expected = detector.score(x).numpy()
    export(path, tmp_path / "model.onnx")
    for batch in export_c.BATCHES:
        largest, status = export_c.compare(tmp_path, program, batch, expected)
        assert status == "equal"
        assert largest <= TOLERANCE
    assert export_c.compare(tmp_path, program, 7, expected + 1)[1] == "differs"
    onnx.save(einsum(), tmp_path / "model.onnx")
    assert export_c.compare(tmp_path, program, 0, expected) == [None, "killed by SIGFPE"]


def test_trainings_are_shortened_wherever_they_are():
    spec = {"training": {"steps": 900, "learning_rate": 1}, "of": {"type": "AE", "pretraining": {"steps": 20}}}
    spec |= {"visible_chain": {"steps": 500}}
    expected = {"training": {"steps": 50, "learning_rate": 1}, "of": {"type": "AE", "pretraining": {"steps": 20}}}
    assert export_c.shortened(spec, 50) == expected | {"visible_chain": {"steps": 500}}


def test_latency_at_the_smoke_scale(tmp_path):
    config = yaml.safe_load(score_latency.CONFIG.read_text())
    space = build(config["representations"]["vector"]).space
    for name in score_latency.SMOKE:
        entry = config["detectors"][name]
        chosen = detector_spec(entry)["arguments"]
        folder = tmp_path / "models" / score_latency.TASK / name
        folder.mkdir(parents=True)
        saved(folder, entry["type"], space, chosen).rename(folder / "1.safetensors")
    task = config["tasks"][score_latency.TASK]
    for seed, sample in enumerate([task["background"], *task["signals"]]):
        x = torch.rand(600, *space.shape, generator=torch.Generator().manual_seed(seed))
        beside = (np.zeros(600, np.int8), np.ones(600), np.arange(600), np.arange(600), np.zeros((600, 4)))
        Features(x, space, *beside).write(tmp_path / "features" / "vector" / f"{sample}.test.h5")
    runs, tables = tmp_path / "runs", tmp_path / "tables"
    where = ["--results", str(tmp_path), "--runs", str(runs), "--tables", str(tables)]
    score_latency.main(["--scale", "smoke", *where])
    rows = list(csv.DictReader((runs / "score_latency.csv").open()))
    assert tuple(rows[0]) == score_latency.COLUMNS
    assert {(row["detector"], row["batch"]) for row in rows} == {
        (d, b) for d in score_latency.SMOKE for b in ("1", "256")
    }
    assert {"eager", "onnx", "onnx_all"} <= {row["engine"] for row in rows}
    assert {row["engine"] for row in rows if row["detector"] == "mass"} == {"eager", "onnx", "onnx_all"}
    assert all(float(row["median_us"]) > 0 for row in rows)


def test_latency_rows():
    taken = {"1": {"eager": 600.0, "onnx": 100.0, "int8": 50.0}}
    record = {"run": {"detector": "ae"}, "result": {"int8_holds": False, "median_us": taken}}
    rows = score_latency.rows([record])
    assert [(row["engine"], row["median_us"], row["ratio_to_eager"]) for row in rows] == [
        ("eager", "600.0", "1.00"),
        ("onnx", "100.0", "6.00"),
    ]
    record["result"]["int8_holds"] = True
    assert [row["engine"] for row in score_latency.rows([record])] == ["eager", "onnx", "int8"]
