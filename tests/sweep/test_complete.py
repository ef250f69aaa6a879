"""A complete sweep is shown again without composing its points, unless something has to be compared, repeated or drawn."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep import many
from trainctl.command import resume
from trainctl.errors import CheckpointError
from trainctl.settings.points import Composer
from trainctl.sweep import complete


@pytest.fixture
def home(capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a complete sweep of 16 points whose table and plots were written."""
    many.write("s", 16, curves=True)
    assert resume.main(["s"]) == 0
    capsys.readouterr()
    return Path("runs/s")


def change(**fields: object) -> Callable[[Path], object]:
    """Return a function that changes what a sweep says of itself."""

    def write(home: Path) -> None:
        path = home / "sweep.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return write


def add(event: dict) -> Callable[[Path], object]:
    """Return a function that adds an event to the journal of a sweep."""

    def write(home: Path) -> None:
        (path,) = (home / "journal").glob("*0.jsonl")
        with path.open("a") as file:
            file.write(json.dumps(event) + "\n")

    return write


FAILED = {"event": "end", "trial": "3", "segment": 0, "status": "failed", "reason": "a bug"}


def test_it_says_what_an_opened_sweep_says_and_composes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(complete, "show", lambda *_: False)
        assert resume.main(["s"]) == 0
    opened = capsys.readouterr().out
    monkeypatch.setattr(Composer, "compose", None)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert resume.main(["s"]) == 0
    shown = capsys.readouterr().out
    assert shown == opened
    assert f"16 points, 16 trials in {home.absolute()}\n{complete.NOTHING_LEFT}" in shown
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


@pytest.mark.parametrize(
    "change",
    [
        change(own_code="0123456789ab"), change(trainctl="0.0.0"), change(storage="postgresql://me@host/base"),
        lambda home: (home / "results.csv").unlink(), lambda home: shutil.rmtree(home / "plots"),
        add(FAILED),
        lambda home: (home / "claims" / "3.1").write_text("host-1-11111111"),
    ],
    ids=["code", "version", "database", "table", "plots", "failed", "begun again"],
)  # fmt: skip
def test_whatever_has_to_be_compared_repeated_or_drawn_is_opened(home: Path, change: Callable[[Path], object]) -> None:
    assert complete.show(home, (), ())
    change(home)
    assert not complete.show(home, (), ())


def test_what_is_typed_is_answered_by_the_open_sweep(home: Path) -> None:
    assert not complete.show(home, ["sweep.workers=2"], ())
    assert not complete.show(home, (), ["my_package"])
    change(trainctl="0.0.0")(home)
    with pytest.raises(CheckpointError, match=r"trainctl .*, but was 0\.0\.0"):
        resume.main(["s"])
