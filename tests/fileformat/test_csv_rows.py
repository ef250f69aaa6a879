"""A CSV file that is converted part by part becomes the rows that reading it whole gives, by pyarrow or without it."""

import gzip
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import ROOT
from tests.soak import cases, seed
from tests.surprises import changed
from trainctl.components.dataset.base import Dataset
from trainctl.components.dataset.csv import csv
from trainctl.data.centre import narrowed
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat import csv_arrow, csv_rows, packed, rows_file, table_stream
from trainctl.fileformat.room import Room

KEYS = {
    key: value for key, value in yaml.safe_load((ROOT / "conf/dataset/csv.yaml").read_text()).items() if key != "name"
}
MISSING = ("", "NA", "n/a", "NaN", "nan", "null", "None", "?", "#N/A", "-", "NULL", "nUll")
Read = Callable[..., tuple[Dataset, Dataset]]
needs_arrow = pytest.mark.skipif(csv_arrow.arrow() is None, reason="pyarrow is not installed")


def read(path: Path, **changes: Any) -> Dataset:
    values = KEYS | {"path": str(path), "target": "y", "cache": str(path.parent / "cache"), "schema": None} | changes
    return narrowed(csv(**values))


def same(one: Dataset, two: Dataset) -> None:
    """Check that a data set on disk is the one in memory."""
    assert two.stored is not None
    inputs = two.rows(torch.arange(len(two.inputs)))
    torch.testing.assert_close(inputs, one.inputs, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(two.targets, one.targets, rtol=0, atol=0, equal_nan=True)
    for name in (
        "task",
        "class_names",
        "input_names",
        "target_names",
        "columns",
        "input_centre",
        "no_targets",
        "task_reason",
    ):
        assert getattr(one, name) == getattr(two, name), name
    assert one.inputs.shape == two.inputs.shape
    assert two.encoding.keep == "disk"


def a_table(chance: random.Random, rows: int) -> list[str]:
    """Return the lines of a table with everything that a column may contain."""
    quote = chance.random() < 0.4
    kinds = {
        "plain": lambda row: f"{chance.gauss(0, 3):.{chance.choice([2, 9])}f}",
        "whole": lambda row: str(chance.randrange(-50, 50)),
        "far": lambda row: f"{2459000 + chance.random():.6f}",
        "tiny": lambda row: f"{chance.random() * 1e-30:.5e}",
        "percent": lambda row: f"{chance.randrange(100)}.5%",
        "city": lambda row: chance.choice(["Bern", "Ulm", "New York", "Graz", "Genf", *["1.0", "1"] * (row > 15)]),
        "yes": lambda row: chance.choice(["True", "true", "FALSE"]),
        "when": lambda row: f"20{10 + row % 13}-0{1 + row % 9}-1{row % 9}",
        "time": lambda row: f"{row % 24}:{10 + row % 49}",
    }
    names = chance.sample([*kinds], chance.randrange(2, len(kinds) + 1))
    answer = chance.choice(
        [lambda row: chance.choice("ab"), lambda row: f"{chance.random():.4f}", lambda row: str(row % 3)]
    )
    lines = [",".join([*names, "y"])]
    for row in range(rows):
        cells = [kinds[name](row) for name in names]
        if row > 8 and chance.random() < 0.3:
            cells[chance.randrange(len(cells))] = chance.choice(MISSING)
        if quote and chance.random() < 0.5:
            cells[0] = f'"{cells[0]}"'
        lines.append(",".join([*cells, answer(row)]))
    return lines


@pytest.mark.soak
@pytest.mark.parametrize("way", [pytest.param("pyarrow", marks=needs_arrow), "own"])
def test_a_table_of_any_kind_becomes_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    chance = seed(f"table {way}")
    if way == "own":
        monkeypatch.setattr(csv_arrow, "arrow", lambda: None)
    read_by_arrow = 0
    original = csv_rows.read_part

    def counting(*arguments: Any) -> Any:
        nonlocal read_by_arrow
        found = original(*arguments)
        read_by_arrow += found is not None
        return found

    monkeypatch.setattr(csv_rows, "read_part", counting)
    for case in range(cases(25)):
        lines = a_table(chance, chance.randrange(20, 120))
        if chance.random() < 0.3:
            lines.insert(chance.randrange(3, len(lines)), chance.choice(["", "# a comment", "\t"[:0]]))
        text = chance.choice(["\n", "\r\n"]).join(lines) + chance.choice(["", "\n"])
        path = tmp_path / f"{way}{case}.csv{chance.choice(['', '.gz'])}"
        content = text.encode(chance.choice(["utf-8", "utf-8-sig"]))
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        monkeypatch.setattr(table_stream, "CHUNK", chance.choice([len(content) * 2, 1200, 2000]))
        whole = read(path, keep="memory")
        same(whole, read(path, keep="disk"))
    assert (read_by_arrow > 20) == (way == "pyarrow")


@pytest.mark.parametrize("text", [
    'a,b,y\n1,"x,1",0\n2,"x\nz",1\n3,"say ""hi""",0\n4,"x,1",1\n5,q,0\n6,q,1\n',
    "a;b;y\n1,5;x;0\n2,5;z;1\n3,5;x;0\n4,5;z;1\n",
    "a,b,y,\n1,2,0,\n3,4,1,\n5,6,0,\n7,8,1,\n",
    "a,b,y\n1,2,0,\n3,4,1,\n5,6,0,\n7,8,1,\n",
    "a,b,y\nr1,1,2,0\nr2,3,4,1\nr3,5,6,0\nr4,7,8,1\n",
    "sep=|\na|b|y\n1|2|0\n3|4|1\n5|6|0\n7|8|1\n",
    "# top\n# more\na,b,y\n1,-999,0\n-999.0,4,1\n5,bad,0\n7,8,1\n",
    "a b  y\n1 2 0\n3 4   1\n5 6 0\n7 8 1\n",
    "a,y\n1,0\n2,\n3,1\n4,1\n5,0\n6,NA\n",
], ids=["quotes", "semicolons", "trailing", "trailing-rows", "row-names", "sep", "comments", "spaces", "no-target"])  # fmt: skip
@pytest.mark.parametrize("chunk", [40, 10_000])
def test_what_tools_add_to_a_table_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, chunk: int
) -> None:
    path = tmp_path / "my.csv"
    path.write_text(text)
    monkeypatch.setattr(table_stream, "CHUNK", chunk)
    changes: dict[str, Any] = {"task": "classification"}
    if "row" in text or "r1" in text:
        changes["drop"] = ["column_1"]
    if "a b  y" in text:
        changes["delimiter"] = "space"
    if "-999" in text:
        changes["missing"] = [-999, "bad"]
    whole = read(path, keep="memory", **changes)
    same(whole, read(path, keep="disk", **changes))


def test_several_targets_none_and_no_header(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("a,b,y\n" + "".join(f"{row},{row * 2 % 7},{row / 3:.3f}\n" for row in range(30)))
    for changes in ({"target": ["y", "b"]}, {"target": None}, {"target": "none"}):
        same(read(path, keep="memory", **changes), read(path, keep="disk", **changes))
    path.write_text("".join(f"{row},{row * 2 % 7},{row / 3:.3f}\n" for row in range(30)))
    changes = {"target": "column_3", "header": False}
    same(read(path, keep="memory", **changes), read(path, keep="disk", **changes))


@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_a_finished_run_reads_other_rows_in_its_own_encoding(tmp_path: Path, unknown: str) -> None:
    path, other = tmp_path / "my.csv", tmp_path / "other.csv"
    path.write_text(
        "far,city,y\n" + "".join(f"{2459000 + row / 7:.5f},{'xyz'[row % 3]},{'ab'[row % 2]}\n" for row in range(30))
    )
    other.write_text(
        "y,city,far\n" + "".join(f"{'ba'[row % 2]},{'xq'[row % 2]},{2459100 + row / 7:.5f}\n" for row in range(9))
    )
    run = read(path, keep="disk")
    assert run.input_centre
    values = KEYS | {
        "path": str(other),
        "target": "y",
        "cache": str(tmp_path / "cache"),
        "schema": run,
        "unknown": unknown,
    }
    if unknown == "error":
        with pytest.raises(DataError, match=r"column city: 'q' is not one of the categories in the training data"):
            csv(**values | {"keep": "disk"})
        return
    whole, disk = (narrowed(csv(**values | {"keep": keep}), run) for keep in ("memory", "disk"))
    same(whole, disk)
    assert any("'q' (4 rows) did not occur in the training data" in note for note in disk.notes)


WRONG = [
    ("1,x,0\n2,x,1\n" * 20 + "3,x,0\nfour,x,1\n" + "1,x,0\n" * 20, "line 43, column a: 'four' is not a number"),
    ("1,x,0\n2,x,1\n" * 20 + "3,x\n" + "1,x,0\n" * 20, "line 42: has 2 cells, but the header has 3"),
    ("1,x,0\n2,x,1\n" * 20 + '3,"x,0\n' + "1,x,0\n" * 20, "line 42: .*a quote is opened"),
    ("1,x,0\n2,x,1\n" * 20 + "1e39,x,0\n", "line 42, column a: '1e39' exceeds the largest number"),
    ("1,x,0\n2,x,1\n" * 20 + "inf,x,0\n", "line 42, column a: 'inf' is infinite"),
    ("1,x,0\n2,x,0\n" * 20, "column y: has only one class"),
    ("1,x,0\n2,x,1\n" * 20 + "1,\0,0\n", "line 42: .*NUL byte"),
    ("".join(f"1,{row % 5 if row < 20 else row},{row % 2}\n".replace(",", ",t", 1) for row in range(200)), "column b: .* is free text"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "message"), WRONG)
@pytest.mark.parametrize("chunk", [100, 100_000])
@pytest.mark.parametrize("way", [pytest.param("pyarrow", marks=needs_arrow), "own"])
def test_a_cell_that_is_wrong_is_named_with_its_line_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, message: str, chunk: int, way: str
) -> None:
    if way == "own":
        monkeypatch.setattr(csv_arrow, "arrow", lambda: None)
    path = tmp_path / "my.csv"
    path.write_bytes(b"a,b,y\n" + rows.encode())
    monkeypatch.setattr(table_stream, "CHUNK", chunk)
    with pytest.raises(DataError, match=message):
        read(path, keep="disk", task="classification")
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()]


def test_bytes_in_another_encoding_are_named_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my.csv"
    path.write_bytes(b"a,b,y\n" + b"1,x,0\n2,z,1\n" * 20 + b"1,\xe4,0\n")
    monkeypatch.setattr(table_stream, "CHUNK", 100)
    with pytest.raises(DataError, match=r"line 42: .*byte 0xe4 is not UTF-8.*dataset.encoding=cp1252"):
        read(path, keep="disk")
    same(read(path, keep="memory", encoding="cp1252"), read(path, keep="disk", encoding="cp1252"))


@pytest.mark.parametrize("changes", [{"ignore_case": True}, {}])
def test_what_needs_the_whole_file_is_refused_by_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / ("my.csv" if changes else "my.json")
    path.write_text("a,y\n1,0\n2,1\n" if changes else '[{"a": 1, "y": 0}, {"a": 2, "y": 1}]')
    with pytest.raises(ConfigError, match=r"set dataset\.keep=memory"):
        read(path, keep="disk", **changes)


def test_rows_stay_on_disk_if_reading_them_takes_more_than_half_of_the_memory_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("a,y\n" + "1,0\n2,1\n" * 100)
    size = path.stat().st_size
    for free, before, disk in (
        (41 * size, None, False),
        (39 * size, None, True),
        (39 * size, "memory", False),
        (1e9, "disk", True),
    ):
        found = read(path, room=Room(free, before))
        assert (found.stored is not None) == disk, (free, before)
        lines = dict(found.inferred)
        assert ("rows" in lines) == disk
        if disk:
            assert "stay on disk" in lines["rows"]
            assert "of memory are free" in lines["rows"]
    with pytest.raises(
        ConfigError, match=r"dataset.memory=1KB: reading the file as a whole takes about .* set dataset.keep=disk"
    ):
        read(path, keep="memory", memory="1KB")
    with pytest.raises(ConfigError, match=r"dataset.memory=1MB: reading these rows from disk takes up to"):
        read(path, keep="disk", memory="1MB")


def test_rows_sorted_by_class_are_shuffled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_file, "BLOCK_BYTES", 16)
    path = tmp_path / "my.csv"
    path.write_text("a,b,y\n" + "".join(f"{row},{row},{'ab'[row // 1000]}\n" for row in range(2000)))
    found = read(path, keep="disk")
    inputs = found.rows(torch.arange(2000))
    assert torch.equal(found.targets, (inputs[:, 0] >= 1000).long())
    assert sorted(inputs[:, 0].tolist()) == list(range(2000))
    assert 800 < int(found.targets.diff().abs().sum()) < 1200
    assert any("sorted by class, so they were shuffled once" in note for note in found.notes)


# The cache.


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "my.csv"
    path.write_text("a,y\n" + "".join(f"{row},{row % 2}\n" for row in range(50)))
    old = time.time() - 60
    os.utime(path, (old, old))
    time.sleep(2.1)  # until the times of the file tell that it has not changed
    return path


def conversions(path: Path) -> list[Path]:
    return [each for each in (path.parent / "cache").iterdir() if each.is_dir()]


def test_a_file_is_converted_once_until_it_changes(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(table, keep="disk")
    count = []
    monkeypatch.setattr(
        packed, "_convert", lambda *arguments, real=packed._convert: count.append(1) or real(*arguments)
    )
    read(table, keep="disk")
    os.utime(table)  # the same bytes
    again = read(table, keep="disk")
    assert not count
    assert not any("has changed" in note for note in again.notes)
    table.write_text(table.read_text() + "50,0\n")
    changed = read(table, keep="disk")
    assert count == [1]
    assert len(changed.inputs) == 51
    assert any("my.csv has changed since it was converted, and was converted again" in note for note in changed.notes)
    assert len(conversions(table)) == 1
    assert torch.equal(first.rows(torch.arange(50)), changed.rows(torch.arange(50)))  # a run that goes on


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inputs.npy", "targets.npy", "about.json"])
@pytest.mark.parametrize("way", ["truncated", "flipped", "missing"])
def test_a_conversion_that_was_damaged_is_never_used(table: Path, name: str, way: str) -> None:
    read(table, keep="disk")
    (directory,) = conversions(table)
    path = directory / name
    content = path.read_bytes()
    if way == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-5] if way == "truncated" else content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    if name == "about.json" or way == "missing":
        found = read(table, keep="disk")
        assert found.rows(torch.arange(50))[:, 0].tolist() == list(range(50))
        return
    with pytest.raises(DataError, match=rf"{name}: block 0 .* remove .*{directory.name} to convert again"):
        read(table, keep="disk").rows(torch.arange(50))


@pytest.mark.soak
def test_whatever_the_description_of_a_conversion_says_the_rows_are_those_of_the_file(table: Path) -> None:
    source = seed("descriptions of conversions")
    whole = read(table, keep="disk")
    for number in range(cases(12)):
        (directory,) = conversions(table)
        path = directory / "about.json"
        if number % 2:
            content = bytearray(path.read_bytes())
            content[source.randrange(len(content))] ^= 1 << source.randrange(7)
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(changed(json.loads(path.read_text()), source)))
        found = read(table, keep="disk")
        assert (found.class_names, found.input_names, found.task) == (whole.class_names, whole.input_names, whole.task)
        assert torch.equal(found.rows(torch.arange(50)), whole.rows(torch.arange(50)))
        assert torch.equal(found.targets, whole.targets)


def test_several_processes_that_convert_at_once_share_one_conversion(table: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=read, args=(table,), kwargs={"keep": "disk"}) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(conversions(table)) == 1
    assert len(read(table, keep="disk").inputs) == 50


def test_a_conversion_that_was_killed_leaves_nothing_that_is_used(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: Any, **more: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(csv_rows.Gathered, "finish", killed)
    worker = multiprocessing.get_context("fork").Process(target=read, args=(table,), kwargs={"keep": "disk"})
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    assert [each.suffix for each in conversions(table)] == [".tmp"]
    monkeypatch.undo()
    assert len(read(table, keep="disk").inputs) == 50
    assert [each.suffix for each in conversions(table)] == [""]


def test_a_file_that_changes_while_it_is_converted_is_not_used(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = csv_rows.Gathered.finish

    def changing(*arguments: Any, **more: Any) -> None:
        finish(*arguments, **more)
        table.write_text("a,y\n1,0\n")

    monkeypatch.setattr(csv_rows.Gathered, "finish", changing)
    with pytest.raises(DataError, match=r"my\.csv: changed while it was converted; start again"):
        read(table, keep="disk")
    assert not conversions(table)


def test_numbers_far_from_zero_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("a,y\n" + "".join(f"{2459123.4567 + row / 1000:.4f},{row % 2}\n" for row in range(500)))
    found = read(path, keep="disk")
    whole = read(path, keep="memory")
    assert found.input_centre == whole.input_centre != ()
    np.testing.assert_array_equal(found.rows(torch.arange(500)).numpy(), whole.inputs.numpy())
