"""A file or directory of the user -> what kind of data it contains, and what is to be predicted. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Literal

from trainctl.errors import ConfigError
from trainctl.fileformat import image, label
from trainctl.fileformat.array import read_array
from trainctl.fileformat.array_parts import read_parts
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.cells import JSON, Table, TableFormat, is_missing, is_no_number, read_table
from trainctl.fileformat.date import find_order
from trainctl.fileformat.decompress import ending
from trainctl.fileformat.in_place import array_header
from trainctl.fileformat.label import task_of_array
from trainctl.fileformat.number import PLAIN
from trainctl.fileformat.place import check_file, is_directory
from trainctl.fileformat.recognised import Recognised
from trainctl.fileformat.suspect import counts_rows
from trainctl.fileformat.table import FEW, MOST, OFTEN, find_numeric
from trainctl.fileformat.table_stream import first_part
from trainctl.fileformat.target import guess_task
from trainctl.fileformat.walk import describe_others, find
from trainctl.wording import amount, listed, shell_words

TABLES = frozenset({".csv", ".tsv", ".txt", *JSON})
ARRAYS = frozenset({".npz", ".npy"})
PARQUET = frozenset({".parquet", ".pq"})
SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".ods", ".numbers"})
LARGE = 1 << 26  # bytes of a table, of which only the beginning is looked at
# Names of columns that people predict, in the order in which they are looked for.
TARGETS = (
    "target", "label", "labels", "class", "y", "outcome", "response", "category", "sentiment", "species", "diagnosis",
    "survived", "churn",
)  # fmt: skip
# As well, but a column of them in the order of time is a series, and one before a last column of categories an input.
QUANTITIES = ("price", "sale_price", "saleprice", "rent", "salary", "charges", "mpg")
UNUSABLE = "identifier, or empty"  # what a column of the kind "nothing" is called
SENTENCE = 20  # median number of characters, from which on a column of distinct texts contains texts to be read
LETTERS = 0.7  # share of the characters of names and words that are letters; identifiers have digits
NOTHING: Mapping[str, Any] = {}
Kind = Literal["numbers", "categories", "dates", "texts", "nothing"]


def recognise(path: Path, typed: Mapping[str, Any] = NOTHING) -> Recognised:
    """Return what a file or directory contains.

    Args:
        path: An existing file or directory.
        typed: The settings of a table that the user has typed: how it is written; ``target``, a name, a list of names, or
            None for no target; ``text``, the column of texts; or settings that only a series has.

    Raises:
        ConfigError: If it is nothing that can be trained on, or the target is not clear; says what to type.
        DataError: If it cannot be read.
    """
    if is_directory(path):
        return _directory(path)
    kind = ending(path)
    if kind in ARRAYS:
        return _arrays(path)
    if kind in image.suffixes():
        raise ConfigError(f"{path}: is one image; give the directory that has a folder of images for each class")
    check_file(path)
    if kind in TABLES:
        return _table(_seen(path, kind, _form(typed)), typed)
    if kind in PARQUET:
        from trainctl.fileformat.parquet_head import read_head  # here, because pyarrow may be missing

        head = read_head(path)
        return head.completed(_table(head.table, typed), typed)
    if kind in SPREADSHEETS:
        raise ConfigError(
            f"{path}: a spreadsheet; save it as CSV (in the spreadsheet program: File, Save as), and give that"
        )
    raise ConfigError(
        f"{path}: not a kind of file that can be trained on: give a table ({', '.join(sorted(TABLES))}), arrays"
        f" ({', '.join(sorted(ARRAYS))}), a directory of images or texts, or settings (.yaml)"
    )


def _seen(path: Path, kind: str, form: TableFormat) -> Table:
    """Return the cells of a table; of a large one, those of its first megabytes."""
    with reading(path):
        size = path.stat().st_size
    if kind in JSON or form.ignore_case or size < LARGE:
        return read_table(path, form, again=True)
    return first_part(path, form)[1]


def _form(typed: Mapping[str, Any]) -> TableFormat:
    """Return how a table is written, as far as the user has typed it."""
    chosen = {field.name: typed[field.name] for field in fields(TableFormat) if field.name in typed}
    for key in ("missing", "skip"):
        if key in chosen:
            chosen[key] = tuple(map(str if key == "missing" else int, chosen[key]))
    return TableFormat(**{"delimiter": "auto", **chosen})


def _directory(path: Path) -> Recognised:
    with reading(path):
        images, texts = find(path, image.suffixes()), find(path, frozenset({".txt"}))
    if len(images.files) >= max(1, len(texts.files)):
        return Recognised("image_folder", groups={"model": "cnn"}, reasons=(amount(len(images.files), "image"),))
    if texts.files:
        return Recognised("text", groups={"model": "rnn"}, reasons=(amount(len(texts.files), "text file"),))
    others = f"; contains {describe_others(images.others)}" if images.others else ""
    raise ConfigError(f"{path}: contains no images and no .txt files{others}; give one file, such as a table")


def _arrays(path: Path) -> Recognised:
    parts = read_parts(path) if ending(path) == ".npz" else None
    shape = parts.inputs.shape if parts else (array_header(path) or read_array(path)).shape
    groups = {"model": {4: "cnn", 3: "rnn"}.get(len(shape), "mlp")}
    if len(shape) == 3 and shape[1] == shape[2]:
        groups["model"] = "cnn"  # images without channels
    if parts is not None and task_of_array(parts.targets).task == "regression":
        groups["loss"] = "mse"
    return Recognised("arrays", groups=groups, reasons=(f"inputs of shape {'x'.join(map(str, shape))}",))


@dataclass(frozen=True)
class _Columns:
    """The columns of a table by what they contain."""

    kinds: dict[str, Kind]

    def of(self, *kinds: Kind) -> list[str]:
        """Return the names of the columns of some kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]


def _table(table: Table, typed: Mapping[str, Any]) -> Recognised:
    columns, reasons = _Columns(_kinds(table)), []
    if "target" in typed:
        targets = table.named(typed["target"])
        for name in targets:
            table.cells(name)  # raises, with the nearest name
    elif series := _series(table, columns, typed):
        return series
    else:
        target, why = _target(table, columns)
        targets, reasons = [target], [why]
    groups = _of_task(table, targets)
    settings: dict[str, Any] = {"target": targets[0] if len(targets) == 1 else targets or None}
    texts = [name for name in columns.of("texts") if name not in targets]
    inputs = [name for name in columns.of("numbers", "categories", "dates") if name not in targets]
    words = "" if inputs or len(targets) != 1 else _words(table, columns, targets[0])
    if len(targets) == 1 and (longest := typed.get("text") or _main_text(table, texts, targets[0]) or words):
        table.cells(longest)  # raises, with the nearest name
        unused = [name for name in table.header if name not in (longest, *targets)]
        reasons += [f"texts in {longest}"] + ([f"not used: {listed(unused)}"] if unused else [])
        return Recognised("text", {"text": longest} | settings, groups | {"model": "rnn"}, tuple(reasons))
    unusable = [name for name in columns.of("texts", "nothing") if name not in targets]
    if unusable:
        settings["drop"] = unusable
        reasons.append(
            f"not used, because they are identifiers, or neither numbers, dates nor categories: {listed(unusable)}"
        )
    if not inputs:
        raise ConfigError(
            f"{table.path}: has no columns that can be inputs of a model{_anyway(table, unusable, targets, groups)}"
        )
    if gaps := [name for name in inputs if any(map(is_missing, table.cells(name)))]:
        groups["clean"] = "impute"
        reasons.append(f"values are missing in {listed(gaps)}")
    return Recognised("csv", settings, groups, tuple(reasons))


def _anyway(table: Table, unusable: Sequence[str], targets: Sequence[str], groups: Mapping[str, str]) -> str:
    """Return why columns are not used, and the command that uses them nevertheless; empty if there are none."""
    if not unusable or len(targets) != 1:
        return ""
    words = [f"dataset.path={table.path}", f"dataset.target={targets[0]}"]
    words += [f"{group}={member}" for group, member in groups.items()]
    return (
        f": identifiers, or neither numbers, dates nor categories: {listed(unusable)}; to use them nevertheless:"
        f" trainctl dataset=csv {shell_words(words)}"
    )


def _of_task(table: Table, targets: Sequence[str]) -> dict[str, str]:
    """Return the members of groups that suit the targets: a classification has the defaults."""
    if not targets:
        return {"model": "autoencoder", "loss": "mse"}
    if len(targets) > 1:
        return {"loss": "mse"}
    form = find_numeric(table, table.header).formats.get(targets[0], PLAIN)  # as the data set will read them
    task = guess_task([cell for cell in table.cells(targets[0]) if not is_missing(cell)], form).task
    return {} if task == "classification" else {"loss": "mse"}


def _main_text(table: Table, texts: Sequence[str], target: str) -> str:
    """Return the column of texts that a table is about: twice as long as all others together; empty if there is none."""
    lengths = {name: _typical_length(table.cells(name)) for name in table.header if name != target}
    longest = max(texts, key=lambda name: lengths[name], default="")
    return longest if longest and 3 * lengths[longest] > 2 * sum(lengths.values()) else ""


def _words(table: Table, columns: _Columns, target: str) -> str:
    """Return the column of names or single words, if a table has nothing else to be read; empty if there is none."""
    others = [name for name in columns.of("nothing", "texts") if name != target]
    if len(others) != 1:
        return ""
    whole = "".join(table.cells(others[0]))
    return others[0] if sum(map(str.isalpha, whole)) > LETTERS * len(whole) else ""


def _kinds(table: Table) -> dict[str, Kind]:
    """Return what each column contains, by the rules of ``dataset=csv``."""
    numeric = find_numeric(table, table.header).formats
    return {name: _kind(table, name, is_number=name in numeric) for name in table.header}


def _kind(table: Table, name: str, *, is_number: bool) -> Kind:
    present = [cell for cell in table.cells(name) if not is_missing(cell)]
    if not present or counts_rows(table, name):
        return "nothing"
    if is_number:
        return "numbers"
    if find_order([cell for cell in present if not is_no_number(cell)], table.form.dates):
        return "dates"
    distinct = len(label.distinct(present))
    if distinct <= FEW or (distinct <= MOST and OFTEN * distinct <= len(present)):
        return "categories"
    return "texts" if _typical_length(present) >= SENTENCE else "nothing"


def _typical_length(cells: Sequence[str]) -> float:
    return float(median(map(len, cells))) if cells else 0.0


def _target(table: Table, columns: _Columns) -> tuple[str, str]:
    """Return the column to predict, and why.

    Raises:
        ConfigError: If it is not clear.
    """
    by_name = {name.strip().lower(): name for name in table.header}
    has_coordinates = {"x", "y", "z"} <= set(by_name)
    for word in TARGETS:
        if word in by_name and not (word == "y" and has_coordinates):
            return by_name[word], f"the target is {by_name[word]}, by its name"
    categories = columns.of("categories")
    first = next((name for name, kind in columns.kinds.items() if kind != "nothing"), "")
    for name in (by_name[word] for word in QUANTITIES if word in by_name):
        if name == first or table.header[-1] not in categories:  # else the last column is as likely
            return name, f"the target is {name}, by its name"
    if len(categories) == 1:
        last = columns.of("numbers", "categories")[-1]  # as likely, if it is a number
        other = "another: dataset.target=COLUMN" if last == categories[0] else f"{last}: dataset.target={last}"
        return categories[0], f"the target is {categories[0]}, the only column of categories; for {other}"
    if categories and categories[-1] == table.header[-1]:
        return categories[-1], f"the target is {categories[-1]}, the last column, with categories"
    shown = [f"{name} ({UNUSABLE if kind == 'nothing' else kind})" for name, kind in columns.kinds.items()]
    raise ConfigError(
        f"{table.path}: which column is to be predicted? add dataset.target=COLUMN; the columns are"
        f" {listed(shown, most=20)}"
    )


def _series(table: Table, columns: _Columns, typed: Mapping[str, Any]) -> Recognised | None:
    """Return the settings for a series: one column of times in order, and columns of numbers; None if it is none."""
    if {"time", "entity", "window", "horizon"} & set(typed):
        return _typed_series(columns, typed)
    times, numbers = columns.of("dates"), columns.of("numbers")
    others = [name for name in table.header if name not in (*times, *numbers)]
    if len(times) != 1 or not numbers or others or any(name.strip().lower() in TARGETS for name in table.header):
        return None
    cells = table.cells(times[0])
    if len(set(cells)) != len(cells) or any(map(is_missing, cells)):
        return None
    reason = f"a series in the order of {times[0]}: all its numbers are forecast"
    return Recognised("series", {"columns": numbers, "time": times[0]}, {"model": "rnn", "loss": "mse"}, (reason,))


def _typed_series(columns: _Columns, typed: Mapping[str, Any]) -> Recognised:
    """Return the settings for what the user calls a series: its time is the only column of dates, unless it is typed."""
    dates = columns.of("dates")
    time = typed.get("time") or (dates[0] if len(dates) == 1 else None)
    wanted = typed.get("columns") or [name for name in columns.of("numbers") if name not in (time, typed.get("entity"))]
    settings = {"columns": wanted} | ({} if time is None else {"time": time})
    reason = f"a series{'' if time is None else f' in the order of {time}'}: {listed(wanted)} is forecast"
    return Recognised("series", settings, {"model": "rnn", "loss": "mse"}, (reason,))
