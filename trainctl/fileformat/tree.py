"""Read YAML files as plain values, in bounded time and memory, without executing anything. Imports no torch."""

from pathlib import Path
from typing import Any

import yaml

from trainctl.errors import ConfigError, TrainctlError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.limits import FLOW, check_brackets_and_digits
from trainctl.fileformat.utf8 import decode, read_text

LARGEST = 1_000_000  # bytes of a file; our longest configuration has 4,000
MOST = 100_000  # values; an alias counts as all the values that it refers to
DEEPEST = 50  # levels
# libyaml's loader takes an eighth of the time, and `trainctl runs` reads one file per run. Both load plain values only.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooLarge(ConfigError):
    """A file exceeds a limit, so that only a parser with limits may read it."""


def read_tree(path: Path, error: type[TrainctlError] = ConfigError) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        error: The class of the error.

    Raises:
        TrainctlError: Of that class, if the file cannot be read, is too large, is not valid, or contains other
            than plain values.
    """
    return _parse(read_text(path, error, largest=LARGEST), path, error)


def parse_tree(content: bytes, path: Path, error: type[TrainctlError] = ConfigError) -> Any:
    """Parse the bytes of a YAML file; arguments and errors are those of :func:`read_tree`."""
    return _parse(decode(content, path, error), path, error)


def _parse(text: str, path: Path, error: type[TrainctlError]) -> Any:
    check_size(text, path, error, error)
    with reading(path, error, explain=lambda raised: not_yaml(raised, path)):
        return yaml.load(text, LOADER)  # noqa: S506 - a safe loader


def check_size(
    text: str, path: Path, error: type[TrainctlError] = ConfigError, too_large: type[TrainctlError] = TooLarge
) -> None:
    """Reject a text that has too many values, or too deep nesting, once its aliases are expanded.

    A few lines of aliases of aliases can expand to billions of values. The values are counted from the events of the
    parser, without building them.

    Args:
        text: The content of the file.
        path: The file, for the message.
        error: The class of the error if the text is not valid.
        too_large: The class of the error if it exceeds a limit, or an alias refers to a node that contains it.
    """
    check_brackets_and_digits(text, path, too_large, brackets=FLOW)
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the count at its start
    count = 0
    with reading(path, error, explain=lambda raised: not_yaml(raised, path)):
        for event in yaml.parse(text, LOADER):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in sizes:
                    raise too_large(
                        f"{path}, line {_line(event)}: the alias *{event.anchor} refers to itself or to nothing"
                    )
                count += sizes[event.anchor]
            elif isinstance(event, yaml.ScalarEvent):
                count += 1
                if event.anchor:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, count))
                count += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = count - before
            if count > MOST:
                raise too_large(f"{path}, line {_line(event)}: more than {MOST:,} values after expanding aliases")
            if len(open_nodes) > DEEPEST:
                raise too_large(f"{path}, line {_line(event)}: nested more than {DEEPEST} levels deep")


# What is usually the matter, by how the message of the parser begins.
HINTS = {
    "found character": "; indent with spaces, not with tabs, and put quotes around a text with special characters",
    "mapping values are not allowed": "; indent keys of a section alike, and put quotes around a text that contains ': '",
    "could not find expected ':'": "; write key: value, with a space after the colon",
    "did not find expected ',' or": "; a bracket is opened, and not closed",
}


def not_yaml(error: Exception, path: Path | None = None) -> str | None:
    """Return the message for a YAML error with a line number; None for any other error.

    Args:
        error: The error that the parser raised.
        path: The file; if None, the file that the error names.
    """
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.YAMLError) or mark is None:
        return None
    problem = str(getattr(error, "problem", None) or error)
    hint = next((hint for words, hint in HINTS.items() if problem.startswith(words)), "")
    return f"{path or mark.name}, line {mark.line + 1}: not valid YAML: {problem}{hint}"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
