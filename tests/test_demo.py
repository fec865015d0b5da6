"""The demo in the browser: as small as it says, needs no network, and is equal to Python where it claims to be.

Chromium is driven by tests/browser.py; what needs it is skipped where there is none.
"""

import base64
import gzip
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from browser import CHROMIUM, browser
from command_line import ROOT

from hepad import detectors
from hepad.detectors.energy_based.langevin import Sphere
from hepad.representations import JetImage, Space
from hepad.trigger.export.inference import about as about_file

sys.path.insert(0, str(ROOT / "docs"))
import demo_models
import demo_steps
import make_demo

DEMO = ROOT / "docs" / "demo"
NAMES = ("qcd", "top", "digits")
TOLERANCE = 1e-4  # of scores
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


def unpacked(text):
    return gzip.decompress(base64.b85decode(text))


@pytest.fixture(scope="module")
def worlds():
    texts = {name: (DEMO / f"{name}.js").read_text() for name in NAMES}
    return {
        name: json.loads(text.removeprefix(f"worlds.{name} = ").removesuffix(";\n")) for name, text in texts.items()
    }


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


def scores_of(world, images):
    """{detector: (N,)} by ONNX Runtime in Python, of the shipped files."""
    found = {}
    for name, about in world["detectors"].items():
        session = onnxruntime.InferenceSession(unpacked(about["score"]))
        found[name] = session.run(["score"], {"features": images.numpy()})[0][:, 0]
    return found


# ---- what is shipped


def test_it_has_at_most_five_megabytes():
    sizes = {path.name: path.stat().st_size for path in DEMO.iterdir()}
    assert sum(sizes.values()) <= 5_000_000, sizes


def test_a_network_has_at_most_200_kilobytes(worlds):
    for world in worlds.values():
        for about in world["detectors"].values():
            assert len(unpacked(about["score"])) < 200_000
            assert max(len(about["score"]), len(about["steps"])) < 200_000


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


def test_files_are_those_of_hepad_export(worlds, tmp_path):
    for world in worlds.values():
        for name, about in world["detectors"].items():
            file = tmp_path / "score.onnx"
            file.write_bytes(unpacked(about["score"]))
            assert about_file(file)["spec"]["type"] == {"ae": "AE", "nae": "NAE", "mpdr": "MPDR"}[name]


def test_scores_of_torch_and_of_the_files_are_the_same(worlds):
    for world in worlds.values():
        found = scores_of(world, images_of(world))
        for name, about in world["detectors"].items():
            np.testing.assert_allclose(found[name], about["check"]["scores"], rtol=0, atol=TOLERANCE)


def test_p_values_are_those_of_the_background():
    scores = np.random.default_rng(1).exponential(size=3000)
    knots = make_demo.background_of(scores)
    p = [(1 + np.sum(scores >= knot * (1 - 1e-6))) / 3001 for knot in knots["scores"]]
    np.testing.assert_allclose(knots["p"], p, rtol=1e-3)
    assert knots["p"][0] == 1
    assert knots["p"][-10:] == pytest.approx([(1 + k) / 3001 for k in range(10, 0, -1)], rel=1e-6)


# ---- the graph of the chain


@pytest.mark.parametrize(("kind", "unit_sum"), [("MPDR", True), ("NAE", False)])
def test_energy_and_gradient_are_those_of_autograd(kind, unit_sum):
    space = Space((1, 8, 8), (), 64, unit_sum=unit_sum)
    network = {"network": "strided", "hidden_dims": [6], "latent_dim": 5}
    few, chain = {"steps": 1}, {"n_steps": 1, "step_size": 0.1, "noise_std": 0.0}
    arguments = {
        "autoencoder": network,
        "pretraining": few,
        "training": few,
        "latent_chain": chain,
        "visible_chain": chain,
    }
    detector = detectors.build({"type": kind, "arguments": arguments}, space, seed=3)
    detector.normalise.scale.fill_(0.02 if unit_sum else 1.0)
    for model in {detector.energy.autoencoder, *detector.manifolds()}:
        model.head.total.fill_(50.0 if unit_sum else 1.0)
        for parameter in model.parameters():
            parameter.data *= 2  # new networks are almost flat
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
def test_a_drawn_jet_has_the_score_of_python(tab, worlds):
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
    expected = {name: float(score[0]) for name, score in scores_of(worlds["qcd"], image).items()}
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
def test_a_drawn_digit_has_the_score_of_python(tab, worlds):
    tab.evaluate("showWorld('digits')")
    tab.drag(
        [place(tab, 0.3 + 0.04 * k, 0.2) for k in range(10)] + [place(tab, 0.6, 0.3 + 0.05 * k) for k in range(10)]
    )
    tab.evaluate("schedule()")
    strokes = tab.evaluate("page.strokes")
    assert len(strokes) == 1
    image = digit_by_hand([np.array(stroke) for stroke in strokes])
    np.testing.assert_allclose(tab.evaluate("Array.from(page.image)"), image.ravel(), rtol=0, atol=1e-5)
    expected = {name: float(s[0]) for name, s in scores_of(worlds["digits"], torch.tensor(image)[None, None]).items()}
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
