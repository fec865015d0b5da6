"""Representations: one contract for all of them, then the symmetries and sums of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from encoders import dense_safetensors, layers
from scipy.ndimage import gaussian_filter

from hepad.errors import InputError
from hepad.representations import REPRESENTATIONS, EventVector, JetImage, Joined, build, declustering
from hepad.representations.event_vector import VARIABLES, with_units

VECTOR = {"type": "EventVector", "variables": list(VARIABLES)}
ARGUMENTS = {"EventVector": VECTOR, "Joined": {"parts": [VECTOR, {"type": "JetImage", "sigma": 2}]}}


@pytest.fixture(scope="module")
def events(make_events):
    made = make_events(60, 3, prongs=2)
    # double precision, so that invariances can be tested without a constituent crossing the edge of a pixel
    return replace(made, constituents=made.constituents.astype(np.float64))


@pytest.fixture
def image_of(make_events):
    """Image (size, size) of one jet given as rows (pt, eta, phi)."""

    def image(rows, **arguments):
        constituents = np.zeros((1, len(rows), 4))
        constituents[0, :, :3] = rows
        return JetImage(**arguments)(replace(make_events(1, 0), constituents=constituents))[0, 0].double().numpy()

    return image


def with_plane(events, eta, phi):
    constituents = events.constituents.copy()
    present = constituents[..., 0] > 0
    constituents[..., 1] = eta * present
    constituents[..., 2] = ((phi + np.pi) % (2 * np.pi) - np.pi) * present
    return replace(events, constituents=constituents)


class TestContract:
    @pytest.fixture(params=sorted(REPRESENTATIONS))
    def representation(self, request, tmp_path):
        arguments = ARGUMENTS.get(request.param, {})
        if request.param == "Embedding":
            encoder = dense_safetensors(tmp_path / "e.safetensors", layers(len(VARIABLES), 16, 5), "tanh")
            arguments = {"input": VECTOR, "encoder": str(encoder)}
        return build({"type": request.param, **arguments})

    def test_shape_and_type(self, representation, events):
        x, space = representation(events), representation.space
        assert x.dtype == torch.float32
        assert x.shape == (len(events), *space.shape)
        assert x.isfinite().all()
        assert x.flatten(1).std(dim=0).max() > 0
        assert space.pixels + len(space.columns) == x[0].numel()
        assert len(set(space.columns)) == len(space.columns)

    def test_columns_can_stand_at_an_axis(self, representation):
        labels = with_units(representation.space.columns)
        assert len(labels) == len(representation.space.columns)
        assert {"constituent3_dphi [rad]", "constituent3_z"} <= set(labels) or "constituent3_z" not in labels

    def test_rows_are_independent(self, representation, events):
        x = representation(events)
        order = np.random.default_rng(0).permutation(len(events))
        torch.testing.assert_close(representation(events[order]), x[order])
        torch.testing.assert_close(representation(events[7:8]), x[7:8])
        torch.testing.assert_close(torch.cat(list(representation.blocks(events, size=17))), x)

    def test_no_events(self, representation, events):
        assert representation(events[:0]).shape == (0, *representation.space.shape)

    def test_padding_and_order_of_constituents(self, representation, events):
        c = events.constituents
        longer = np.pad(c, ((0, 0), (0, 9), (0, 0)))
        shuffled = np.random.default_rng(1).permuted(np.arange(longer.shape[1])[None].repeat(len(c), 0), axis=1)
        other = replace(events, constituents=np.take_along_axis(longer, shuffled[..., None], axis=1))
        torch.testing.assert_close(representation(other), representation(events), rtol=2e-5, atol=1e-6)

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_few_constituents(self, representation, events, count):
        x = representation(replace(events, constituents=events.constituents[:, :count]))
        assert x.isfinite().all()

    def test_empty_jets_are_counted(self, representation, events):
        constituents = events.constituents.copy()
        constituents[[4, 9, 11]] = 0
        hollow = replace(events, constituents=constituents)
        if not representation.needs_constituents:
            assert torch.equal(representation(hollow), representation(events))
            return
        with pytest.raises(InputError, match="3 of 60 jets have no constituents"):
            representation(hollow)


class TestJetImage:
    @pytest.mark.parametrize("arguments", [{}, {"sigma": 0}, {"sigma": 2, "power": 0.3}, {"size": 24}])
    def test_unit_sum(self, events, arguments):
        x = JetImage(**arguments)(events)
        torch.testing.assert_close(x.sum(dim=(1, 2, 3)), torch.ones(len(x)))
        assert x.min() >= 0

    def test_against_histogram_of_one_jet(self, events):
        """An independent calculation, jet by jet: eigenvectors instead of an angle, a histogram instead of a count."""
        image = JetImage(sigma=0)(events)[:, 0].double().numpy()
        for jet, found in zip(events.constituents, image, strict=True):
            pt, eta, phi, _ = jet[jet[:, 0] > 0].T
            plane = np.stack([eta, np.angle(np.exp(1j * (phi - phi[0])))], axis=1)
            plane -= np.average(plane, axis=0, weights=pt)
            _, axes = np.linalg.eigh((plane * pt[:, None]).T @ plane)
            plane = plane @ axes
            x, y = plane.T
            x = -x if pt[x > 0].sum() > pt[x < 0].sum() else x
            y = -y if pt[y < 0].sum() > pt[y > 0].sum() else y
            expected, *_ = np.histogram2d(y, x, bins=40, range=[[-0.7, 0.7], [-0.58, 0.58]], weights=pt)
            np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-7)

    @pytest.mark.parametrize("sigma", [0, 1])
    def test_invariances(self, events, sigma):
        image = JetImage(sigma=sigma)
        _, eta, phi, _ = np.moveaxis(events.constituents, -1, 0)
        axis_eta, axis_phi = eta[:, :1], phi[:, :1]
        u, v = eta - axis_eta, (phi - axis_phi + np.pi) % (2 * np.pi) - np.pi
        expected = image(events)
        for name, other in {
            "phi shift": with_plane(events, eta, phi + 2.9),
            "eta shift": with_plane(events, eta + 0.4, phi),
            "eta reflection": with_plane(events, -eta, phi),
            "phi reflection": with_plane(events, eta, -phi),
            "rotation": with_plane(
                events, axis_eta + u * np.cos(1.1) - v * np.sin(1.1), axis_phi + u * np.sin(1.1) + v * np.cos(1.1)
            ),
        }.items():
            torch.testing.assert_close(image(other), expected, msg=name)
        stretched = with_plane(events, axis_eta + 1.3 * u, phi)
        assert (image(stretched) - expected).abs().max() > 0.01

    def test_constituents_in_one_pixel_add(self, image_of):
        image = image_of([(60, 0.0, 0.3), (50, 0.0, -0.3), (30, 0.001, 0.301), (30, 0.001, -0.301)], size=41, sigma=0)
        np.testing.assert_allclose(np.sort(image[image > 0]), [80 / 170, 90 / 170], rtol=1e-6)

    def test_orientation(self, events):
        """Centroid at the origin, principal axis vertical, more pT at x < 0 and at y > 0."""
        size, half = 400, 1.5
        image = JetImage(size=size, eta_range=half, phi_range=half, sigma=0)(events)[:, 0].double()
        centre = (torch.arange(size) + 0.5) / size * 2 * half - half
        x, y = centre.double(), centre[:, None].double()
        pixel = 2 * half / size
        assert (image * x).sum(dim=(1, 2)).abs().max() < pixel / 2
        assert (image * y).sum(dim=(1, 2)).abs().max() < pixel / 2
        assert (image * x * y).sum(dim=(1, 2)).abs().max() < pixel
        assert ((image * y**2).sum(dim=(1, 2)) > (image * x**2).sum(dim=(1, 2))).all()
        left, right = image[:, :, : size // 2].sum(dim=(1, 2)), image[:, :, size // 2 :].sum(dim=(1, 2))
        lower, upper = image[:, : size // 2].sum(dim=(1, 2)), image[:, size // 2 :].sum(dim=(1, 2))
        assert (left >= right).all()
        assert (upper >= lower).all()

    @pytest.mark.parametrize("sigma", [0.5, 1, 2, 3.3])
    def test_filter_against_scipy(self, events, sigma):
        raw = JetImage(sigma=0)(events)[:, 0].double().numpy()
        expected = gaussian_filter(raw, sigma, mode="constant", cval=0, truncate=4, axes=(1, 2))
        expected /= expected.sum(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(JetImage(sigma=sigma)(events)[:, 0], expected, atol=1e-6)

    def test_filter_acts_along_both_axes(self, image_of):
        image = image_of([(600, 0.2, 1.0)], size=41, sigma=2)
        steps = np.arange(41) - 20
        np.testing.assert_allclose(image, image.T, atol=1e-9)
        np.testing.assert_allclose([image.sum(axis=k) @ steps**2 for k in (0, 1)], 4, rtol=0.01)

    def test_power(self, events):
        raw = JetImage(sigma=0)(events)
        expected = raw**0.5 / (raw**0.5).sum(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(JetImage(sigma=0, power=0.5)(events), expected)

    def test_jet_outside_the_window_is_zeros(self, image_of):
        assert image_of([(100, 0, 0.75), (100, 0, -0.75)]).max() == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [({"size": 0}, "size = 0"), ({"sigma": -1}, "sigma = -1"), ({"sigma": "2"}, "sigma: '2' is not what it takes"),
         ({"power": 0}, "power = 0"), ({"eta_range": 0}, "eta_range = 0"),
         ({"phi_range": float("nan")}, "phi_range: nan is not what it takes")],
    )  # fmt: skip
    def test_values_out_of_range(self, arguments, message):
        with pytest.raises(InputError, match=message):
            build({"type": "JetImage", **arguments})


class TestEventVector:
    def test_event_variables(self, make_events):
        def objects(*pts):
            return np.array([[[pt, 0.1, 0.2, 0] for pt in pts]]).reshape(1, len(pts), 4)

        event = replace(
            make_events(1, 0), jet=np.array([[600, -1.5, 3.0, 80.0]]), met=np.array([[150, -3.0]]),
            jets=objects(600, 45, 29), electrons=objects(20, 0), muons=objects(), photons=objects(50, 30, 11),
            taus=objects(40, 0), b_tag=None,
        )  # fmt: skip
        expected = {
            "jet_pt": 600, "jet_abs_eta": 1.5, "met": 150, "met_over_jet_pt": 0.25, "n_jets": 2, "ht": 645,
            "delta_phi_jet_met": 2 * np.pi - 6, "second_jet_pt": 45, "n_electrons": 1, "n_muons": 0, "n_photons": 3,
            "n_taus": 1,
        }  # fmt: skip
        found = EventVector(list(expected))(event)[0].tolist()
        assert dict(zip(expected, found, strict=True)) == pytest.approx(expected, rel=1e-6)
        alone = replace(event, jets=objects(), b_tag=None)
        assert EventVector(["n_jets", "ht", "second_jet_pt"])(alone)[0].tolist() == [0, 0, 0]

    def test_variables_of_the_event_alone_need_no_constituents(self, events):
        bare = replace(events, constituents=np.zeros_like(events.constituents))
        of_event = EventVector(["met", "ht", "jet_pt"])
        np.testing.assert_array_equal(of_event(bare), of_event(events))
        joined = Joined([of_event, EventVector(["mass"])])
        for needy in (EventVector(["met", "mass"]), joined):
            with pytest.raises(InputError, match="no constituents"):
                needy(bare)

    def test_columns_are_those_asked_for(self, events):
        everything = EventVector(list(VARIABLES))(events)
        names = ["tau21", "met", "mass"]
        torch.testing.assert_close(
            EventVector(names)(events), everything[:, [list(VARIABLES).index(name) for name in names]]
        )

    def test_nothing_is_clustered_unasked(self, events, monkeypatch):
        monkeypatch.setattr(declustering, "cluster", lambda *_: pytest.fail("clustered without need"))
        assert EventVector(["mass", "d2", "n_jets"])(events).shape == (60, 3)

    def test_bad_variables(self):
        with pytest.raises(InputError, match=r"'tau12' is unknown.*Allowed: .*tau21"):
            EventVector(["mass", "tau12"])
        with pytest.raises(InputError, match="'mass' is listed twice"):
            EventVector(["mass", "mass"])
        with pytest.raises(InputError, match="at least one name"):
            EventVector([])


class TestJoined:
    def test_pixels_first(self, events):
        vector, image = EventVector(["mass", "girth"]), JetImage(size=10)
        joined = Joined([vector, image])
        assert joined.space.columns == ("mass", "girth")
        assert joined.space.pixels == 100
        torch.testing.assert_close(joined(events)[:, :100], image(events).flatten(1))
        torch.testing.assert_close(joined(events)[:, 100:], vector(events))

    def test_bad_parts(self):
        with pytest.raises(InputError, match="column 'mass' comes from more than one part"):
            Joined([EventVector(["mass"]), EventVector(["girth", "mass"])])
        with pytest.raises(InputError, match="must be a list of representations"):
            build({"type": "Joined", "parts": []})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "JetImgae"}, "'JetImgae' is unknown. Did you mean 'JetImage'"),
        ({"type": "JetImage", "sgima": 2}, "argument of JetImage 'sgima' is unknown. Did you mean 'sigma'"),
        ({"type": "Joined", "parts": [{"type": "JetImage", "n": 1}]}, "argument of JetImage 'n' is unknown"),
        ({"type": "Joined"}, "argument 'parts' of Joined is missing"),
        ({"sigma": 2}, "key 'type'"),
    ],
)
def test_build_refuses(spec, message):
    with pytest.raises(InputError, match=message):
        build(spec)
