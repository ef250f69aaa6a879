"""Parse the source text of a Python module to a syntax tree, without executing it. Imports no torch."""

import ast
import warnings
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.limits import check_brackets_and_digits
from trainctl.fileformat.utf8 import read_text

LARGEST = 1_000_000  # bytes of a file


def parse_python(path: Path) -> ast.Module:
    """Parse a module.

    Raises:
        ConfigError: If it cannot be read, or is not valid Python.
    """
    text = read_text(path, ConfigError, "not a Python module", LARGEST)
    check_brackets_and_digits(text, path, ConfigError)

    def explain(error: Exception) -> str | None:
        if isinstance(error, SyntaxError):
            return f"{path}, line {error.lineno}: not a Python module: {error.msg}"
        if isinstance(error, MemoryError | RecursionError):  # the parser raises these if its stack is too small
            return f"{path}: not a Python module: nested too deeply"
        return None

    with reading(path, ConfigError, "not a Python module", explain), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escapes; importing the module repeats these warnings
        return ast.parse(text, filename=str(path))


def parse_expression(text: str) -> ast.expr:
    """Parse an expression, such as an annotation in quotes.

    Raises:
        ConfigError: If the text is not an expression.
    """
    check_brackets_and_digits(text, text[:60], ConfigError)
    with reading(repr(text[:60]), ConfigError, "not an expression"):
        return ast.parse(text, mode="eval").body
