"""The demo in the browser: as small as it says, needs no network, and is equal to Python where it claims to be.

Chromium is driven by tests/browser.py; what needs it is skipped where there is none.
"""

import base64
import gzip
import hashlib
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from browser import CHROMIUM, browser
from command_line import ROOT

from hepad import detectors
from hepad.detectors.energy_based.langevin import Sphere
from hepad.representations import JetImage, Space
from hepad.trigger.export.inference import about as about_file
from hepad.trigger.export.onnx_export import export

sys.path.insert(0, str(ROOT / "docs"))
import demo_models
import demo_pieces
import demo_steps
import make_demo

DEMO = ROOT / "docs" / "demo"
NAMES = ("qcd", "top", "digits")
KINDS = ("score", "steps")
TOLERANCE = 1e-4  # of scores
# what weights of 8 bits change of an AUC of three digits
ROUNDING = {"qcd": 0.0011, "top": 0.0021, "digits": 0.0081}
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


def unpacked(text):
    return gzip.decompress(base64.b85decode(text))


@pytest.fixture(scope="module")
def worlds():
    texts = {name: (DEMO / f"{name}.js").read_text() for name in NAMES}
    return {
        name: json.loads(text.removeprefix(f"worlds.{name} = ").removesuffix(";\n")) for name, text in texts.items()
    }


def weights_of(world):
    """Bytes of the tensors of a world, in single precision, read without the code that writes or shows the page."""
    data, shapes = unpacked(world["weights"]["data"]), world["weights"]["shapes"]
    scales = iter(np.frombuffer(data, "<f4", sum(rows for rows, _ in shapes)))
    values, tensors = data[4 * sum(rows for rows, _ in shapes) :], []
    for rows, columns in shapes:
        lines, values = values[: rows * columns], values[rows * columns :]
        lines = np.frombuffer(lines, np.int8).reshape(rows, columns)
        tensors.append(np.stack([next(scales) * line.astype("<f4") for line in lines]).tobytes())
    assert next(scales, None) is None
    assert not values
    return tensors


def file_of(pieces, tensors):
    """A file put together."""
    rest, file, end = unpacked(pieces["rest"]), b"", 0
    for place, k in pieces["at"]:
        file, end = file + rest[end:place] + tensors[k], place
    return file + rest[end:]


def files_of(world):
    """{detector: {"score": bytes, "steps": bytes}} of a world."""
    tensors = weights_of(world)
    return {
        name: {kind: file_of(pieces, tensors) for kind, pieces in about["files"].items()}
        for name, about in world["detectors"].items()
    }


@pytest.fixture(scope="module")
def files(worlds):
    return {name: files_of(world) for name, world in worlds.items()}


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """The page, opened from the disk, when it is ready."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(f"file://{DEMO}/index.html")
        opened.wait("typeof page !== 'undefined' && page.ready")
        yield opened


def images_of(world):
    """(N, 1, H, W) of the examples, made in Python."""
    if "jets" in world:
        rows = [example["particles"] for example in world["examples"]]
        return torch.cat([image_of_jet(particles, world["jets"]) for particles in rows])
    bytes_of = [base64.b64decode(example["pixels"]) for example in world["examples"]]
    return demo_models.pixels(np.stack([np.frombuffer(b, np.uint8).reshape(28, 28) for b in bytes_of]))


def image_of_jet(particles, settings):
    """(1, 1, H, W) by hepad.JetImage, of [[pt, eta, phi], ...]."""
    constituents = np.zeros((1, len(particles), 4), np.float32)
    constituents[0, :, :3] = particles
    return JetImage(**settings).transform(SimpleNamespace(constituents=constituents))


def scores_of(files, images):
    """{detector: (N,)} by ONNX Runtime in Python, of the shipped files of a world."""
    found = {}
    for name, file in files.items():
        session = onnxruntime.InferenceSession(file["score"])
        found[name] = session.run(["score"], {"features": images.numpy()})[0][:, 0]
    return found


def small(kind, unit_sum, network="strided"):
    """A detector of 8 x 8 pixels, not trained, and its spec."""
    space = Space((1, 8, 8), (), 64, unit_sum=unit_sum)
    few, chain = {"steps": 1}, {"n_steps": 1, "step_size": 0.1, "noise_std": 0.0}
    arguments = {
        "autoencoder": {"network": network, "hidden_dims": [6], "latent_dim": 5},
        "pretraining": few,
        "training": few,
        "latent_chain": chain,
        "visible_chain": chain,
    }
    spec = {"type": kind, "arguments": arguments}
    detector = detectors.build(spec, space, seed=3)
    detector.normalise.scale.fill_(0.02 if unit_sum else 1.0)
    for model in {detector.energy.autoencoder, *detector.manifolds()}:
        model.head.total.fill_(50.0 if unit_sum else 1.0)
        for parameter in model.parameters():
            parameter.data *= 2  # new networks are almost flat
    return detector, spec


# ---- what is shipped


def test_it_has_at_most_five_megabytes():
    sizes = {path.name: path.stat().st_size for path in DEMO.iterdir()}
    assert sum(sizes.values()) <= 5_000_000, sizes


def test_nothing_is_fetched_from_elsewhere():
    page = (DEMO / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all((DEMO / name).is_file() for name in named if not name.startswith("data:"))
    own = "".join((DEMO / name).read_text() for name in ("events.js", "models.js", "plots.js", "page.js", "page.css"))
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", own)


def test_the_licence_of_the_runtime_is_beside_it():
    version = re.search(r"ONNX Runtime Web v([\d.]+)", (DEMO / "ort.wasm.min.js").read_text())[1]
    assert version in (DEMO / "onnxruntime-licence.txt").read_text()
    assert version in (DEMO / "index.html").read_text()


def test_files_are_those_of_hepad_export(files, tmp_path):
    for of_world in files.values():
        for name, of_detector in of_world.items():
            file = tmp_path / "score.onnx"
            file.write_bytes(of_detector["score"])
            assert about_file(file)["spec"]["type"] == {"ae": "AE", "nae": "NAE", "mpdr": "MPDR"}[name]


def test_files_are_whole(worlds, files):
    for name, world in worlds.items():
        for detector, about in world["detectors"].items():
            found = {kind: hashlib.sha256(file).hexdigest() for kind, file in files[name][detector].items()}
            assert found == about["check"]["sha256"]


def test_scores_of_torch_and_of_the_files_are_the_same(worlds, files):
    for key, world in worlds.items():
        found = scores_of(files[key], images_of(world))
        for name, about in world["detectors"].items():
            np.testing.assert_allclose(found[name], about["check"]["scores"], rtol=0, atol=TOLERANCE)


def test_areas_under_the_curve_are_those_of_the_histograms(worlds):
    """Of each sample a histogram says what share lies in a bin, so that the area is known up to pairs in one bin."""
    for world in worlds.values():
        for about in world["detectors"].values():
            share = {label: np.array(counts) for label, counts in about["histogram"]["counts"].items()}
            share = {label: counts / counts.sum() for label, counts in share.items()}
            background = share[world["background"]]
            for label, area in about["auc"].items():
                least = (share[label] * (background.cumsum() - background)).sum()
                assert least - 2e-3 <= area <= least + (share[label] * background).sum() + 2e-3  # three digits a bin


def test_documentation_has_the_areas_of_the_page(worlds):
    text = (ROOT / "docs" / "demo.md").read_text()
    for world in worlds.values():
        for label in world["detectors"]["ae"]["auc"]:
            pairs = [(about["auc"][label], about["unrounded"][label]) for about in world["detectors"].values()]
            cells = [f"{now:.3f}" + (f" ({before:.3f})" if now != before else "") for now, before in pairs]
            assert f"| {world['background']} | {label} | {' | '.join(cells)} |" in text


def test_rounding_changes_little(worlds):
    for name, world in worlds.items():
        for about in world["detectors"].values():
            assert about["auc"] == pytest.approx(about["unrounded"], abs=ROUNDING[name])


def test_p_values_are_those_of_the_background():
    scores = np.random.default_rng(1).exponential(size=3000)
    knots = make_demo.background_of(scores)
    p = [(1 + np.sum(scores >= knot * (1 - 1e-6))) / 3001 for knot in knots["scores"]]
    np.testing.assert_allclose(knots["p"], p, rtol=1e-3)
    assert knots["p"][0] == 1
    assert knots["p"][-10:] == pytest.approx([(1 + k) / 3001 for k in range(10, 0, -1)], rel=1e-6)


# ---- weights of 8 bits, and files in pieces


def test_a_weight_has_8_bits_and_products_are_exact():
    weights = (
        np.random.default_rng(1).normal(size=(7, 2, 3)).astype(np.float32) * 10.0 ** np.arange(-3, 4)[:, None, None]
    )
    weights[2] = 0
    scales, values = demo_pieces.in_bits(weights)
    found = demo_pieces.of_bits(scales, values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, scales.astype(np.float64)[:, None] * values)
    largest = np.abs(weights).max((1, 2))
    assert (np.abs(found - weights.reshape(7, 6)) <= (0.5 + 2**-9) * largest[:, None] / 127).all()
    np.testing.assert_array_equal(np.abs(values).max(1), [127, 127, 0, 127, 127, 127, 127])
    np.testing.assert_array_equal(demo_pieces.of_bits(*demo_pieces.in_bits(found)), found)


def test_a_bias_keeps_five_digits():
    bias = np.array([0.3, -1e-7, 0.0, 12.5], np.float32)
    np.testing.assert_allclose(demo_pieces.of_bits(*demo_pieces.in_bits(bias))[:, 0], bias, rtol=2**-17)


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory):
    """A detector of two different networks as the page would hold it, and the file that `hepad export` writes of it."""
    detector, spec = small("MPDR", True, "dense")
    for parameter in detector.energy.parameters():
        parameter.data *= 1.5
    detector, folder = demo_pieces.rounded(detector), tmp_path_factory.mktemp("model")
    detectors.save(detector, folder / "model.safetensors", spec)
    events = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    export(folder / "model.safetensors", folder / "score.onnx", events=events / events.sum((1, 2, 3), keepdim=True))
    file, weights = (folder / "score.onnx").read_bytes(), demo_pieces.Weights([detector])
    return json.loads(json.dumps({"weights": weights.about(), "file": weights.pieces(file)})), file


def test_pieces_make_the_file_of_hepad_export(in_pieces):
    world, file = in_pieces
    assert len(world["file"]["at"]) == 8  # two layers of the encoder, two of the decoder, with their biases
    assert file_of(world["file"], weights_of(world)) == file


def test_every_weight_is_there_once(worlds):
    """The manifold of the NAE is its own network, that of MPDR is the AE: three networks in all."""
    for world in worlds.values():
        tensors = weights_of(world)
        assert len({*tensors}) == len(tensors)
        files = {name: about["files"] for name, about in world["detectors"].items()}
        own, steps = ({name: {k for _, k in file[kind]["at"]} for name, file in files.items()} for kind in KINDS)
        assert steps == own | {"mpdr": own["mpdr"] | own["ae"]}
        assert sorted(k for found in own.values() for k in found) == list(range(len(tensors)))
        for name, file in files_of(world).items():
            parameters = onnx.load_from_string(file["score"]).graph.initializer
            names = [tensor.name for tensor in parameters if tensor.name.endswith((".weight", ".bias"))]
            assert len(names) == len(own[name])


# ---- the graph of the chain


@pytest.mark.parametrize(("kind", "unit_sum"), [("MPDR", True), ("NAE", False)])
def test_energy_and_gradient_are_those_of_autograd(kind, unit_sum):
    detector, _ = small(kind, unit_sum)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, 1, 8, 8, generator=generator)
    x = x / x.sum() if unit_sum else x
    z, target = (Sphere().project(torch.randn(1, 5, generator=generator)) for _ in range(2))
    model, support, tie = detector.manifolds()[0], detector.normalise.support(), torch.tensor([0.3])
    z.requires_grad_(True)
    point = support.project(model.decode(z))
    energy = detector.energy.raw(point) + tie * (model.encode(point) - target).square().sum(1)
    (gradient,) = torch.autograd.grad(energy.sum(), z)
    session = onnxruntime.InferenceSession(demo_steps.graph(detector).SerializeToString())
    feeds = {"features": x, "z": z.detach(), "target": target, "tie": tie}
    found = dict(zip(demo_steps.OUTPUTS, session.run(None, {k: v.numpy() for k, v in feeds.items()}), strict=True))
    np.testing.assert_allclose(found["energy"], energy.detach(), rtol=1e-5)
    np.testing.assert_allclose(found["gradient"], gradient, rtol=0, atol=1e-5 * float(gradient.norm()))
    np.testing.assert_allclose(found["image"], detector.normalise.invert(point).detach(), atol=1e-6)
    np.testing.assert_allclose(found["reconstruction"], detector.reconstruct(x), atol=1e-6)
    np.testing.assert_allclose(found["code"], model.encode(detector.normalise(x)).detach(), atol=1e-6)


# ---- in the browser


@needs_chromium
def test_the_page_runs_from_a_disk_without_a_request(tab):
    assert tab.evaluate("at('loading').hidden")
    assert all(address.startswith((f"file://{DEMO}/", "blob:", "data:")) for address in tab.requests)


def in_the_browser(tab, weights, pieces):
    """A file as the page puts it together, in base64."""
    script = f"""weightsOf({weights}).then((weights) => assembled({pieces}, weights)).then((file) =>
        btoa(Array.from(file, (byte) => String.fromCharCode(byte)).join("")))"""
    return base64.b64decode(tab.evaluate(script))


@needs_chromium
def test_the_browser_makes_the_file_of_hepad_export(tab, in_pieces):
    world, file = in_pieces
    assert in_the_browser(tab, json.dumps(world["weights"]), json.dumps(world["file"])) == file


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_browser_are_those_of_python(tab, files, name):
    for detector, of_detector in files[name].items():
        for kind, file in of_detector.items():
            here = f"worlds.{name}.detectors.{detector}.files.{kind}"
            assert in_the_browser(tab, f"worlds.{name}.weights", here) == file


@needs_chromium
def test_scores_and_chains_are_those_of_torch(tab):
    worst = tab.evaluate("compareWithPython()")
    assert worst["score"] <= TOLERANCE
    assert worst["energy"] <= TOLERANCE
    assert worst["code"] <= TOLERANCE


@needs_chromium
def test_p_values_of_the_page_are_those_of_its_knots(tab, worlds):
    about = worlds["qcd"]["detectors"]["nae"]["background"]
    scores = [*about["scores"], -1.0, 1e9]
    script = f"loadWorld('qcd').then(({{ nae }}) => {json.dumps(scores)}.map((score) => nae.pValue(score)))"
    assert tab.evaluate(script) == pytest.approx([*about["p"], 1, 1 / (about["n"] + 1)], rel=1e-6)


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_images_are_those_of_python(tab, worlds, name):
    script = (
        f"worlds.{name}.examples.map((e) => Array.from(e.particles ? jetImage(e.particles, worlds.{name}.jets) : "
        f"(page.world = worlds.{name}, imageOfExample(e))))"
    )
    expected = images_of(worlds[name]).flatten(1).numpy()
    np.testing.assert_allclose(np.array(tab.evaluate(script)), expected, rtol=0, atol=1e-6)


@needs_chromium
@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_images_of_any_particles_are_those_of_python(tab, worlds, count):
    rng = np.random.default_rng(count)
    particles = np.stack([rng.exponential(10, count), *rng.normal(0, 0.3, (2, count))], 1)
    particles[:, 2] += 3.1  # across the seam of phi
    particles = particles.astype(np.float32).astype(float).tolist()
    settings = worlds["qcd"]["jets"]
    found = tab.evaluate(f"Array.from(jetImage({json.dumps(particles)}, {json.dumps(settings)}))")
    np.testing.assert_allclose(found, image_of_jet(particles, settings).flatten(), rtol=0, atol=1e-6)


def place(tab, x, y):
    """Where on the screen a point of the drawing is, whose coordinates run from 0 to 1, y downwards."""
    left, top, *box = tab.evaluate(
        "(() => { at('drawing').scrollIntoView(); const r = at('drawing').getBoundingClientRect(); "
        "return [r.left, r.top, ...page.box]; })()"
    )
    return left + box[0] + x * box[2], top + box[1] + y * box[3]


@needs_chromium
def test_a_drawn_jet_has_the_score_of_python(tab, worlds, files):
    tab.evaluate("showWorld('qcd')")
    tab.evaluate("at('clear').click()")
    tab.drag([place(tab, 0.5, 0.3)])
    tab.evaluate("(at('pt').value = 2, at('pt').oninput())")
    tab.drag([place(tab, 0.3 + 0.02 * k, 0.6 + 0.01 * k) for k in range(15)])
    tab.evaluate("schedule()")
    particles = tab.evaluate("page.particles")
    assert len(particles) > 8
    assert {pt for pt, *_ in particles} == {10, 100}
    assert particles[0][1:] == pytest.approx([0, 0.4 * 0.8], abs=0.01)
    image = image_of_jet(particles, worlds["qcd"]["jets"])
    expected = {name: float(score[0]) for name, score in scores_of(files["qcd"], image).items()}
    assert tab.evaluate("page.scores") == pytest.approx(expected, abs=TOLERANCE)


def digit_by_hand(strokes):
    """As events.js draws a digit: pen of half width 1.2, box of 20 pixels, centre of mass in the middle."""
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    scale, middle = (20 - 2.4) / (high - low).max(), (low + high) / 2
    grid = np.stack(np.meshgrid(np.arange(28) + 0.5, np.arange(28) + 0.5), -1).reshape(-1, 1, 2)

    def inked(centre):
        distance = np.full(len(grid), np.inf)
        for stroke in strokes:
            line = (np.asarray(stroke) - middle) * scale + centre
            a, d = line[:-1], np.diff(line, axis=0)
            square = (d**2).sum(1)
            t = (((grid - a) * d).sum(2) / np.where(square > 0, square, 1)).clip(0, 1)
            distance = np.minimum(distance, np.hypot(*np.moveaxis(grid - a - t[..., None] * d, 2, 0)).min(1))
        return (1.2 + 0.5 - distance).clip(0, 1)

    first = inked(np.array([14, 14]))
    image = inked(28 - (first[:, None] * grid[:, 0]).sum(0) / first.sum()).reshape(28, 28)
    return np.pad(image, 2).reshape(16, 2, 16, 2).mean((1, 3)).astype(np.float32)


@needs_chromium
def test_a_drawn_digit_has_the_score_of_python(tab, files):
    tab.evaluate("showWorld('digits')")
    tab.drag(
        [place(tab, 0.3 + 0.04 * k, 0.2) for k in range(10)] + [place(tab, 0.6, 0.3 + 0.05 * k) for k in range(10)]
    )
    tab.evaluate("schedule()")
    strokes = tab.evaluate("page.strokes")
    assert len(strokes) == 1
    image = digit_by_hand([np.array(stroke) for stroke in strokes])
    np.testing.assert_allclose(tab.evaluate("Array.from(page.image)"), image.ravel(), rtol=0, atol=1e-5)
    expected = {name: float(s[0]) for name, s in scores_of(files["digits"], torch.tensor(image)[None, None]).items()}
    assert tab.evaluate("page.scores") == pytest.approx(expected, abs=TOLERANCE)


@needs_chromium
def test_the_negative_samples_walk_down(tab):
    tab.evaluate("showWorld('qcd')")
    tab.evaluate("(at('noisy').checked = false, walk(20))")
    for name in ("nae", "mpdr"):
        energies = tab.evaluate(f"page.chains.{name}.frames.map((frame) => frame.energy)")
        assert len(energies) == 21
        assert energies[-1] < energies[0]


@needs_chromium
def test_it_fits_a_telephone(tab):
    tab.call("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=2, mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
