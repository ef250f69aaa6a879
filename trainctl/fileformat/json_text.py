"""Read JSON, from a file or a line of a file, as plain values, within limits. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from trainctl.errors import DataError, TrainctlError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.limits import DEEPEST_BRACKETS, check_json
from trainctl.fileformat.utf8 import read_text


def read_json(path: Path, error: type[TrainctlError] = DataError) -> Any:
    """Read a JSON file.

    Raises:
        TrainctlError: Of the class ``error``, if the file cannot be read or is not valid.
    """
    return parse_json(read_text(path, error), path, error)


def parse_json(
    text: str, where: Path | str, error: type[TrainctlError] = DataError, deepest: int = DEEPEST_BRACKETS
) -> Any:
    """Parse a text as JSON.

    Args:
        text: The text.
        where: The file, for the message.
        error: The class of the error.
        deepest: Maximum number of nested brackets.

    Raises:
        TrainctlError: Of that class, if the text is not valid.
    """
    check_json(text, where, error, deepest)
    with reading(where, error, "not valid JSON"):
        return json.loads(text)
