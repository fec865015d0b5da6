"""The shipped generator cards and the published set-up say what they claim; read as text, no generator needed."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

CONFIG = Path(__file__).parents[2] / "config"
CARDS = sorted((CONFIG / "cards").glob("*.cmnd"))
MESONS = ("4900111", "4900211", "4900113", "4900213")
LIGHTEST_MESON = {1: 0.14, 2: 0.14, 3: 0.494, 4: 1.87, 5: 5.28, 6: 171}  # GeV, with one such quark: decides which
# channels are open; below, a quark pair would become a single onium
R_INV = {"semivisible": 0.3, "semivisible_dark": 0.6, "emerging_like": 0, "aachen_like": 0.75, "soft_dark_shower": 0.3}


def settings(card: Path) -> dict[str, str]:
    lines = [line.split("!")[0] for line in card.read_text().splitlines()]
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines if "=" in line)}


def channels(card: Path) -> dict[str, list[tuple[float, tuple[int, ...]]]]:
    """Particle -> [(branching ratio, products)], as 'oneChannel' and 'addChannel' set them."""
    found = defaultdict(list)
    pattern = r"^(\d+):(?:one|add)Channel\s*=\s*1\s+([\d.]+)\s+\d+\s+(.+?)\s*(?:!.*)?$"
    for particle, ratio, products in re.findall(pattern, card.read_text(), re.M):
        found[particle].append((float(ratio), tuple(map(int, products.split()))))
    return found


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_energy_and_branching_ratios(card):
    assert float(settings(card)["Beams:eCM"]) == 14000
    assert settings(card)["PartonLevel:MPI"] == ("on" if card.stem == "minimum_bias" else "off")
    for decays in channels(card).values():
        assert sum(ratio for ratio, _ in decays) == pytest.approx(1, abs=1e-9)
        # particle and antiparticle, or two pseudoscalars that are their own
        assert all(sum(products) == 0 or products == (36, 36) for _, products in decays)


@pytest.mark.parametrize("name", R_INV)
def test_dark_sector(name):
    card = settings(CONFIG / "cards" / f"{name}.cmnd")
    decays = channels(CONFIG / "cards" / f"{name}.cmnd")
    assert card["HiddenValley:setLambda"] == "on"  # else Lambda is ignored without a word
    scale = float(card["HiddenValley:Lambda"])
    assert float(card["HiddenValley:pTminFSR"]) == pytest.approx(1.1 * scale, rel=1e-3)
    for meson in MESONS:
        mass = float(card[f"{meson}:m0"])
        invisible = [ratio for ratio, products in decays[meson] if set(map(abs, products)) <= {51, 53}]
        visible = [products for _, products in decays[meson] if not set(map(abs, products)) & {51, 53}]
        assert sum(invisible) == R_INV[name]
        assert len(invisible) == bool(R_INV[name])
        assert all(2 * LIGHTEST_MESON[quark] < mass for quark, _ in visible)


@pytest.mark.parametrize("name", ["semivisible", "semivisible_dark", "emerging_like"])
def test_semivisible_jets_sit_at_the_peak_of_alpha(name):
    """Lambda = 3.2 m_dark^0.8, the dark quark at half the mass of the mesons (CMS s-channel benchmark)."""
    card = settings(CONFIG / "cards" / f"{name}.cmnd")
    mass = float(card["4900111:m0"])
    assert float(card["HiddenValley:Lambda"]) == pytest.approx(3.2 * mass**0.8, rel=1e-3)
    assert float(card["4900101:m0"]) == mass / 2


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_windows_are_not_sculpted_by_the_generator(path):
    """The scattering starts well below the lower edge of the jets' window; the cards say what is lost."""
    samples = yaml.safe_load(path.read_text())["samples"].values()
    for sample in (sample for sample in samples if "card" in sample["source"] and sample["selection"] != "any"):
        hard = settings(CONFIG.parent / sample["source"]["card"]).get("PhaseSpace:pTHatMin")
        assert hard is None or float(hard) <= 0.82 * sample["selection"]["pt"][0]


def test_published_setup_has_the_published_size():
    """100,000 training jets of each background; updates of the image trainings are whole epochs of them."""
    config = yaml.safe_load((CONFIG / "paper.yaml").read_text())
    for name in ("qcd", "top", "qcd_low"):
        sample = config["samples"][name]
        assert sample["source"]["jets"] * sample["split"][0] == pytest.approx(100_000)
        # enough test jets for ten of them at the smallest background efficiency
        assert sample["source"]["jets"] * sample["split"][2] * min(config["evaluation"]["eps_b"]) > 10
    nae = config["detectors"]["nae_image"]
    for schedule, epochs in ((nae["pretraining"], 100), (nae["training"], 50)):
        assert schedule["steps"] * schedule["batch"] / 100_000 == pytest.approx(epochs, abs=0.05)
    assert nae["latent_chain"]["n_steps"] == nae["visible_chain"]["n_steps"] == 30
