"""A file over 300 lines, or a function over 40, wants to be two: the functions that are not are listed here."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES, MOST_IN_FUNCTION = 300, 40  # of a function without its signature and docstring
# One thing after another: a loop, a table of columns, the facts of a data set.
LONG_FUNCTIONS = {
    "components/dataset/arrays.py: arrays", "components/dataset/csv.py: _convert", "components/dataset/csv.py: csv",
    "components/dataset/image_folder.py: image_folder", "components/dataset/series.py: series",
    "components/dataset/tar.py: tar", "components/dataset/text.py: text", "run/assemble.py: assemble",
    "step/batch.py: in_parts", "step/pieces.py: pieces_of", "train/loop.py: train",
}  # fmt: skip


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "trainctl").rglob("*.py")):
        yield path.relative_to(ROOT / "trainctl").as_posix(), path.read_text(encoding="utf-8")


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_files_are_short():
    long = {name for name, text in sources() if len(text.splitlines()) > MOST_LINES}
    assert not long, "split it where it has a seam"


def test_functions_are_short():
    long = {
        f"{name}: {node.name}"
        for name, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > MOST_IN_FUNCTION
    }
    assert (long - LONG_FUNCTIONS, LONG_FUNCTIONS - long) == (set(), set()), "make it two, or renew the list"
