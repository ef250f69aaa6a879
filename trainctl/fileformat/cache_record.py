"""Small files of the cache: written whole, synced and renamed; one that is damaged counts as missing. Imports no torch."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainctl.errors import DataError
from trainctl.fileformat.json_text import parse_json
from trainctl.fileformat.utf8 import read_text

LARGEST_RECORD = 1 << 30  # bytes; a million hashes take 70 MB


def read_record(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of ours; nothing if it is missing or damaged."""
    try:
        size = path.stat().st_size  # so much memory is taken to read it
        content = parse_json(read_text(path, largest=min(size, LARGEST_RECORD)), path)
    except (OSError, DataError):
        return {}
    return content if isinstance(content, dict) else {}


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under another name, wait until the disk has it, and rename it."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with aside.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def sync_directory(path: Path) -> None:
    """Wait until the disk has the names in a directory, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
