"""A YAML file -> plain values, in bounded time and memory, and nothing that it holds executes."""

from pathlib import Path
from typing import Any

import yaml

LARGEST = 1_000_000  # bytes of a file; the longest configuration of ours has 4,000
MOST = 100_000  # values, each alias counted as what it stands for
# libyaml's loader takes an eighth of the time, and `trainctl runs` reads one file a run. Both know plain values only.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 50


class NotText(ValueError):
    """A file is no text in UTF-8."""


def read_tree(path: Path) -> Any:
    """Read a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is too large, holds too much, or a value that does not exist, such as the date 2024-99-99.
        yaml.YAMLError: If it is not valid, or asks for more than plain values.
    """
    text = read_text(path)
    check(text)
    return yaml.load(text, LOADER)  # noqa: S506 - a safe loader


def read_text(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte order mark.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is too large, or no such text.
    """
    if path.is_fifo():
        raise ValueError("is a pipe, which may never end")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"is larger than {LARGEST:,} bytes, which no configuration needs")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise NotText("is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotText(f"line {line}: byte {content[error.start]:#04x} is not UTF-8; is it a text?") from error


def check(text: str) -> None:
    """Refuse a text whose values, aliases written out, are too many or nested too deeply.

    A few lines of aliases of aliases stand for billions of values. Counted from the events of the parser, so that
    nothing is built.

    Raises:
        ValueError: If it holds too much, or an alias inside what it stands for.
        yaml.YAMLError: If it is not valid.
    """
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the count at its start
    count = 0
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"line {_line(event)}: the alias *{event.anchor} stands for itself or nothing")
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
        if count > MOST or len(open_nodes) > DEEPEST:
            raise ValueError(
                f"line {_line(event)}: holds more than {MOST:,} values, aliases written out, or more than {DEEPEST} levels"
            )


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
