"""Read the points of a sweep from a file, one in each row: `sweep.points=FILE`. Imports no torch."""

import csv
import io
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file
from trainctl.fileformat.tree import read_tree
from trainctl.settings.space import MOST_POINTS, Choice, Words
from trainctl.settings.spelling import spell

LARGEST_FILE = 2**26  # bytes of a file of points


def read_points(path: Path) -> Choice:
    """Read the points of a CSV or YAML file, one in each row; an empty cell keeps the default.

    Raises:
        ConfigError: If it cannot be read, or has no points or too many.
    """
    check_file(path, ConfigError)
    rows = _yaml_points(path) if path.suffix.lower() in (".yaml", ".yml") else _csv_points(path)
    if not rows:
        raise ConfigError(f"{path}: contains no points")
    if len(rows) > MOST_POINTS:
        raise ConfigError(f"{path}: contains {len(rows)} points; the limit is {MOST_POINTS}")
    return Choice(path.name, tuple(rows))


def _csv_points(path: Path) -> list[Words]:
    if path.stat().st_size > LARGEST_FILE:
        raise ConfigError(f"{path}: larger than {LARGEST_FILE // 2**20} MB")
    with reading(path, ConfigError, "cannot be read as CSV"):
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    if not lines:
        return []
    header, rows = [name.strip() for name in lines[0]], []
    if not all(header) or len(set(header)) < len(header):
        raise ConfigError(f"{path}, line 1: expected one key in each column, such as optimizer.lr, and none twice")
    for number, line in enumerate(lines[1:], 2):
        if len(line) > len(header):
            raise ConfigError(f"{path}, line {number}: has {len(line)} cells, but the header has {len(header)}")
        if any(cell.strip() for cell in line):
            rows.append(tuple(f"{key}={cell.strip()}" for key, cell in zip(header, line, strict=False) if cell.strip()))
    return rows


def _yaml_points(path: Path) -> list[Words]:
    tree = read_tree(path)
    if not isinstance(tree, list) or not all(isinstance(row, dict) for row in tree):
        raise ConfigError(f"{path}: expected a list of points, each a mapping such as `- optimizer.lr: 0.1`")
    return [tuple(f"{key}={spell(value)}" for key, value in row.items() if value is not None) for row in tree]
