"""The page of a sweep: its ranked table, failures and the winner's command, whatever words are in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.test_html import read
from tests.sweep.test_record import end, opened, write
from trainctl import cli
from trainctl.errors import CheckpointError
from trainctl.report.html.page import page
from trainctl.sweep import page as sweep_page


def curve(directory: Path, *values: float) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    rows = [{"step": 4 * n, "epoch": float(n), "lr": 0.1, "val/loss": value} for n, value in enumerate(values, 1)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_sweep_has_a_page_with_its_answer(monkeypatch, capsys):
    home = opened("optimizer.lr=0.1,0.2,0.3,0.4", "model.dropout=0.1,0.2", "sweep.name=s")
    write(
        home,
        *(end(str(n), 0.1 * (n + 1)) for n in range(7)),
        end("7", None, "failed", reason="<b>the loss is nan</b>; x"),
    )
    write(home, {"event": "over", "trials": 8})
    curve(Path("runs/s/0-optimizer.lr=0.1,model.dropout=0.1"), 0.5, 0.1)
    monkeypatch.setattr(sys, "argv", ["trainctl", "report", "s"])
    assert cli.main() == 0, capsys.readouterr().err
    assert capsys.readouterr().out == "page: runs/s/report.html\n"
    reader = read(Path("runs/s/report.html").read_bytes())
    sections = [attributes["id"] for tag, attributes in reader.elements if tag == "section"]
    assert sections == ["ranking", "plots", "failures", "settings-of-all-trials", "train-the-winner"]
    assert "<b>the loss is nan</b>" in reader.texts
    (winner,) = [text for text in reader.texts if text.startswith("trainctl dataset=iris")]
    assert winner.endswith("optimizer.lr=0.1 model.dropout=0.1")
    assert sum(tag == "img" for tag, _ in reader.elements) == 3  # parameters, parallel, importance
    assert sum(tag == "polyline" for tag, _ in reader.elements) == 1


def test_a_sweep_that_is_not_complete_says_how_to_continue_it():
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.4))
    document, notes = sweep_page.gather(Path("runs/s"), Path("runs"))
    assert notes == []
    texts = read(page(document)).texts
    assert any("continue it with: trainctl resume runs/s" in text for text in texts)


def test_a_sweep_without_any_result_has_a_page():
    opened("optimizer.lr=0.1,0.2")
    document, _ = sweep_page.gather(Path("runs/s"), Path("runs"))
    assert "No trial was trained in full, so there is no best point." in read(page(document)).texts


def test_a_damaged_sweep_is_an_error():
    Path("runs/s").mkdir(parents=True)
    Path("runs/s/sweep.json").write_text("{}")
    with pytest.raises(CheckpointError):
        sweep_page.gather(Path("runs/s"), Path("runs"))


def test_settings_of_runs_are_not_for_sweeps(monkeypatch, capsys):
    opened("optimizer.lr=0.1,0.2")
    monkeypatch.setattr(sys, "argv", ["trainctl", "report", "s", "device=cpu"])
    assert cli.main() == 2
    assert "does not apply to a sweep" in capsys.readouterr().err


def test_it_needs_no_torch():
    code = "import sys; import trainctl.sweep.page, trainctl.command.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_plots_of_a_complete_sweep_are_those_that_it_drew(monkeypatch):
    home = opened("optimizer.lr=0.1,0.2,0.3,0.4", "model.dropout=0.1,0.2", "sweep.name=s")
    write(home, *(end(str(n), 0.1 * (n + 1)) for n in range(8)))
    drawn = ["parameters.png", "parallel.png", "importance.png"]

    def pages_plots() -> dict[str, int]:
        document, notes = sweep_page.gather(Path("runs/s"), Path("runs"))
        assert notes == []
        assert sum(tag == "img" for tag, _ in read(page(document)).elements) == 3
        return {name: (home.home / "plots" / name).stat().st_mtime_ns for name in drawn}

    assert pages_plots() != pages_plots()  # interrupted: more may come
    write(home, {"event": "over", "trials": 8})
    complete = pages_plots()
    assert pages_plots() == complete
    (home.home / "plots" / "parallel.png").unlink()
    assert (again := pages_plots()) != complete
    assert again["importance.png"] == complete["importance.png"]
    os.truncate(home.home / "plots" / "parallel.png", 5_000_000)  # no plot of ours
    assert pages_plots()["parallel.png"] != again["parallel.png"]
    assert (home.home / "plots" / "parallel.png").stat().st_size < 5_000_000
    write(home, {"event": "bye"})
    assert pages_plots()["importance.png"] != complete["importance.png"]  # something was written since
    before = pages_plots()
    (home.home / "sweep.json").write_text(
        json.dumps(json.loads((home.home / "sweep.json").read_text()) | {"trainctl": "0.0.0"})
    )
    assert pages_plots() != before  # another version
