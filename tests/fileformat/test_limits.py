"""What would take a parser too long, or too deep, is refused before a parser sees it."""

import ast
import json
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from trainctl.errors import CheckpointError, ConfigError, DataError
from trainctl.fileformat.cells import read_table
from trainctl.fileformat.json_text import parse_json
from trainctl.fileformat.limits import check_brackets_and_digits
from trainctl.fileformat.source import parse_expression, parse_python
from trainctl.fileformat.tree import read_tree
from trainctl.settings.overrides import parse

DEEP, LONG = "nested more than 500 levels deep", "a number of more than 1,000 digits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 501, DEEP),
        ("[{(" * 167, DEEP),
        ("[" * 501 + "]" * 501, DEEP),
        ("]" * 9 + "[" * 501, DEEP),  # what closes nothing opens nothing either
        ("[]" * 9 + "{" * 501, DEEP),
        ("x: " + "1" * 1001, LONG),
        ("x: 1" + ":59" * 400, LONG),
        ("1_000_" * 200, LONG),
        ("[" * 500 + "]" * 500, None),
        ("[]" * 9000, None),
        ("1" * 1000, None),
        ("1" * 1000 + "." + "1" * 1000, None),
        ("1, " * 9000, None),
        ("", None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_brackets_and_digits_are_counted_without_a_parser(text: str, message: str | None) -> None:
    if message is None:
        check_brackets_and_digits(text, "my.file")
    else:
        with pytest.raises(DataError) as caught:
            check_brackets_and_digits(text, "my.file")
        assert str(caught.value) == f"my.file: {message}"


@pytest.mark.parametrize("text", ["[" * 501, "9" * 1001], ids=["brackets", "digits"])
def test_no_parser_sees_such_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def called(*arguments: object, **options: object) -> object:
        raise AssertionError("a parser was asked")

    message = DEEP if text[0] == "[" else LONG
    path = tmp_path / "my.file"
    path.write_text(text)
    OverridesParser.create()
    for place, name in ((yaml, "parse"), (yaml, "load"), (json, "loads"), (OverridesParser, "parse_override")):
        monkeypatch.setattr(place, name, called)
    with pytest.raises(ConfigError, match=message):
        read_tree(path)
    with pytest.raises(CheckpointError, match=message):
        parse_json(text, path, CheckpointError)
    with pytest.raises(ConfigError, match=message):
        parse([f"model.hidden={text}"])
    with monkeypatch.context() as patch:
        patch.setattr(ast, "parse", called)
        with pytest.raises(ConfigError, match=message):
            parse_python(path)
        with pytest.raises(ConfigError, match=message):
            parse_expression(text)


OPEN = ["(", "[", "{", ":(", '\\"[', "\\\\[", "x [0, 1", "x\u2028["]


@pytest.mark.parametrize("mark", OPEN)
def test_open_brackets_in_texts_are_no_depth(tmp_path: Path, mark: str) -> None:
    records = [{"text": f"{mark} {number}", "y": "ab"[number % 2]} for number in range(700)]
    content = json.dumps({"names": [record["text"] for record in records]})
    assert parse_json(content, "x.json", CheckpointError, deepest=50) == json.loads(content)
    for name, text in (
        ("t.json", json.dumps(records, ensure_ascii=False)),
        ("t.jsonl", "\n".join(map(json.dumps, records))),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_table(tmp_path / name).cells("text") == [record["text"] for record in records]
    for deep in ('{"a": "' + mark.replace("\\", "") + '", "b": ' + "[" * 600, "[" * 600 + '"]' * 600):
        with pytest.raises(CheckpointError, match="nested more than 500"):
            parse_json(deep, "x.json", CheckpointError)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_a_record_ends_at_the_end_of_its_line_and_nowhere_else(tmp_path: Path, character: str) -> None:
    lines = [json.dumps({"a": f"x{character}y", "b": row}, ensure_ascii=False) for row in range(3)]
    (tmp_path / "t.jsonl").write_text("\r\n".join(lines).replace("\x0b", "\\u000b").replace("\x0c", "\\u000c")
                                      .replace("\x1c", "\\u001c").replace("\x1e", "\\u001e"), encoding="utf-8", newline="")  # fmt: skip
    table = read_table(tmp_path / "t.jsonl")
    assert table.cells("a") == [f"x{character}y"] * 3
    assert table.lines == [1, 2, 3]


@pytest.mark.parametrize("record", [{"x\ud800": 1}, {"x": "\udfff"}, {"x": "a\ud83d b"}])
@pytest.mark.parametrize("form", ["[%s]", "%s\n%s"])
def test_half_a_character_is_named_with_its_line_and_a_whole_one_is_read(
    tmp_path: Path, record: dict, form: str
) -> None:
    lines = form.replace("%s", json.dumps({"x": "\U0001f600", "y": 1}), form.count("%s") - 1).replace(
        "%s", json.dumps(record)
    )
    (tmp_path / "t.json").write_text(lines)
    with pytest.raises(DataError, match=r"t\.json, line \d: \\ud[89a-f]\w\w is half of a surrogate pair"):
        read_table(tmp_path / "t.json")
    (tmp_path / "t.json").write_text(json.dumps([{"x": "\U0001f600"}]))
    assert read_table(tmp_path / "t.json").cells("x") == ["\U0001f600"]
