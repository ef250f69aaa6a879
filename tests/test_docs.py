"""The catalogue says what docstrings and YAML say."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from trainctl.settings.comments import comments
from trainctl.settings.docstring import parse_docstring

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "docs" / "make_catalogue.py"

SPEC = importlib.util.spec_from_file_location("make_catalogue", SCRIPT)
make_catalogue = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_catalogue)

DOC = r"""Do it.

With :math:`a_1` and ``b``:

.. math::
    x &= a_1 \\
    y &< b

    z &= \operatorname{Var}(x)

Then more.

Args:
    rate: A rate :math:`\eta`,
        in a second line [1].
    other: Another.

Raises:
    ConfigError: Never.

Source: Somebody,
2020.

>>> 1
1
"""


def test_the_catalogue_is_fresh():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_component_is_in_the_catalogue():
    components = make_catalogue.catalogue().partition("\n## settings\n")[0]
    headings = [line for line in components.splitlines() if line.startswith("### ")]
    files = list((ROOT / "conf").glob("*/*.yaml"))
    assert len(files) >= 30
    assert sorted(headings) == sorted(f"### {path.parent.name}={path.stem}" for path in files)


def test_every_setting_of_runs_and_sweeps_is_in_the_catalogue():
    settings = make_catalogue.catalogue().partition("\n## settings\n")[2]
    for name, prefix in (("train", ""), ("sweep", "sweep.")):
        text = (ROOT / "conf" / f"{name}.yaml").read_text(encoding="utf-8")
        for key, meaning in comments(text).items():
            assert re.search(
                rf"^\| `{prefix}{key}` \| `.+` \| .+ \| {re.escape(make_catalogue.cell(meaning))} \|$", settings, re.M
            )


def test_formulas_become_githubs():
    text = "\n\n".join(map(make_catalogue.markdown, parse_docstring(DOC).body))
    assert "With $`a_1`$ and `b`:" in text
    assert (
        "```math\n\\begin{aligned}\nx &= a_1 \\\\\ny &< b\n\nz &= \\mathrm{Var}(x)\n\\end{aligned}\n```\n\nThen more."
        in text
    )


def test_a_pipe_does_not_end_a_cell():
    assert make_catalogue.cell("a | b\nc") == r"a \| b c"


def test_every_test_that_a_promise_names_is_there() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    sources = [*(ROOT / "tests").rglob("test_*.py")]  # some have the same name, in different wings
    files = set(re.findall(r"(test_\w+\.py)", text))
    assert len(files) > 12
    assert files <= {path.name for path in sources}
    names = set(re.findall(r"[`:](test_\w+\*?)`", text))
    assert len(names) > 30
    defined = "\n".join(path.read_text() for path in sources)
    assert [name for name in sorted(names) if f"def {name.rstrip('*')}" not in defined] == []
