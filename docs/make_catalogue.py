"""Write docs/catalogue.md: every component with its formula, parameters and source, from docstrings and YAML.

    python docs/make_catalogue.py            write it
    python docs/make_catalogue.py --check    exit with 1 if it is stale

Reads source text only: no component and no torch is imported.
"""

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from trainctl.settings import component, schema, spelling  # noqa: E402

CATALOGUE = ROOT / "docs" / "catalogue.md"
HEAD = """\
# Catalogue

<!-- Made by `make docs` from docstrings and YAML; edits here are lost. -->

Choose a member with `group=name` and set its parameters with `group.parameter=value`. Groups whose members add up
({additive}) take a list, and have the member's name in the key: `augment=[crop,flip] augment.crop.padding=4`.

"""


class Docstring(NamedTuple):
    """A docstring, taken apart.

    Args:
        text: Paragraphs and formulas, without the sections below.
        arguments: Each argument's meaning.
        source: Where the method was published, and what differs.
    """

    text: str
    arguments: dict[str, str]
    source: str


def take_apart(doc: str) -> Docstring:
    """Split a Google-style docstring; ``Raises``, ``Returns`` and doctests are left out."""
    doc = re.split(r"^>>> ", doc, maxsplit=1, flags=re.MULTILINE)[0]
    doc, _, source = doc.partition("\nSource:")
    text, arguments = [], {}
    for block in re.split(r"\n\n(?=\S)", doc):
        title, _, body = block.partition("\n")
        if title == "Args:":
            items = re.split(r"\n(?=\S)", textwrap.dedent(body).strip())
            arguments = {
                name: " ".join(meaning.split()) for name, _, meaning in (item.partition(":") for item in items)
            }
        elif title not in ("Raises:", "Returns:"):
            text.append(block)
    return Docstring("\n\n".join(text).strip(), arguments, " ".join(source.split()))


def markdown(text: str) -> str:
    """Turn reStructuredText's formulas and literals into GitHub's Markdown."""
    parts = re.split(r"^(\.\. math::.*(?:\n(?:[ \t]+\S.*|[ \t]*(?=\n[ \t]+\S)))*)", text, flags=re.MULTILINE)
    return "\n\n".join(
        formula(part) if part.startswith(".. math::") else inline(part) for part in map(str.strip, parts) if part
    )


def formula(block: str) -> str:
    r"""Write a ``.. math::`` block as a display formula, aligned if it has several lines.

    A fence, because between ``$$`` GitHub takes ``\\`` and ``\,`` for Markdown's escapes.
    """
    first, _, rest = block.removeprefix(".. math::").partition("\n")
    body = "\n".join(filter(None, (first.strip(), textwrap.dedent(rest).strip())))
    if "&" in body or r"\\" in body:
        body = f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
    return f"```math\n{tex(body)}\n```"


def tex(formula: str) -> str:
    r"""Say ``\mathrm`` for ``\operatorname``, which GitHub forbids."""
    return formula.replace(r"\operatorname", r"\mathrm")


def inline(text: str) -> str:
    """Turn roles and literals inside a paragraph into Markdown; the marks around formulas keep ``_`` and ``*`` as they are.

    A formula is put on one line: a line that begins with ``+`` would be an item of a list.
    """
    text = re.sub(r":math:`([^`]+)`", lambda match: f"$`{' '.join(tex(match[1]).split())}`$", text)
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def cell(text: str) -> str:
    """Make text fit into a cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")


def spell(value: object) -> str:
    """Write a default as the command line would: ``[32,64]``, ``1e-08``, ``true``."""
    return f"[{','.join(map(spell, value))}]" if isinstance(value, list) else spelling.spell(value)


def member(group: str, name: str) -> Iterator[str]:
    """Yield the paragraphs of one component."""
    path = ROOT / "trainctl" / "components" / group / f"{name}.py"
    found = component.signature(path)
    doc = take_apart(found.doc)
    defaults: Mapping[str, Any] = yaml.safe_load((ROOT / "conf" / group / f"{name}.yaml").read_text(encoding="utf-8"))
    yield f"### {group}={name}"
    yield markdown(doc.text)
    rows = [
        f"| `{key}` | `{cell(spell(defaults[key]))}` | {cell(schema.phrase(annotation))} | {cell(inline(doc.arguments.get(key, '')))} |"
        for key, annotation in found.parameters.items()
    ]
    if rows:
        yield "\n".join(["| parameter | default | allowed | meaning |", "|---|---|---|---|", *rows])
    if brings := [
        re.sub(r"^override /|@.*", "", key) + f"={value}"
        for entry in defaults.get("defaults", ())
        for key, value in entry.items()
    ]:
        yield f"Chooses also, unless you do: `{'`, `'.join(brings)}`."
    if doc.source:
        yield f"Source: {inline(doc.source)}"
    yield f"[code](../trainctl/components/{group}/{name}.py), [defaults](../conf/{group}/{name}.yaml)"


def catalogue() -> str:
    """Return the whole page."""
    pages = [
        HEAD.format(
            additive=", ".join(f"`{group}`" for group in component.GROUPS if group in component.ADDITIVE)
        ).strip()
    ]
    members = {group: component.names(group) for group in component.GROUPS}
    pages.append("\n".join(f"- [{group}](#{group}): {len(names)}" for group, names in members.items()))
    for group, names in members.items():
        summaries = {
            name: component.signature(ROOT / "trainctl" / "components" / group / f"{name}.py").summary for name in names
        }
        pages.append(f"## {group}")
        pages.append("\n".join(f"- [{name}](#{group}{name}): {inline(summary)}" for name, summary in summaries.items()))
        for name in names:
            pages += member(group, name)
    return "\n\n".join(pages) + "\n"


def main(arguments: list[str]) -> int:
    """Write the catalogue, or with ``--check`` compare it."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    fresh = catalogue()
    if not arguments:
        CATALOGUE.write_text(fresh, encoding="utf-8")
        return 0
    if not CATALOGUE.is_file() or CATALOGUE.read_text(encoding="utf-8") != fresh:
        print("docs/catalogue.md is stale: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
