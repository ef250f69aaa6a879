"""Tables are read as people and tools write them: the truth is written beside each file as it is generated."""

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.soak import cases, seed
from trainctl.errors import DataError
from trainctl.fileformat.cells import Table, TableFormat, read_table
from trainctl.fileformat.date import read_days
from trainctl.fileformat.delimited import DELIMITERS, without_comments
from trainctl.fileformat.foreign import STARTS
from trainctl.fileformat.number import SCALES, NumberFormat, guess, read_number
from trainctl.fileformat.table import Column, encode, find_columns, find_numeric, select, unclear_notes

MISSING = ("", "NA", "n/a", "NaN", "null", "None", "?", "#N/A", "-", "<NA>")
PACKERS = {"": lambda text: text, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("__MACOSX/._my.csv", b"\0\0")
        archive.writestr("my.csv", content)
    return stream.getvalue()


def written(digits: int, decimals: int, form: NumberFormat, style: str) -> str:
    """Return a number as a person with this format writes it: ``digits / 10**decimals``."""
    whole, part = divmod(abs(digits), 10**decimals)
    text = f"{whole:,}".replace(",", form.thousands)
    text += f"{form.decimal}{part:0{decimals}d}" if decimals else ""
    text = {"%": f"{text}%", "$": f"${text}", "EUR": f"{text} EUR", "cm": f"{text} cm"}.get(form.unit, text)
    if digits >= 0:
        return text
    return {"parentheses": f"({text})", "trailing": f"{text}-", "unicode": f"\u2212{text}"}.get(style, f"-{text}")


def number_column(chance: random.Random, form: NumberFormat, rows: int) -> tuple[list[str], list[float]]:
    """Return cells, and what they mean; the first ones leave no doubt about the format."""
    style = chance.choice(["plain", "parentheses", "trailing", "unicode"])
    decimals = chance.choice([1, 2, 4])
    cells, truth = [], []
    for row in range(rows):
        if row > 2 and chance.random() < 0.1:
            cells.append(chance.choice(MISSING))
            truth.append(math.nan)
            continue
        digits = 123456789 if row == 0 else chance.randrange(-(10**6), 10**6)
        cells.append(written(digits, decimals, form, style))
        truth.append(float(f"{digits}e-{decimals + 2 * (form.unit == '%')}"))
    return cells, truth


def noisy(chance: random.Random, lines: list[str], mark: str) -> list[str]:
    """Return the lines of a file with what tools add."""
    if chance.random() < 0.2:
        lines = (
            [f"{line}{mark}" for line in lines]
            if chance.random() < 0.5
            else [lines[0], *(f"{x}{mark}" for x in lines[1:])]
        )
    if chance.random() < 0.2:
        lines = ["# made by a tool", '# it\'s "quoted"', *lines[:3], "# in the middle", *lines[3:]]
    if mark != "\t" and chance.random() < 0.2:
        lines = [f"sep={mark}", *lines]
    if chance.random() < 0.2:
        lines = [*lines[:2], "", *lines[2:], ""]
    return lines


def make(chance: random.Random, folder: Path) -> tuple[Path, dict[str, list[float]], list[str]]:
    """Write a file in a format drawn at random; return it, the truth of its columns of numbers, and its categories."""
    word = chance.choice([word for word in DELIMITERS if word != "space"])
    mark, rows = DELIMITERS[word], chance.randint(8, 20)
    decimal = chance.choice([".", ","])
    thousands = chance.choice([mark for mark in ("", ",", ".", " ", "'", "\u00a0", "\u202f") if mark != decimal])
    cells, truth = [], {}
    for name in ("first", "zweite (\u00f6)", "third"):
        unit = chance.choice(["", "", "%", "$", "EUR", "cm"])
        column, truth[name] = number_column(chance, NumberFormat(decimal, thousands, unit), rows)
        cells.append(column)
    towns = [chance.choice(["Bern", "Z\u00fcrich", "a,b;c|d", 'say "x"', "two\nlines"]) for _ in range(rows)]
    stream = io.StringIO()
    quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(stream, delimiter=mark, lineterminator="\r\n", quoting=quoting)
    writer.writerow([*truth, "town"])
    writer.writerows(zip(*cells, towns, strict=True))
    text = chance.choice(["\n", "\r\n", "\r"]).join(
        noisy(chance, stream.getvalue().removesuffix("\r\n").split("\r\n"), mark)
    )
    code = chance.choice(["utf-8", "utf-8-sig", "utf-16"])
    packer = chance.choice([*PACKERS, ".zip"])
    path = folder / f"my.csv{packer}"
    content = text.encode(code)
    path.write_bytes(zipped(content) if packer == ".zip" else PACKERS[packer](content))
    return path, truth, towns


@pytest.mark.soak
@pytest.mark.parametrize("case", range(cases(150)))
def test_a_table_in_any_format_is_read_as_it_was_meant(tmp_path: Path, case: int) -> None:
    path, truth, towns = make(seed(f"format {case}"), tmp_path)
    table = read_table(path, TableFormat(delimiter="auto"))
    assert table.header == [*truth, "town"], path.read_bytes()[:300]
    assert [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in table.cells("town")] == towns
    found = find_columns(table, list(truth), [])
    assert not any(column.categories for column in found), found
    for column, (name, values) in zip(found, truth.items(), strict=True):
        read = encode(table, [column])[:, 0]
        np.testing.assert_array_equal(read, np.array(values), err_msg=f"{name} {table.cells(name)}")


@pytest.mark.soak
@pytest.mark.parametrize("case", range(cases(40)))
def test_a_damaged_packed_file_is_read_or_refused_in_one_line(tmp_path: Path, case: int) -> None:
    chance = seed(f"damage {case}")
    path, _, _ = make(chance, tmp_path)
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content[: chance.randrange(len(content))] if chance.random() < 0.3 else content)
    try:
        table = read_table(path, TableFormat(delimiter="auto"))
        find_columns(table, table.header, [])
    except DataError as error:
        assert str(error).startswith(str(path)), error  # noqa: PT017 - most files are still read


@pytest.mark.soak
@pytest.mark.parametrize("case", range(cases(30)))
def test_json_records_are_read_like_the_rows_of_a_csv(tmp_path: Path, case: int) -> None:
    chance = seed(f"json {case}")
    values = [1, -2.5, "a", "x y", None, True, "", 1e300, "\u00e9"]
    records = [{name: chance.choice(values) for name in ("a", "b", "c")} for _ in range(chance.randint(1, 6))]
    content = chance.choice([json.dumps(records), "\n".join(map(json.dumps, records)), json.dumps(records, indent=1)])
    path = tmp_path / chance.choice(["my.json", "my.jsonl", "my.csv"])
    path.write_text(content, encoding="utf-8")
    expected = [["" if value is None else str(value) for value in record.values()] for record in records]
    table = read_table(path)
    assert (table.header, table.rows) == (["a", "b", "c"], expected)


def table_of(tmp_path: Path, content: str | bytes, **form: object) -> Table:
    path = tmp_path / "my.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, TableFormat(**form))  # type: ignore[arg-type]


# cells of a column, delimiter, how they are read, whether that is reported as uncertain
FORMATS = [
    (["1,234", "5,678", "12"], "comma", [1234, 5678, 12], True),
    (["1,234", "5,678.5"], "comma", [1234, 5678.5], False),
    (["0,123", "1,234"], "comma", [0.123, 1.234], False),
    (["1.234", "5.678"], "comma", [1.234, 5.678], False),
    (["1.234", "5.678"], "semicolon", [1.234, 5.678], True),
    (["1,234", "5,678"], "semicolon", [1.234, 5.678], True),
    (["1.234,5", "1.234"], "semicolon", [1234.5, 1234], False),
    (["12,34,567", "1,00,000"], "comma", [1234567, 100000], False),
    (["35%", "5 %", "0"], "comma", [0.35, 0.05, 0], False),
    (["($1,000.50)", "$3", "-$2"], "comma", [-1000.5, 3, -2], False),
    (["3.5 kg", "12 kg"], "comma", [3.5, 12], False),
    (["1e5", "2.5e-1"], "comma", [1e5, 0.25], False),
]


@pytest.mark.parametrize(("cells", "delimiter", "values", "unclear"), FORMATS)
def test_a_format_is_found_and_reported_where_it_is_uncertain(tmp_path, cells, delimiter, values, unclear) -> None:
    mark = DELIMITERS[delimiter]
    table = table_of(tmp_path, f"x{mark}y\n" + "".join(f'"{cell}"{mark}a\n' for cell in cells), delimiter=delimiter)
    numeric = find_numeric(table, ["x"])
    assert encode(table, find_columns(table, ["x"], [], numeric))[:, 0].tolist() == values
    notes = unclear_notes(table, numeric)
    assert bool(notes) == unclear
    assert not unclear or "set dataset.thousands=" in notes[0] or "set dataset.decimal=" in notes[0]


def test_another_column_shows_how_an_uncertain_one_is_read(tmp_path: Path) -> None:
    table = table_of(tmp_path, "a;b\n1.234;0,5\n5.678;1,25\n", delimiter="semicolon")
    assert encode(table, find_columns(table, ["a", "b"], [])).tolist() == [[1234, 0.5], [5678, 1.25]]
    assert find_numeric(table, ["a", "b"]).unclear == ()


def test_numbers_in_a_format_that_the_settings_exclude_never_become_categories(tmp_path: Path) -> None:
    table = table_of(tmp_path, "a,b\n" + '"1.5",x\n"2.5",y\n' * 9, decimal="comma")
    with pytest.raises(DataError, match=r"'1\.5' is not a number with dataset\.decimal=comma"):
        find_columns(table, ["a"], [])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("12", "'12' is not a number in %, as the other cells of this column are"),
        ("5$", "is not a number in %"),
        ("1,5%", "if ',' marks thousands, set dataset.thousands=comma; if decimals, dataset.decimal=comma"),
    ],
)
def test_a_number_in_another_unit_is_named(tmp_path: Path, cell: str, message: str) -> None:
    table = table_of(tmp_path, f'x,y\n35%,a\n"{cell}",a\n20%,a\n')
    with pytest.raises(DataError) as caught:
        encode(table, [Column("x", number=NumberFormat(unit="%"))])
    assert message in str(caught.value)


def test_names_such_as_3a_and_3b_stay_categories(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,y\n3a,1\n3b,1\n4a,1\n")
    assert find_columns(table, ["x"], [])[0].categories == ("3a", "3b", "4a")


DATES = [
    ("2024-01-31", "day_first", 738915.0),
    ("2024-01-31T12:00:00Z", "day_first", 738915.5),
    ("2024-01-31 14:00+02:00", "day_first", 738915.5),
    ("31.1.2024", "month_first", 738915.0),
    ("1/31/24", "month_first", 738915.0),
    ("31 Jan 2024", "day_first", 738915.0),
    ("January 31, 2024 6:00 PM", "day_first", 738915.75),
    ("13/13/2024", "day_first", None),
    ("24:61", "time", None),
    ("6:30 pm", "time", 18.5 / 24),
    ("12:30 pm", "time", 12.5 / 24),
    ("12:30 am", "time", 0.5 / 24),
]


@pytest.mark.parametrize(("cell", "order", "days"), DATES)
def test_a_date_is_a_number_of_days(cell: str, order: str, days: float | None) -> None:
    assert read_days(cell, order) == days


def test_a_column_of_dates_counts_days_from_its_first_and_one_of_times_hours(tmp_path: Path) -> None:
    table = table_of(tmp_path, "day,at\n2024-02-02,12:30\n2024-02-01,0:00\nNA,-\n")
    found = find_columns(table, ["day", "at"], [])
    np.testing.assert_array_equal(encode(table, found), [[1, 12.5], [0, 0], [math.nan, math.nan]])
    later = table_of(tmp_path, "day,at\n2024-03-01,x\n")
    assert encode(later, found[:1]).tolist() == [[29]]
    with pytest.raises(DataError, match="'x' is not a time of day, as the other cells"):
        encode(later, found)


@pytest.mark.parametrize(("start", "kind"), [(start, kind) for start, kind, _ in STARTS] + [(b"<HTML>", "a web page")])
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path: Path, start: bytes, kind: str) -> None:
    with pytest.raises(DataError, match=r"my\.csv: this is ") as caught:
        table_of(tmp_path, start + (b"" if start in (b"<HTML>", b"@relation") else b"\0") + b" and so on, 1, 2\n")
    assert f"this is {kind}" in str(caught.value)
    assert "; " in str(caught.value)


def test_a_packed_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainctl.fileformat.decompress.MOST_BYTES", 1000)
    path = tmp_path / "my.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000))
    with pytest.raises(DataError, match="unpacks to more than"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        ("x,y\ncm,kg\n1,2\n", {}, "if this is a line of units, skip it with dataset.skip=[2]"),
        ("x,y\n1,2\n3,4\nTotal,6\n", {}, "if this is a line of totals, skip it with dataset.skip=[4]"),
        ("x,y\n1,2\noops,4\n5,6\n", {}, "if it means a missing value, set dataset.missing=[oops]"),
    ],
)
def test_a_line_that_is_no_row_is_named_with_the_setting_that_skips_it(tmp_path, content, form, message) -> None:
    table = table_of(tmp_path, content, **form)
    with pytest.raises(DataError) as caught:
        encode(table, [Column("x")])
    assert message in str(caught.value)


def test_lines_are_skipped_and_words_are_missing_where_settings_say_so(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,y\ncm,kg\n1,-999.0\noops,4\n", skip=(2,), missing=("oops", "-999"))
    np.testing.assert_array_equal(encode(table, [Column("x"), Column("y")]), [[1, math.nan], [math.nan, 4]])
    assert table.lines == [3, 4]


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    table = table_of(tmp_path, "1,2\n3,4\n", header=False)
    assert (table.header, table.rows, table.lines) == (["column_1", "column_2"], [["1", "2"], ["3", "4"]], [1, 2])
    with pytest.raises(DataError, match=r"line 1 seems to be data: .*dataset\.header=false"):
        table_of(tmp_path, "1,2\n3,4\n").cells("x")


def test_spellings_are_one_value_where_settings_say_so(tmp_path: Path) -> None:
    content = "x,y\nYes,1\nyes,2\n YES ,3\nyes,4\nNew  York,5\n"
    assert table_of(tmp_path, content).cells("x") == ["Yes", "yes", "YES", "yes", "New  York"]
    table = table_of(tmp_path, content, ignore_case=True)
    assert table.cells("x") == ["yes", "yes", "yes", "yes", "New  York"]
    assert encode(table, [Column("x", ("YES", "new york"))])[:, 0].tolist() == [1, 1, 1, 1, 0]


def test_patterns_select_columns_and_names_that_exist_are_themselves() -> None:
    header = ["gene_1", "gene_2", "age", "a*"]
    assert select(header, ["gene_*", "a*"]) == ({"gene_1", "gene_2", "a*"}, [])
    assert select(header, ["g?ne_2", "b*"]) == ({"gene_2"}, ["b*"])


def test_row_names_of_r_are_a_column_without_a_name(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,y\nr1,1,2\nr2,3,4\n")
    assert (table.header, table.nameless) == (["column_1", "x", "y"], ("column_1",))


def test_an_encoding_is_used_or_named(tmp_path: Path) -> None:
    content = "x,y\nZ\u00fcrich,1\n".encode("cp1252")
    assert table_of(tmp_path, content, encoding="cp1252").cells("x") == ["Z\u00fcrich"]
    with pytest.raises(DataError, match=r"dataset\.encoding=cp1252"):
        table_of(tmp_path, content)


def test_plain_numbers_are_read_as_before() -> None:
    for text in ("1", "-1", "+1", ".5", "5.", "1e5", "1E-5", "007"):
        assert read_number(text) == float(text)
    for text in ("", "1e", "e5", "1.2.3", "\u0663", "0x10", "1_0", "nan", "--1", "1d-5"):
        assert read_number(text) is None, text


@pytest.mark.parametrize("header", ["PAR1,b", "Rar!,b", "RDX,b", "ORCID,b", "BZh,b", "[m],b", "{a},b", "Obj,b"])
def test_a_header_that_begins_like_another_kind_of_file_is_a_header(tmp_path: Path, header: str) -> None:
    assert table_of(tmp_path, f"{header}\nx,2\n").header == header.split(",")


@pytest.mark.soak
def test_letters_that_multiply_are_read_as_powers_of_ten():
    source = seed("scales")
    for _ in range(cases(150)):
        letters = source.sample(["", *SCALES], source.choice((1, 2, 3)))
        if not any(letters):
            letters.append("k")
        currency, mark = source.choice(("", "$", "€")), source.choice(".,")
        cells, truth = [], []
        for _ in range(12):
            digits, decimals, letter = source.randrange(1, 10**6), source.choice((1, 2)), source.choice(letters)
            number = f"{digits // 10**decimals}{mark}{digits % 10**decimals:0{decimals}d}"
            sign = source.choice(("", "-"))
            cells.append(f"{sign}{currency}{number}{source.choice(('', ' ')) if letter else ''}{letter}")
            truth.append(float(f"{sign}{digits}e{SCALES.get(letter, 0) - decimals}"))
        form = guess(cells).formats[0]
        assert [read_number(cell, form) for cell in cells] == truth, (cells, form)


@pytest.mark.parametrize("cells", [["3B", "4A"], ["1k", "2 kg"], ["5M", "10 %"]])
def test_letters_that_only_look_like_powers_of_ten_multiply_nothing(cells):
    formats = guess(cells).formats
    assert not any(form.scaled for form in formats)


def test_thousands_with_and_without_a_letter_are_comparable():
    form = guess(["950", "2.1k", "3.5k"]).formats[0]
    assert [read_number(cell, form) for cell in ("950", "2.1k", "1M")] == [950.0, 2100.0, 1_000_000.0]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (["z"], ["[z]"]),
        (["a", "b"], ["[a,b]"]),
        ("q", ['"q"']),
        (["x", "y"], ["x", "y"]),
        (["x", "no"], ["x", "no"]),
        (None, []),
    ],
)
def test_a_name_in_brackets_or_quotes_is_found_where_only_it_exists(tmp_path, target, names):
    table = Table(tmp_path / "t.csv", ["x", "y", "[z]", "[a,b]", '"q"'], [], [])
    assert table.named(target) == names


def test_several_columns_with_commas_are_answered_with_brackets(tmp_path):
    table = Table(tmp_path / "t.csv", ["u", "v"], [], [])
    with pytest.raises(DataError, match=r"column u,v is missing; write a list in brackets: \[u,v\]"):
        table.cells("u,v")


def test_an_error_of_a_spreadsheet_at_the_start_of_a_line_makes_it_no_comment() -> None:
    lines = [(1, "a,b,c\n"), (2, "#N/A,1\n"), (3, "# a note\n"), (4, "1,2,3\n")]
    assert [number for number, _ in without_comments(lines, "comma", Path("x.csv"))] == [1, 2, 4]
