"""A docstring is taken apart once, for the terminal and for the documentation."""

from pathlib import Path

import pytest

from trainctl.report import prose
from trainctl.settings import component
from trainctl.settings.docstring import parse_docstring

DOC = r"""Return the rate of a component, over
two lines.

With :math:`a_1` and ``b``:

.. math::

    x &= a_1 \\
    y &< b

    z &= \operatorname{Var}(x)

Then more.

Args:
    rate: A rate :math:`\eta`,
        in a second line: of [1].
    other: Another.

Returns:
    Rates ``(N,)``
    of rows.

Raises:
    ConfigError: Never.

Source: Somebody,
2020.

>>> 1
1
"""


def test_a_docstring_is_taken_apart():
    doc = parse_docstring(DOC)
    assert doc.summary == "The rate of a component, over two lines."
    assert doc.body[0] == "With :math:`a_1` and ``b``:"
    assert doc.body[1].startswith(".. math::\n\n    x &= a_1")
    assert doc.body[1].endswith("Var}(x)")
    assert doc.body[2:] == ("Then more.",)
    assert doc.arguments == {"rate": r"A rate :math:`\eta`, in a second line: of [1].", "other": "Another."}
    assert doc.returns == "Rates ``(N,)`` of rows."
    assert doc.source == "Somebody, 2020."


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        ("Return the identity.", "The identity."),
        ("Returning nothing.", "Returning nothing."),
        ("Multiply by a factor.", "Multiply by a factor."),
        ("Return 150 flowers.\n\nArgs:\n    x: Y.", "150 flowers."),
    ],
)
def test_a_summary_is_for_users_who_do_not_call_functions(text, summary):
    assert parse_docstring(text).summary == summary


def test_the_docstring_of_every_component_has_its_parts():
    paths = [component.source(group, name) for group in component.GROUPS for name in component.names(group)]
    assert len(paths) > 80
    for path in paths:
        assert isinstance(path, Path)
        signature = component.signature(path)
        doc = parse_docstring(signature.doc)
        assert set(signature.parameters) <= set(doc.arguments), path
        assert bool(doc.source) == ("\nSource: " in signature.doc), path
        assert not any(word in "".join(doc.body) for word in ("Args:", "Raises:", "Source:", ">>>")), path


def test_formulas_are_aligned_and_running_text_is_filled(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    doc = parse_docstring(DOC)
    assert [prose.block(text) for text in doc.body] == [
        "With a₁ and b:",
        "    x = a₁\n    y < b\n    z = Var(x)",
        "Then more.",
    ]
    assert prose.block("- one\n- two ``b``") == "- one\n- two b"
    assert max(map(len, prose.paragraph("word " * 40).split("\n"))) <= 40
