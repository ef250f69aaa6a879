"""The list of sweeps: complete, the same for people and scripts, and not to be crashed by a damaged one."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tests.sweep import many
from tests.sweep.test_record import end, opened, write
from trainctl.command import sweeps
from trainctl.errors import ConfigError


@pytest.fixture
def listed(capsys):
    def run(*words):
        assert sweeps.main(words) == 0
        return capsys.readouterr().out

    return run


def cells(text):
    """Return the cells of each sweep by their headers."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


def test_each_sweep_is_a_line_with_how_far_it_is_and_its_best_value(listed):
    home = opened("optimizer.lr=0.1,0.2,0.3,0.4")
    write(home, end("0", 0.1), end("1", None, "failed"), end("2", 0.3, "paused"))
    many.write("done", 16)
    found = cells(listed())
    assert list(found) == ["done", "s"] or list(found) == ["s", "done"]  # begun in the same second, or not
    assert found["s"] | {"age": ""} == {
        "sweep": "s", "outcome": "interrupted", "finished": "1", "failed": "1", "paused": "1", "waiting": "1",
        "of": "4", "best": "val/loss 0.1000", "age": "",
    }  # fmt: skip
    assert found["s"]["age"].endswith(" s")
    assert found["done"]["outcome"] == "finished"
    assert list(cells(listed("sort=name"))) == ["done", "s"]
    assert list(cells(listed("status=interrupted"))) == ["s"]
    assert list(cells(listed("limit=1", "sort=name"))) == ["done"]


def test_scripts_get_every_number_in_full(listed):
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.123456789), end("1", None, "failed"))
    (content,) = json.loads(listed("format=json"))
    (row,) = csv.DictReader(io.StringIO(listed("format=csv")))
    for each in (content, row):
        assert float(each["best"]) == 0.123456789
        assert (int(each["failed"]), int(each["trials"]), each["best_settings"]) == (1, 2, "optimizer.lr=0.1")
        assert Path(each["best_run"]) == Path("runs/s/0-optimizer.lr=0.1")


def test_a_damaged_sweep_is_shown_beside_the_others_with_a_note(listed, capsys):
    opened("optimizer.lr=0.1,0.2")
    bad = Path("runs/bad")
    bad.mkdir()
    (bad / "sweep.json").write_text("{")
    assert sweeps.main([]) == 0
    printed = capsys.readouterr()
    assert cells(printed.out)["bad"]["outcome"] == "damaged"
    assert cells(printed.out)["s"]["outcome"] == "interrupted"
    assert "bad" in printed.err
    assert json.loads(listed("format=json", "status=damaged"))[0]["best"] is None


def test_without_sweeps_it_says_so_and_scripts_get_an_empty_list(listed, capsys):
    assert sweeps.main([]) == 0
    assert capsys.readouterr().err == "There are no sweeps in runs.\n"
    assert json.loads(listed("format=json")) == []
    assert listed("format=csv") == ""


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("SWEEP", "for one sweep: trainctl compare SWEEP"),
        ("status=stopped", "status=stopped: no such status"),
        ("sort=best", "sort=best: no such sort"),
        ("format=yaml", "format=yaml: no such format"),
        ("limit=0", "limit=0: expected a whole number"),
        ("root=nowhere", "root=nowhere: no such directory"),
        ("rot=x", "rot=x: no such option; did you mean root?"),
    ],
)
def test_wrong_words_are_errors_that_name_them(word, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        sweeps.main([word])


def test_the_help_is_plain_and_narrow():
    assert "trainctl sweeps" in sweeps.__doc__
    assert max(map(len, sweeps.__doc__.splitlines())) < 80
