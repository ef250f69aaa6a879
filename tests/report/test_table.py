"""Tables: the same data on a terminal and in a pipe, and no text that could break either."""

import importlib
import io
import json
import re
import sys
from random import Random

import pytest

from trainctl.report import layout, table
from trainctl.settings import component, spelling


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    def make(columns):
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "JUPYTER_COLUMNS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return Terminal()

    return make


def piped(*arguments, **options):
    stream = io.StringIO()
    table.show(*arguments, **options, stream=stream)
    return stream.getvalue()


def bare(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_pipe_gets_aligned_columns_without_trailing_spaces():
    assert (
        piped(["run", "lr"], [["a", "0.001"], ["longer", "1"]], title="Runs")
        == "Runs\nrun     lr\na       0.001\nlonger  1\n"
    )


def test_numbers_are_set_to_the_right_where_asked():
    assert piped(["run", "lr"], [["a", "0.001"], ["b", "1"]], right=["lr"]) == "run     lr\na    0.001\nb        1\n"


def test_a_pipe_gets_whole_cells_however_long():
    assert "x" * 5000 in piped(["run"], [["x" * 5000]])


def test_a_pipe_gets_every_column_and_every_repeated_cell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    text = piped(["group", "member"], [["model", "m" * 40], ["model", "cnn"]], optional=["member"], sections=True)
    assert text.count("model") == 2
    assert "m" * 40 in text


def test_a_terminal_leaves_repeated_cells_empty_and_sets_headers_bold(terminal):
    stream = terminal(80)
    table.show(["group", "member"], [["model", "mlp"], ["model", "cnn"], ["loss", "mse"]], sections=True, stream=stream)
    assert "\x1b[1mgroup" in stream.getvalue()
    assert bare(stream.getvalue()).count("model") == 1


def test_a_narrow_terminal_hides_optional_columns_in_their_order_and_says_so(terminal):
    headers, row = ["run", "a", "b"], ["r" * 10, "a" * 10, "b" * 10]
    for columns, message in ((40, ""), (25, "Hidden for lack of width: b."), (15, "Hidden for lack of width: a, b.")):
        stream = terminal(columns)
        table.show(headers, [row], optional=["b", "a"], stream=stream)
        assert message in bare(stream.getvalue())
        assert ("Hidden" in stream.getvalue()) == bool(message)
        assert ("b" * 10 in stream.getvalue()) == (columns == 40)
        assert ("a" * 10 in stream.getvalue()) == (columns >= 25)


def test_a_column_whose_text_is_wrapped_stays_readable_or_another_one_is_hidden(terminal):
    headers, row = (
        ["setting", "allowed", "meaning"],
        ["loop.epochs", "a whole number in [1, inf) or null", "word " * 20],
    )
    settings = {"optional": ["allowed"], "wrapped": ["allowed", "meaning"]}
    for columns, hidden in ((200, False), (60, False), (40, True)):
        stream = terminal(columns)
        table.show(headers, [row], **settings, stream=stream)
        assert ("Hidden for lack of width: allowed" in bare(stream.getvalue())) is hidden
        assert all(len(line) <= columns or line.startswith("Hidden") for line in bare(stream.getvalue()).splitlines())


def test_a_narrow_terminal_gets_shorter_headers(terminal):
    headers, shorter = ["setting", "20260101-a", "20260101-b"], [["setting", "date-a", "date-b"], ["setting", "a", "b"]]
    for columns, found in ((40, "20260101-b"), (25, "date-b"), (18, "b")):
        stream = terminal(columns)
        table.show(headers, [["lr", "0.1", "0.2"]], names=shorter, stream=stream)
        assert bare(stream.getvalue()).splitlines()[0].split()[-1] == found


def test_no_line_is_wider_than_the_terminal(terminal):
    stream = terminal(60)
    table.show(["run", "what"], [["q" * 70, "several words " * 20]], stream=stream)
    assert max(len(line) for line in bare(stream.getvalue()).splitlines()) <= 60
    assert bare(stream.getvalue()).count("several") == 20
    assert stream.getvalue().count("q") == 70  # folded, not cut


WORDS = ("a", "loss", "optimizer.weight_decay", "test/accuracy", "cross_entropy", "[256,128]", "27caf92094df", "1e-05",
         "35,331", "0.886792 *", "1 min 20 s", "20261120-223000-iris-mlp-adam-e4eef6", "Größe", "数据集", "several words here")  # fmt: skip


def assert_words_are_whole(text, cells, columns):
    """Check that each piece of a cell is on one line, and that no line is too long."""
    lines = [line for line in bare(text).splitlines() if not line.startswith("Hidden")]
    assert all(layout.width(line) <= columns for line in lines)
    for cell in cells:
        for piece in layout.pieces(cell):
            assert any(piece.strip() in line for line in lines), f"{piece!r} is broken at {columns} columns"


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
def test_a_table_of_any_shape_breaks_no_word_at_any_width(terminal, columns):
    for seed in range(60):
        random = Random(seed)
        shape = range(random.randint(1, 9))
        headers = [f"{random.choice(WORDS)} {index}" for index in shape]
        rows = [[" ".join(random.choices(WORDS, k=random.choice((1, 1, 6)))) for _ in shape] for _ in range(4)]
        stream = terminal(columns)
        table.show(headers, rows, wrapped=random.choice(((), headers[-1:])), sections=seed % 5 == 0, stream=stream)
        shown = [
            cell for row in (headers[seed % 5 == 0 :], *rows) for cell in row
        ]  # sections may drop the first header
        assert_words_are_whole(stream.getvalue(), shown, columns)


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
@pytest.mark.parametrize(
    "words", [["list"], ["settings"], *(["list", group] for group in sorted(component.GROUPS))], ids=" ".join
)
def test_no_table_of_the_catalogue_breaks_a_word(terminal, monkeypatch, capsys, columns, words):
    shown, stream = [], terminal(columns)
    original = table.show

    def show(headers, rows, **options):
        shown.extend([*headers[bool(options.get("sections")) :], *(cell for row in rows for cell in row)])
        original(headers, rows, **options, stream=stream)

    monkeypatch.setattr(table, "show", show)
    importlib.import_module(f"trainctl.command.{words[0]}").main(words[1:])
    hidden = "Hidden" in stream.getvalue()
    assert len(shown) > 8
    assert_words_are_whole(stream.getvalue(), () if hidden else shown, columns)


def test_columns_that_do_not_fit_continue_below_with_the_first_one(terminal):
    headers = ["result", *(f"run{index}" for index in range(6))]
    stream = terminal(50)
    table.show(headers, [["val/accuracy", *(["0.863636 *"] * 6)], ["data", *(["27caf92094df"] * 6)]], stream=stream)
    lines = [line.split() for line in bare(stream.getvalue()).splitlines()]
    assert [line for line in lines if line[:1] == ["result"]] == [
        ["result", "run0", "run1", "run2"], ["result", "run3", "run4", "run5"],
    ]  # fmt: skip
    assert sum(line.count("27caf92094df") for line in lines) == 6


def test_a_narrow_terminal_gets_the_text_of_a_section_above_its_rows(terminal):
    rows = [["regularizer", "orthogonal", "several words " * 9], ["regularizer", "none", "w" * 20]]
    for room, found in ((80, ["regularizer", "orthogonal"]), (40, ["regularizer"])):
        stream = terminal(room)
        table.show(["group", "member", "what it does"], rows, sections=True, stream=stream)
        assert bare(stream.getvalue()).splitlines()[2].split()[:2] == found


@pytest.mark.parametrize("columns", [None, 80], ids=["pipe", "terminal"])
def test_text_is_never_markup_nor_a_control_sequence(terminal, columns):
    stream = terminal(columns) if columns else io.StringIO()
    table.show(["[bold]h"], [["[red]x[/red]"], ["\x1b[31mred"], ["two\nlines"]], title="[b]t", stream=stream)
    table.line("[i]note \x07", style="dim", stream=stream)
    text = bare(stream.getvalue())
    for whole in ("[bold]h", "[red]x[/red]", "\\x1b[31mred", "two\\nlines", "[b]t", "[i]note \\x07"):
        assert whole in text
    assert "\x1b[31m" not in stream.getvalue()


def test_a_stream_that_cannot_write_a_character_gets_an_escape():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    table.show(["run"], [["Größe"]], stream=stream)
    stream.seek(0)
    assert stream.read() == "run\nGr\\xf6\\xdfe\n"


def test_wide_characters_take_two_columns():
    assert piped(["a", "b"], [["日本", "x"], ["abcd", "y"]]) == "a     b\n日本  x\nabcd  y\n"


def test_values_are_spelt_as_on_the_command_line():
    assert [spelling.spell(value) for value in (True, None, 1e-08, [32, 64], [], "relu")] == [
        "true",
        "null",
        "1e-08",
        "[32,64]",
        "[]",
        "relu",
    ]


HOSTILE = "\x1b]0;x\x07 \x9b31m \u202e \udcff <b> \U0001f600"


def test_json_reads_back_and_holds_nothing_that_drives_a_terminal(capsys):
    content = [{"run": HOSTILE, "größe": [1.5, None, "a\nb"]}]
    table.json(content)
    printed = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert "größe" in printed
    assert json.loads(printed) == content


def test_json_has_null_for_what_is_not_finite(capsys):
    table.json({"a": [float("nan"), (float("inf"), 1.5)]}, indent=None)
    assert capsys.readouterr().out == '{"a": [null, [null, 1.5]]}\n'


def test_csv_holds_neither_formulas_nor_escapes():
    assert table.csv([["run"], [f"={HOSTILE}"]]).isascii() is False
    assert table.csv([[HOSTILE, -1.5]]) == "\\x1b]0;x\\x07 \\x9b31m \\u202e \\udcff <b> \U0001f600,-1.5\n"


def test_lines_are_escaped_on_a_terminal_and_kept_in_a_pipe(monkeypatch, capsys):
    table.text(f"a\n{HOSTILE[:5]}\n")
    assert capsys.readouterr().out == f"a\n{HOSTILE[:5]}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table.text(f"a\n{HOSTILE[:5]}\n")
    assert capsys.readouterr().out == "a\n\\x1b]0;x\n"
