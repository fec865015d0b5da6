"""What README and pages show of a finished run: its table of results, the first picture, and a picture of each kind.

python docs/from_run.py RESULTS FIGURE        # FIGURE: below RESULTS/figures, e.g. qcd/headline_top
"""

import csv
import re
import sys
from pathlib import Path
from statistics import median

import made
from PIL import Image

import hepad
from hepad.figures import KINDS, registry

IMAGES = made.ROOT / "docs" / "images"
WIDTHS = {"gallery": 640, "headline": 1200}  # pixels
COLOURS = 64
EPS_B = 0.01
MARKS = ("<!-- results, by docs/from_run.py -->\n", "<!-- end of the results -->\n")


def shrink(picture: Path, to: Path, width: int) -> None:
    """A copy of so many pixels, or fewer, with a palette."""
    with Image.open(picture) as image:
        small = image.convert("RGB")
    if width < small.width:
        small = small.resize((width, small.height * width // small.width), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(to, optimize=True)


def pictures_of(name: str, figures: Path) -> list[Path]:
    """The pictures of a kind that a run has, those of the first pattern first."""
    patterns = (re.sub(r"\{\w+\}", "*", pattern) for pattern in registry.kind(name).draws)
    return [path for pattern in patterns for path in sorted(figures.glob(f"{pattern}.png"))]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def efficiencies(folder: Path) -> dict[tuple[str, str, str], str]:
    """(task, signal, detector) -> ε_S at ``EPS_B``: the median of its trainings, and half of the 68 % interval."""
    found = {}
    for row in rows_of(folder / "efficiency.csv"):
        if float(row["eps_b"]) == EPS_B and row["eps_s"]:
            found.setdefault((row["task"], row["signal"], row["detector"]), []).append(row)
    spread = {
        (row["task"], row["signal"], row["detector"]): row
        for row in rows_of(folder / "seed_spread.csv")
        if row["quantity"] == "eps_s" and float(row["at"]) == EPS_B and row["median"]
    }
    texts = {}
    for key, rows in found.items():
        value = median(float(row["eps_s"]) for row in rows)
        low, high = (
            (float(spread[key][end]) for end in ("low", "high"))
            if key in spread
            else (float(rows[0][f"eps_s_{end}"]) for end in ("low", "high"))
        )
        texts[key] = f"{value:.3f} ± {(high - low) / 2:.3f}"
    return texts


def results(folder: Path) -> str:
    """The table of the detectors of a run against its tasks and signals, the best of each in bold."""
    config, values = hepad.open(folder).config, efficiencies(folder)
    shown = [name for name in made.default_detectors() if name in config["detectors"]]
    columns = [(name, signal) for name, task in config["tasks"].items() for signal in task["signals"]]
    best = {column: max(values.get((*column, name), "") for name in shown) for column in columns}
    label = {name: entry.get("label", name) for name, entry in config["samples"].items()}
    heads = [f"{label[signal]} in {label[config['tasks'][task]['background']]}" for task, signal in columns]
    rows = []
    for name in shown:
        cells = [values.get((*column, name), "") for column in columns]
        cells = [f"**{cell}**" if cell and cell == best[c] else cell for cell, c in zip(cells, columns, strict=True)]
        rows.append((config["detectors"][name].get("label", name), *cells))
    return made.table(("detector", *heads), rows)


def main(folder: str, headline: str) -> None:
    figures = Path(folder) / "figures"
    made.between(made.ROOT / "README.md", MARKS, results(Path(folder)))
    shrink(figures / f"{headline}.png", IMAGES / "headline.png", WIDTHS["headline"])
    for name in KINDS:
        if found := pictures_of(name, figures):
            shrink(found[0], IMAGES / "gallery" / f"{name}.png", WIDTHS["gallery"])
        else:
            print(f"{name}: {folder} has none; its picture stays as it is")


if __name__ == "__main__":
    main(*sys.argv[1:])
