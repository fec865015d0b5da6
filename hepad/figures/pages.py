"""Pages of HTML: templates that lie beside the module that fills them, and the events that a page draws itself.

Pages of events extend ``pages.html``; their displays are drawn in the browser, by ``pages.js`` in the style of
``pages.css``, from numbers that stand in the page as JSON.
"""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hepad.figures.html_labels import label


def environment() -> Environment:
    """Of the templates of this folder; the filter ``label`` writes a label as HTML."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters["label"] = label
    return found


def of_events(template: str, described: dict, **numbers) -> str:
    """A page of the events that :mod:`hepad.config.described` describes; ``numbers``: what else it draws from."""
    reasons = [text for event in described["events"] for why in event["why"].values() for text, _ in why["variables"]]
    # '$' is mathematics in labels, and a letter in the names of files
    samples = [name.replace("$", r"\$") if name in described["files"] else name for name in described["samples"]]
    described = described | {"samples": samples}
    written = {text: str(label(text)) for text in [*described["variables"], *dict.fromkeys(reasons)]}
    numbers |= {"events": described["events"], "variables": described["variables"], "written": written}
    numbers |= {key: [str(label(text)) for text in described[key]] for key in ("detectors", "samples")}
    # '<' would end the element that the numbers stand in
    data = Markup(json.dumps(numbers, separators=(",", ":")).replace("<", "\\u003c"))
    shared = {name: Markup(Path(__file__).with_suffix(f".{name}").read_text()) for name in ("css", "js")}
    return environment().get_template(template).render(found=described, data=data, **shared)
