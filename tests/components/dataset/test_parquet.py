"""Parquet files of the user's own become the rows that the same table gives as a CSV."""

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import ROOT
from trainctl.components.dataset.base import Dataset
from trainctl.components.dataset.csv import csv
from trainctl.components.dataset.parquet import parquet
from trainctl.data.centre import narrowed
from trainctl.errors import ConfigError, DataError, UnavailableError
from trainctl.fileformat.room import Room

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("pyarrow.parquet")


def keys(name: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / f"conf/dataset/{name}.yaml").read_text())
    return {key: value for key, value in found.items() if key != "name"} | {"schema": None}


KEYS, CSV = keys("parquet"), keys("csv")
Read = Callable[..., Dataset]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def load(path: Path, **changes: Any) -> Dataset:
        changes = {"target": "y", "cache": str(tmp_path / "cache")} | changes
        return narrowed(parquet(**KEYS | {"path": str(path)} | changes))

    return load


def write(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    pa.parquet.write_table(pa.table(columns), path, row_group_size=7)
    return path


def people(rows: int = 40, start: int = 0) -> dict[str, Any]:
    numbers = range(start, start + rows)
    return {
        "age": pa.array([row % 50 + 0.25 if row % 7 else None for row in numbers]),
        "count": pa.array([row * 3 for row in numbers], pa.int16()),
        "vip": pa.array([row % 3 == 0 for row in numbers]),
        "city": pa.array([("Bern", "Ulm", None, "Graz")[row % 4] for row in numbers]).dictionary_encode(),
        "price": pa.array([row / 8 for row in numbers], pa.float32()),
        "day": pa.array([dt.date(2024, 1, 1) + dt.timedelta(days=row % 9) for row in numbers]),
        "y": pa.array(["yes" if row % 2 else "no" for row in numbers]),
    }


def as_csv(path: Path, columns: dict[str, Any]) -> Path:
    cells = {name: column.to_pylist() for name, column in columns.items()}
    rows = zip(*cells.values(), strict=True)
    words = [
        ["" if cell is None else str(int(cell)) if isinstance(cell, bool) else str(cell) for cell in row]
        for row in rows
    ]
    path.write_text("\n".join([",".join(cells), *map(",".join, words)]) + "\n")
    return path


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_a_file_has_the_rows_of_the_same_table_as_a_csv(read: Read, tmp_path: Path, keep: str) -> None:
    columns = people()
    found = read(write(tmp_path / "my.parquet", **columns), keep=keep)
    whole = narrowed(csv(**CSV | {"path": str(as_csv(tmp_path / "my.csv", columns)), "target": "y", "keep": "memory"}))
    assert (found.stored is not None) == (keep == "disk")
    torch.testing.assert_close(found.rows(torch.arange(40)), whole.inputs, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found.targets, whole.targets)
    for name in ("class_names", "input_names", "target_names", "task"):
        assert getattr(found, name) == getattr(whole, name)


def test_a_directory_and_a_pattern_are_read_in_the_order_of_their_names(read: Read, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "b.parquet", **people(20, 20))
    write(folder / "a.parquet", **people(20))
    (folder / "_SUCCESS").write_text("")
    write(folder / "_temporary/c.parquet", **people(5))
    whole = read(write(tmp_path / "my.parquet", **people()))
    for path in (folder, folder / "[ab].parquet", folder / "*.parquet"):
        found = read(path)
        torch.testing.assert_close(found.inputs, whole.inputs, equal_nan=True)
        assert torch.equal(found.targets, whole.targets)


@pytest.mark.parametrize(("answer", "task", "names"), [
    (pa.array([row % 3 for row in range(40)]), "classification", ("0", "1", "2")),
    (pa.array([float(row % 3) for row in range(40)]), "classification", ("0", "1", "2")),
    (pa.array([row % 2 == 0 for row in range(40)]), "classification", ("False", "True")),
    (pa.array([row / 3 for row in range(40)]), "regression", ()),
    (pa.array([row * 2 for row in range(40)]), "regression", ()),
])  # fmt: skip
def test_the_task_follows_from_the_target(
    read: Read, tmp_path: Path, answer: Any, task: str, names: tuple[str, ...]
) -> None:
    found = read(write(tmp_path / "my.parquet", x=pa.array(np.arange(40.0)), y=answer))
    assert (found.task, found.class_names) == (task, names)
    if task == "regression":
        assert found.targets[:, 0].tolist() == pytest.approx([float(value.as_py()) for value in answer])


def test_several_targets_none_and_chosen_columns(read: Read, tmp_path: Path) -> None:
    path = write(tmp_path / "my.parquet", a=pa.array([1, 2, 3]), b=pa.array([4, 5, 6]), c=pa.array([7, 8, 9]))
    assert read(path, target=["b", "c"]).targets.tolist() == [[4, 7], [5, 8], [6, 9]]
    assert read(path, target=None).no_targets
    assert read(path, target="b", drop=["c"]).input_names == ("a",)
    assert read(path, target="b", columns=["c"]).inputs.tolist() == [[7], [8], [9]]
    assert read(path, target="b", categorical=["c"]).input_names == ("a", "c=7", "c=8", "c=9")


def test_a_finished_run_reads_other_rows_in_its_own_encoding(read: Read, tmp_path: Path) -> None:
    run = read(write(tmp_path / "my.parquet", **people()))
    other = people(12, 100) | {"city": pa.array(["Ulm", "Rom"] * 6)}
    found = read(write(tmp_path / "other.parquet", **dict(reversed(other.items()))), schema=run)
    assert found.input_names == run.input_names
    assert any("'Rom' (6 rows) did not occur" in note for note in found.notes)


@pytest.mark.parametrize(("changes", "message"), [
    ({"target": "z"}, "column z is missing"),
    ({"drop": ["y"]}, "this is the target"),
    ({"target": ["count", "count"]}, "list each column only once"),
    ({"categorical": ["y"]}, "this is the target; use dataset.task=classification"),
    ({"columns": ["q*"]}, "matches no column"),
    ({"target": ["y", "count"]}, "is string, which cannot be predicted"),
    ({"target": "y", "task": "regression"}, "is string, which cannot be predicted"),
])  # fmt: skip
def test_wrong_settings_are_named(read: Read, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        read(write(tmp_path / "my.parquet", **people()), **changes)


def test_files_that_cannot_be_read_are_named(read: Read, tmp_path: Path) -> None:
    path = write(tmp_path / "data/a.parquet", **people())
    write(tmp_path / "data/b.parquet", **people() | {"age": pa.array(["x"] * 40)})
    said = (
        r"b.parquet: column age is text, in a.parquet it is number: write it .* a.parquet, or set dataset.drop=\[age\]"
    )
    with pytest.raises(DataError, match=said):
        read(tmp_path / "data")
    assert len(read(tmp_path / "data", drop=["age"]).inputs) == 80
    without = people()
    del without["y"]
    write(tmp_path / "data/b.parquet", **without)
    with pytest.raises(DataError, match=r"b.parquet: column y is missing, in a.parquet it is text: .* of a.parquet$"):
        read(tmp_path / "data")
    write(tmp_path / "data/b.parquet", **people() | {"more": pa.array(["x"] * 40)})
    assert ("unused", "more (not in a.parquet)") in read(tmp_path / "data").inferred
    (tmp_path / "data/b.parquet").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"b.parquet: cannot be read"):
        read(tmp_path / "data")
    (tmp_path / "data/b.parquet").unlink()
    for wrong, message in (("none", "no such file"), ("data/x*", "matches no file")):
        with pytest.raises(DataError, match=message):
            read(tmp_path / wrong)
    with pytest.raises(DataError, match="column v is list<"):
        read(write(tmp_path / "l.parquet", v=pa.array([[1.0], [2.0]]), y=pa.array([0, 1])))
    with pytest.raises(DataError, match="column v: inf is infinite"):
        read(write(tmp_path / "i.parquet", v=pa.array([1.0, np.inf]), y=pa.array([0.5, 1])))
    with pytest.raises(DataError, match="has no rows"):
        read(write(tmp_path / "e.parquet", v=pa.array([], pa.float64()), y=pa.array([], pa.float64())))


def test_rows_stay_on_disk_if_they_take_more_than_half_of_the_memory_that_is_free(read: Read, tmp_path: Path) -> None:
    path = write(tmp_path / "my.parquet", **people())
    size = read(path, keep="memory").inputs.nbytes
    assert read(path, room=Room(2 * size + 2)).stored is None
    assert read(path, room=Room(2 * size - 2)).stored is not None


def test_pyarrow_is_needed_to_convert_and_not_afterwards(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "my.parquet", **people())
    read(path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    read(path)
    with pytest.raises(UnavailableError, match=r"needs pyarrow: pip install 'trainctl\[parquet\]'"):
        read(path, target="count")


def test_pyarrow_takes_memory_from_the_system_and_processes_do_not_inherit_that():
    code = """
import os
from trainctl.fileformat import arrow_memory
arrow = arrow_memory.import_arrow("pyarrow")
print(arrow.default_memory_pool().backend_name, arrow_memory.POOL in os.environ)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["system", "False"]
