"""What a bug report needs is printed, and nothing that should stay private."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import torch

from trainctl import cli
from trainctl.command import env


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["trainctl", *words])
    code = cli.main()
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_versions_devices_and_threads_are_named(capsys, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SECRET_TOKEN", "do-not-print-me")
    code, out, _ = run(capsys, monkeypatch, "env", "format=json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["torch"], facts["OMP_NUM_THREADS"]) == (torch.__version__.partition("+")[0], "1") or facts[
        "torch"
    ] == torch.__version__
    assert facts["devices"].startswith("cpu")
    assert facts["threads"] == "1 thread: set by OMP_NUM_THREADS"
    assert "do-not-print-me" not in out
    code, text, _ = run(capsys, monkeypatch, "env")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == list(facts)
    assert run(capsys, monkeypatch, "env", "format=xml")[0] == 2


def test_every_package_that_a_run_may_use_is_named() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = [
        name
        for extra, names in project["optional-dependencies"].items()
        if extra not in ("dev", "docs")
        for name in names
    ]
    wanted = {re.split(r"[\[<>=]", name)[0].lower() for name in (*project["dependencies"], *extras)}
    assert len(wanted) > 20
    assert wanted <= {package.lower() for package in env.PACKAGES}


def test_the_threads_are_those_that_a_run_would_use(capsys, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    facts = json.loads(run(capsys, monkeypatch, "env", "format=json")[1])
    assert re.match(r"\d+ threads?\b", facts["threads"])


def test_help_is_a_command_too(capsys, monkeypatch) -> None:
    assert run(capsys, monkeypatch, "help", "resume")[:2] == run(capsys, monkeypatch, "resume", "--help")[:2]
    assert "== Commands ==" in run(capsys, monkeypatch, "help")[1]
    code, _, err = run(capsys, monkeypatch, "help", "resum")
    assert (code, "did you mean resume" in err) == (2, True)


@pytest.mark.parametrize(
    ("home", "shown"),
    [("/home/me", "~/.cache/trainctl"), ("/", "/.cache/trainctl"), ("", None), (None, None)],
    ids=["one", "root", "empty", "none"],
)
def test_any_home_directory_is_answered(capsys, monkeypatch, home: str | None, shown: str | None) -> None:
    monkeypatch.setenv("HOME", home) if home is not None else monkeypatch.delenv("HOME")

    def nobody(number: int) -> object:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    code, out, _ = run(capsys, monkeypatch, "env", "format=json")
    assert code == 0
    assert json.loads(out)["cache"] == (shown or "none: there is no home directory (set HOME)") or home == ""
