"""The constants that a detector takes from its background; a whole sample is treated like each of its events."""

import pytest
import torch

from hepad.detectors import normalisation
from hepad.detectors.normalisation import Normaliser
from hepad.representations import Space

SPACES = {
    "vector": Space((3,), ("mass", "met", "constant")),
    "image": Space((1, 4, 4), (), 16),
    "image and columns": Space((18,), ("mass", "met"), 16),
    "objects": Space((1, 5, 4), objects=True),
}


@pytest.fixture(params=SPACES, ids=lambda name: name.replace(" ", "_"))
def fitted(request, monkeypatch):
    """(events, their normaliser), learned in blocks of 64 events."""
    monkeypatch.setattr(normalisation, "BLOCK", 64)
    space, generator = SPACES[request.param], torch.Generator().manual_seed(1)
    x = torch.rand((200, *space.shape), generator=generator) * 3 + 1
    if space.pixels:
        pixels = x.flatten(1)[:, : space.pixels]
        pixels /= pixels.sum(1, keepdim=True)
    if space.objects:
        x[:, :, 2:][torch.rand((200, 1, 3), generator=generator) < 0.5] = 0
    if "constant" in space.columns:
        x[:, 2] = 7
    of = Normaliser(space)
    of.fit(x, generator)
    return x, of


def test_a_sample_in_blocks_is_normalised_like_all_at_once(fitted):
    x, of = fitted
    assert torch.equal(of.of_sample(x), of(x))
    assert torch.equal(of.of_sample(x[:1]), of(x[:1]))


def test_extremes_are_those_of_all_blocks(fitted):
    x, of = fitted
    z = of(x)
    assert torch.equal(of.low, z.amin(0))
    assert torch.equal(of.high, z.amax(0))


def test_columns_have_mean_zero_and_width_one_and_pixels_keep_their_zero(fitted):
    x, of = fitted
    z, pixels = of(x).flatten(1), of.space.pixels
    if of.space.objects:
        z = of(x)[(x != 0).any(-1)]  # what a feature's constants are of: the objects that are there
    if pixels:
        assert (of.mean.flatten()[:pixels] == 0).all()
        assert z[:, :pixels].std().item() == pytest.approx(1, rel=1e-5)
    for column in z[:, pixels:].double().T:
        assert column.mean().item() == pytest.approx(0, abs=1e-5)
        assert column.std().item() == pytest.approx(1, rel=1e-5) or (column == 0).all()
