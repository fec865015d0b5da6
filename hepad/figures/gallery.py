"""The page of a gallery: displays of events that can be chosen, searched and looked into; one HTML file.

:func:`render` is a function of its argument alone. The displays are drawn by the page itself, from the numbers of
:func:`hepad.config.gallery.gallery`, which stand in it as JSON.
"""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hepad.figures.html_labels import label


def render(gallery: dict) -> str:
    """The page of what :func:`hepad.config.gallery.gallery` has found."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["label"] = label
    numbers = {key: gallery[key] for key in ("events", "top", "random")}
    reasons = [text for event in gallery["events"] for why in event["why"].values() for text, _ in why["variables"]]
    written = {text: str(label(text)) for text in [*gallery["variables"], *dict.fromkeys(reasons)]}
    numbers |= {"variables": gallery["variables"], "written": written}
    numbers |= {"detectors": [str(label(text)) for text in gallery["detectors"]]}
    numbers |= {"samples": [str(label(text)) for text in gallery["samples"]]}
    # '<' would end the element that the numbers stand in
    data = Markup(json.dumps(numbers, separators=(",", ":")).replace("<", "\\u003c"))
    return environment.get_template("gallery.html").render(gallery=gallery, data=data)
