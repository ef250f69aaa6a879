"""Settings of the documentation's site, which `make docs` builds with Sphinx, MyST and furo into docs/_build.

The pages are Markdown that also reads well where the repository is hosted, so formulas are written in GitHub's way.
They are rendered as MathML, by the converter that docutils includes: the site needs no script and no network.
"""

import html
import re
from typing import Any
from xml.etree import ElementTree as ET

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

project = "trainctl"
author = "trainctl developers"
html_title = "trainctl"

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # the same anchors as GitHub's
myst_fence_as_directive = {"math"}

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

MATHML = "http://www.w3.org/1998/Math/MathML"
GITHUB_FORMULA = re.compile(r"\$`([^`]+)`\$")
# What the converter does not know, takes for a number of two digits, or sets without space around it.
TEX = {
    r"\\dots(?![a-zA-Z])": r"\\ldots",
    r"(\\[td]?frac)\s*(\d)(\d)": r"\1{\2}{\3}",
    r"(?<=[\w)])\s*\\(log|max)(?![a-zA-Z])": r"\\,\\\1",
    r"\\(log|cosh|tanh|sin|cos)(?![a-zA-Z])(?!\s*[(^_])": r"\\\1\\,",
}


def adapt(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn GitHub's formulas into MyST's, and links to files outside docs/, which have no page, into their names."""
    outside = re.compile(rf"\[[^\[\]\n]+\]\((?:\.\./){{{page.count('/') + 1}}}([^.)][^)]*)\)")
    source[0] = outside.sub(r"`\1`", GITHUB_FORMULA.sub(r"{math}`\1`", source[0]))


def mathml(node: Any, *, block: bool) -> str:
    """Return a formula as MathML; one that cannot be converted is a warning with its place, which ends the build."""
    tex = node.astext()
    for ours, theirs in TEX.items():
        tex = re.sub(ours, theirs, tex)
    try:
        return with_accents(tex2mathml(tex, as_block=block))
    except MathError as error:
        logging.getLogger(__name__).warning("formula: %s: %s", error, node.astext(), location=node)
        return ""


def with_accents(formula: str) -> str:
    r"""Return MathML in which the index of an accented letter, as in ``\hat m_t``, is beside the letter, not below it."""
    ET.register_namespace("", MATHML)
    # XML knows four of HTML's entities.
    tree = ET.fromstring(re.sub(r"&(?!lt|gt|amp|quot)\w+;", lambda entity: html.unescape(entity[0]), formula))
    for node in tree.iter(f"{{{MATHML}}}munderover"):
        letter, index, accent = node
        if accent.tag == f"{{{MATHML}}}mo" and accent.get("stretchy") == "false":
            node.tag = f"{{{MATHML}}}msub"
            node[:] = [ET.Element(f"{{{MATHML}}}mover", accent="true"), index]
            node[0][:] = [letter, accent]
    return ET.tostring(tree, encoding="unicode")


def inline_formula(writer: Any, node: Any) -> None:
    """Write a formula inside a paragraph."""
    writer.body.append(mathml(node, block=False))
    raise SkipNode


def display_formula(writer: Any, node: Any) -> None:
    """Write a formula that stands alone."""
    writer.body.append(f'<div class="math">{mathml(node, block=True)}</div>')
    raise SkipNode


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx."""
    app.connect("source-read", adapt)
    app.add_html_math_renderer("mathml", (inline_formula, None), (display_formula, None))
