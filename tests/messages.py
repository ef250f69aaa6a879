"""Extract every message that a user may read from the source of trainctl, for the catalogue in tests/messages.txt.

    python -m tests.messages            print the catalogue
    python -m tests.messages --write    write it; `make messages` does the same

Nothing is imported or executed: the messages are read from the syntax trees. A message is

- the text of an error (a subclass of TrainctlError), of an Advice warning, or of a call in CALLS;
- any other text of two words or more, or of a word and a placeholder, that is not a docstring: parts of messages are
  kept in variables, returned and yielded.

An f-string is shown with its placeholders: ``{name}: no such directory``.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "tests" / "messages.txt"
HEAD = "# Every message of trainctl, by module; the wording is reviewed here. Written by: make messages\n"

CALLS = frozenset({"note", "detail", "complain", "line", "print"})  # functions and methods whose argument is shown
NO_TEXT = frozenset({"compile", "search", "match", "fullmatch", "findall", "sub", "split", "getattr", "strftime"})
WORD = re.compile(r"[^\W\d_]{2,}")
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
LONGEST_PLACEHOLDER = 24  # characters; a longer expression is shown as {...}


def error_classes() -> set[str]:
    """Return the names of TrainctlError and all its subclasses."""
    names = {"TrainctlError"}
    tree = ast.parse((ROOT / "trainctl" / "errors.py").read_text(encoding="utf-8"))
    for node in tree.body:  # a subclass is defined after its base class
        if isinstance(node, ast.ClassDef) and names & {base.id for base in node.bases if isinstance(base, ast.Name)}:
            names.add(node.name)
    return names


def modules() -> list[Path]:
    """Return all modules of trainctl, sorted."""
    return sorted((ROOT / "trainctl").rglob("*.py"))


def template(node: ast.expr) -> str | None:
    """Return a text with its placeholders; None if an expression is not a text.

    >>> template(ast.parse("f'{name}: has {len(runs)} runs'").body[0].value)
    '{name}: has {len(runs)} runs'
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_part, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = template(node.left), template(node.right)
        if any(parts):
            sides = zip(parts, (node.left, node.right), strict=True)
            return "".join(f"{{{_expression(side)}}}" if part is None else part for part, side in sides)
    return None


def _part(value: ast.expr) -> str:
    if isinstance(value, ast.FormattedValue) and (counted := _counted(value.value)):
        return counted
    return f"{{{_expression(value.value)}}}" if isinstance(value, ast.FormattedValue) else str(value.value)


def _counted(node: ast.expr) -> str:
    """Return a number with its noun or verb, as `wording` writes them, in both forms; empty for anything else.

    >>> [_counted(ast.parse(text).body[0].value) for text in ("amount(n, 'row')", "agree(n, 'is', 'are')", "f(n)")]
    ['{n} row(s)', 'is/are', '']
    """
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("amount", "agree")):
        return ""
    first, *texts = node.args
    shown = [template(text) or f"{{{_expression(text)}}}" for text in texts]
    return f"{{{_expression(first)}}} {shown[0]}(s)" if node.func.id == "amount" else "/".join(shown)


def _expression(node: ast.expr) -> str:
    """Return the source of a placeholder, shortened to an ellipsis if it is long or contains text itself."""
    source = ast.unparse(node)
    return source if len(source) <= LONGEST_PLACEHOLDER and not re.search("[\"'{]", source) else "..."


class Messages(ast.NodeVisitor):
    """Collects the messages of a module in ``texts``."""

    def __init__(self, errors: set[str]) -> None:
        self.errors, self.texts = errors, set[str]()

    def visit_Call(self, node: ast.Call) -> None:
        """Collect the first argument of a call that shows it; ignore patterns and the like."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        advice = name == "warn" and any(isinstance(arg, ast.Name) and arg.id == "Advice" for arg in node.args)
        if (name in NO_TEXT and isinstance(node.func, ast.Attribute)) or _counted(node):
            return
        if node.args and (name in self.errors or name in CALLS or advice):
            self._add(node.args[0], shown=True)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Ignore docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Collect a text of two words or more."""
        self._add(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Collect an f-string, and the texts inside its placeholders."""
        self._add(node)
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.visit(value.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Collect a text that is put together with ``+``."""
        if template(node) is None:
            self.generic_visit(node)
        else:
            self._add(node)
            for side in (node.left, node.right):
                if template(side) is None:
                    self.visit(side)

    def visit_arg(self, node: ast.arg) -> None:
        """Ignore annotations, whose texts are ranges and patterns."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Ignore the annotation of a variable."""
        if node.value:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit a function without its annotations."""
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in (*node.decorator_list, *node.body):
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Ignore aliases of annotations."""
        value = node.value.value if isinstance(node.value, ast.Subscript) else None
        if not (isinstance(value, ast.Name) and value.id in ("Annotated", "Literal")):
            self.generic_visit(node)

    def _add(self, node: ast.expr, *, shown: bool = False) -> None:
        """Collect a text if it is shown to the user, or looks as if it was."""
        if text := template(node):
            words = len(WORD.findall(PLACEHOLDER.sub("", text)))
            parts = words + len(PLACEHOLDER.findall(text))
            if words and (shown or (" " in text.strip() and parts > 1)):
                self.texts.add(text)


def messages(path: Path, errors: set[str]) -> list[str]:
    """Return the messages of a module, sorted."""
    visitor = Messages(errors)
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return sorted(visitor.texts)


def catalogue() -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each module that has messages, and the messages."""
    errors = error_classes()
    for path in modules():
        if texts := messages(path, errors):
            yield path.relative_to(ROOT).as_posix(), texts


def written() -> str:
    """Return the contents of the catalogue; a message is one line, with its line breaks escaped."""
    sections = (
        f"\n== {module} ==\n" + "".join(text.replace("\\", "\\\\").replace("\n", "\\n") + "\n" for text in texts)
        for module, texts in catalogue()
    )
    return HEAD + "".join(sections)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        CATALOGUE.write_text(written(), encoding="utf-8")
    else:
        sys.stdout.write(written())
