"""The help lists every command and exit code, from the one place where they are written down."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainctl import errors
from trainctl.command import help as command_help

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def codes_in(text: str) -> list[int]:
    """Return the exit codes in a sentence such as "Exit codes: 0 done, 1 internal error."."""
    sentence = re.search(r"Exit codes: (.*?)\.\s", " ".join(f"{text} .".split()))
    assert sentence
    return [int(code) for code in re.findall(r"(?:^|[,;]\s+)`?(\d+)`? ", sentence[1])]


def subclasses(cls: type) -> Iterator[type]:
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_command_is_listed_with_its_first_line() -> None:
    files = {path.stem.replace("_", "-") for path in (ROOT / "trainctl" / "command").glob("*.py")}
    assert set(command_help.COMMANDS) == files - {
        "--init--",
        "arguments",
        "completion",
        "flags",
        "help",
        "launching",
        "option-values",
    }
    lines = command_help.commands().splitlines()
    assert lines[0] == "== Commands =="
    lines = [line for line in lines[3:] if not line.startswith("    ")]  # without those that continue another
    assert [line.split()[0] for line in lines] == list(command_help.COMMANDS)
    assert all(len(line.split(maxsplit=1)[1]) > 15 for line in lines)
    assert "\ntrainctl: " not in "\n".join(lines)


def test_the_readme_shows_every_command() -> None:
    assert [name for name in command_help.COMMANDS if not re.search(rf"\b{name}\b", README)] == []


def test_every_exit_code_is_listed_wherever_they_are() -> None:
    classes = [cls for cls in subclasses(errors.TrainctlError) if cls.__module__ == "trainctl.errors"]
    codes = sorted({0, 1, *(cls.exit_code for cls in classes)})
    assert len(classes) > 8
    assert list(errors.EXIT_CODES) == codes
    assert codes_in(command_help.exit_codes()) == codes
    assert codes_in(README) == codes
    table = re.findall(r"^ +[├└]── (\w+) +(\d+) ", errors.__doc__ or "", re.MULTILINE)
    assert {name: int(code) for name, code in table} == {
        cls.__name__: cls.exit_code
        for cls in classes
        if cls is not errors.ProcessError  # its code is another's
    }


def test_the_help_shows_the_settings_of_what_is_typed() -> None:
    text = command_help.text(["optimizer=sgd", "optimizer.lr=0.25"], None)
    assert "== Settings of trainctl optimizer=sgd optimizer.lr=0.25 ==" in text
    assert "\noptimizer:\n  name: sgd\n  lr: 0.25\n" in text
    assert "\nschedule: cosine, " in text
    assert max(map(len, command_help.commands().splitlines())) <= 100


def test_the_help_begins_with_the_commands_and_fits_a_page(monkeypatch) -> None:
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        text = command_help.text([], None)
        assert max(map(len, text.splitlines())) <= min(width, 100)
        assert len(text.splitlines()) < 90
        assert text.index("== Commands ==") < text.index("== Settings ==") < text.index("Exit codes:")
        assert "--shell-completion install=bash" in " ".join(text.split())


def test_no_help_names_a_verb() -> None:
    text = command_help.text(["optimizer=sgd"], None)
    assert "verb" not in text.lower()


@pytest.mark.parametrize("command", command_help.COMMANDS)
@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_the_help_of_a_command_is_wrapped_to_the_terminal(
    command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = command_help.shown(command)
    wide = [line for line in text.splitlines() if len(line) > width]
    kept = [line for line in wide if len(line.split()) == 1 or (line.startswith("    ") and " [" not in line)]
    assert wide == kept  # of one word, or examples
    assert text.split() == command_help.of(command).split()  # nothing is lost
