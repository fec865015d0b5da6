"""The documentation's site: ``sphinx-build -W docs FOLDER``. What is made of the code and of tables is in made.py."""

import re
import sys
from pathlib import Path
from shutil import copytree

sys.path.insert(0, str(Path(__file__).parent))

import made
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util.docutils import SphinxDirective

import hepad

project, author, release = "hepad", "The hepad developers", hepad.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "hepad"
html_static_path, html_css_files = ["style.css"], ["style.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_custom_sections = ["Returned"]


class Made(SphinxDirective):
    """``made FUNCTION [ARGUMENT]``: the Markdown that a function of made.py returns."""

    required_arguments, optional_arguments = 1, 1

    def run(self) -> list:
        name, *arguments = self.arguments
        return self.parse_text_to_nodes(getattr(made, name)(*arguments), allow_section_headings=True)


def formula(display: str) -> tuple:
    """Writers of formulae as MathML, which browsers draw themselves: no script and no network."""
    before, after = ("<div class='formula'>", "</div>") if display == "block" else ("", "")

    def write(translator, node) -> None:
        translator.body.append(before + convert(node.astext(), display=display) + after)
        raise SkipNode

    return write, None


def numpydoc(app, what, name, thing, options, lines: list[str]) -> None:
    """Docstrings as napoleon reads them: ``name: meaning`` on two lines, plain text of what is returned, no markup."""
    section, shown = "", []
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and not below.strip("-") and not line.startswith(" "):
            section = line.strip()
        text = line if section == "Examples" else line.replace("*", "\\*").replace("|", "\\|")
        named = re.match(r"(\w+(?:, \w+)*): (.+)", text)
        if section in ("Parameters", "Attributes", "Raises") and named:
            shown += [named[1], f"    {named[2]}"]
        else:
            shown.append("Returned" if line == "Returns" else text)
    lines[:] = shown


def copy_demo(app, error) -> None:
    """The demo as it is: a folder of the site."""
    if not error:
        copytree(Path(__file__).parent / "demo", Path(app.outdir) / "demo", dirs_exist_ok=True)


def setup(app) -> None:
    app.connect("autodoc-process-docstring", numpydoc, priority=100)
    app.connect("build-finished", copy_demo)
    app.add_directive("made", Made)
    app.add_html_math_renderer("mathml", formula("inline"), formula("block"))
