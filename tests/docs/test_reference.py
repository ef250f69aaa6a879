"""The reference says what the code says, and names every file that a run writes."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

from trainctl import errors
from trainctl.settings.comments import comments

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"

sys.path.insert(0, str(ROOT))
make_reference = importlib.import_module("docs.make_reference")


def test_the_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_reference.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_has_a_default_a_range_and_a_meaning() -> None:
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| (.+?) \| (.+?) \|$", make_reference.settings(), re.M)
    assert len(rows) > 25
    assert "loop.batch_size" in {row[0] for row in rows}
    assert [row for row in rows if not all(row)] == []


def test_no_line_of_a_help_is_lost_or_written_twice() -> None:
    files = [
        path for path in (ROOT / "trainctl" / "command").glob("*.py") if path.stem not in make_reference.NO_COMMANDS
    ]
    assert len(files) > 25
    for path in files:
        help_text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        shown = "\n".join(make_reference.paragraphs(help_text))
        lines = [line for line in shown.replace("\\", "").splitlines() if not line.startswith("```")]
        written = help_text.replace("\\", "").splitlines()
        assert [line.strip() for line in lines if line.strip()] == [line.strip() for line in written if line.strip()], (
            path.name
        )


def test_the_examples_in_the_generator_are_right() -> None:
    assert doctest.testmod(make_reference).failed == 0


def test_a_comment_without_a_key_above_it_belongs_to_none() -> None:
    assert comments("# of the file\na: 1\n    # of a, which has no comment\n") == {}


def test_every_exit_code_is_listed_once() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", make_reference.exit_codes(), re.M)]
    assert codes == sorted({0, 1} | {kind.exit_code for kind in errors.TrainctlError.__subclasses__()})


def test_every_decision_is_in_the_index_under_a_topic() -> None:
    text = make_reference.decisions()
    index, _, body = text.partition(make_reference.INDEX[1])
    dated = re.findall(r"^## (\d{4}-\d\d-\d\d): (.+)$", body, re.M)
    assert len(dated) > 50
    assert len(dated) == len(re.findall("^## ", body, re.M)), "a heading is a date and a result"
    assert [date for date, _ in dated] == sorted(date for date, _ in dated)
    assert sorted(re.findall(r"^- \[(.+)\]\(#", index, re.M)) == sorted(result for _, result in dated)
    assert "**Data**" in index


def test_help_becomes_markdown() -> None:
    doc = "Do *it*.\n\n    trainctl it [root=runs]\n\nThe `a_*` of\nit:\n  A  is a\n\nExamples:\n  trainctl it"
    assert list(make_reference.paragraphs(doc)) == [
        r"Do \*it\*.",
        "```text\ntrainctl it [root=runs]\n```",
        "The `a_*` of\nit:",
        "```text\nA  is a\n```",
        "```text\nExamples:\n  trainctl it\n```",
    ]


def test_every_file_of_a_run_is_described(command, tmp_path: Path) -> None:
    done = command("dataset=iris", "loop.epochs=1", "loop.eval_every_steps=3")
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "runs").glob("*-iris-*")
    written = {
        re.sub(r"\d{8}", "N", re.sub(r"plots/\w+", "plots/*", str(path.relative_to(run))))
        for path in run.rglob("*")
        if path.is_file()
    }
    table = (REFERENCE / "files.md").read_text(encoding="utf-8").partition("A sweep")[0]
    described = set(re.findall(r"^\| `(.+?)` \| (?!only)", table, re.M))
    assert len(described) >= 10
    assert written == described
