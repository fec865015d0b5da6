"""Labels of figures as HTML: their mathematics is drawn as in figures, by outlines that need no font."""

import re

from markupsafe import Markup, escape
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

STROKES = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C", Outline.CLOSEPOLY: "Z"}


def label(text: str) -> Markup:
    """A label or a caption as HTML; mathematics between '$' is drawn, as in figures, ε_B and ε_S have an index."""
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0:  # a '$' that is not closed
        return escape(text)
    return Markup().join(_math(part) if i % 2 else _plain(part.replace(r"\$", "$")) for i, part in enumerate(parts))


def _plain(text: str) -> Markup:
    return Markup(re.sub("ε_([BS])", r"ε<sub>\1</sub>", str(escape(text))))


def _math(text: str) -> Markup:
    outline = TextPath((0, 0), f"${text}$", size=16)
    box, lines = outline.get_extents(), []
    for vertices, code in outline.iter_segments(simplify=False):
        lines.append(STROKES[code] + " ".join(f"{x:.2f}" for x in vertices if code != Outline.CLOSEPOLY))
    look = f"height:{box.height / 16:.3f}em;vertical-align:{box.y0 / 16:.3f}em"
    view = f"{box.x0:.2f} {-box.y1:.2f} {box.width:.2f} {box.height:.2f}"
    head = Markup('<svg class="math" role="img" aria-label="{}" viewBox="{}" style="{}">').format(text, view, look)
    return head + Markup('<path transform="scale(1,-1)" d="{}"/></svg>').format("".join(lines))
