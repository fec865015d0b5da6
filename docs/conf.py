"""The documentation's site: ``sphinx-build -W docs FOLDER``. What is made of the code and of tables is in made.py."""

import sys
from pathlib import Path

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
html_theme = "pydata_sphinx_theme"
html_title = "hepad"
html_theme_options = {"show_nav_level": 2, "navbar_align": "left", "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"**": ["sidebar-nav-bs"], "index": []}
html_show_sourcelink = False
html_math_renderer = "mathml"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = False


class Made(SphinxDirective):
    """``made FUNCTION [ARGUMENT]``: the Markdown that a function of made.py returns."""

    required_arguments, optional_arguments = 1, 1

    def run(self) -> list:
        name, *arguments = self.arguments
        return self.parse_text_to_nodes(getattr(made, name)(*arguments), allow_section_headings=True)


def formula(display: str) -> tuple:
    """Writers of formulae as MathML, which browsers draw themselves: no script and no network."""

    def write(translator, node) -> None:
        translator.body.append(convert(node.astext(), display=display))
        raise SkipNode

    return write, None


def plain(app, what, name, thing, options, lines: list[str]) -> None:
    """Docstrings are plain text: their stars and bars are no markup."""
    lines[:] = [line.replace("*", "\\*").replace("|", "\\|") for line in lines]


def setup(app) -> None:
    app.connect("autodoc-process-docstring", plain, priority=100)
    app.add_directive("made", Made)
    app.add_html_math_renderer("mathml", formula("inline"), formula("block"))
