"""The map of the architecture shows the house as it is."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(trainctl/[\w/]+\.py)(?:: ([\w.]+))?`", PAGE)


def test_the_map_and_the_import_contract_have_the_same_wings_in_the_same_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert re.findall(r"^\| `(\w+)` \| [A-Z].+\. \|$", PAGE, re.M) == layers


def test_the_map_has_every_wing() -> None:
    wings = [path.stem for path in (ROOT / "trainctl").iterdir() if path.name[0] != "_" and path.name != "py.typed"]
    assert len(wings) > 12
    assert [wing for wing in wings if f"| `{wing}` |" not in PAGE] == []


def test_the_walk_goes_through_many_files() -> None:
    assert len({file for file, name in NAMED if name}) >= 15


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)), ids=": ".join)
def test_what_the_page_names_exists(file: str, name: str) -> None:
    path = ROOT / file
    assert path.is_file(), f"docs/architecture.md names {file}, which does not exist"
    if name:
        assert name in defined(path), f"docs/architecture.md names {file}: {name}, which is not defined there"


def test_every_other_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:conf|docs|tests)/[\w/]+\.\w+|pyproject\.toml)`", PAGE)
    assert len(named) >= 3
    assert [file for file in named if not (ROOT / file).is_file()] == []


def defined(path: Path) -> set[str]:
    """Return the functions and classes that a module defines, and the methods of its classes as `Class.method`."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, kinds)]
    return {node.name for node in top} | {
        f"{node.name}.{part.name}"
        for node in top
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, kinds)
    }
