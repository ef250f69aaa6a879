"""Formulas are readable as text, in any encoding."""

import io
import re
import sys

import pytest

from trainctl.report import latex, prose
from trainctl.settings import component
from trainctl.settings.docstring import parse_docstring

FORMULAS = [
    (
        r"m(t) = f + (1 - f) \tfrac12 (1 + \cos \pi \frac{t - W}{T - W})",
        "m(t) = f + (1 - f) ½ (1 + cos π (t - W)/(T - W))",
    ),
    (r"w_t = w_{t-1} - \eta \hat m_t / (\sqrt{\hat v_t} + \epsilon)", "wₜ = wₜ₋₁ - η m̂ₜ / (√v̂ₜ + ε)"),
    (r"\frac{1}{n} \sum_i (z_i - y_i)^2", "1/n Σᵢ (zᵢ - yᵢ)²"),
    (r"\frac{a + b}{c d}", "(a + b)/(c d)"),
    (r"\gamma^{\lfloor (t - W) / s \rfloor}", "γ^(⌊(t - W) / s⌋)"),
    (r"\max(0, m) \text{ or, linear, } x", "max(0, m) or, linear, x"),
    (r"\log p \quad\text{if } x \ge 0", "log p    if x ≥ 0"),
    (r"\left. x \right|", "x |"),
    (r"\{a\}", "{a}"),
    ("", ""),
    ("{", ""),
    (r"\frac{", "()/()"),
]


@pytest.mark.parametrize(("text", "plain"), FORMULAS, ids=[text for text, _ in FORMULAS])
def test_a_formula_becomes_text(text, plain):
    assert latex.plain(text) == plain


def test_without_the_characters_a_formula_is_spelt(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert latex.plain(r"\hat m \ge \tfrac12 \lambda_t^2 \sqrt{x + 1}") == "hat(m) >= 1/2 lambda_t^2 sqrt(x + 1)"


def texts():
    """Yield every part of a docstring in the catalogue."""
    for group in component.GROUPS:
        for name in component.names(group):
            doc = parse_docstring(component.signature(component.source(group, name)).doc)
            for text in (doc.summary, *doc.body, doc.returns, doc.source, *doc.arguments.values()):
                yield f"{group}={name}", text


def test_nothing_of_the_catalogue_is_left_in_latex():
    found = list(texts())
    assert sum(".. math::" in text for _, text in found) > 60
    for member, text in found:
        shown = prose.block(text)
        assert not re.search(r"\\[A-Za-z]|\\[td]?frac|:math:", shown), (member, shown)
        assert "\0" not in shown
