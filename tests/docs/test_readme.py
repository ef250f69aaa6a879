"""Every command in README works. Its runs are whole ones, so they are shortened here to one epoch."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import pages
from tests.zygote import Zygote

README = pages.ROOT / "README.md"
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
PROGRAMS = ("trainctl", "$", "make", "pip")  # what a block of commands begins with
NOT_RUN = ("make ", "pip ", "eval ")  # installs, runs all tests, changes the shell
ELSEWHERE = "=/data"  # files that this machine lacks
MOST_NOT_RUN = 12


def lines() -> list[pages.Command]:
    """Return README's commands, one for each line, and what they are shown to print."""
    text = README.read_text(encoding="utf-8")
    fenced = pages.blocks(README)
    # A block that is indented by four spaces, outside the fenced ones.
    outside = pages.FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    for match in INDENTED.finditer(outside):
        block = re.sub(r"^ {4}", "", match[0], flags=re.M)
        language = "console" if block.startswith("$ ") else "sh" if block.startswith(PROGRAMS) else ""
        fenced.append(pages.Block(language, block, outside.count("\n", 0, match.start()), None))
    return [command for block in sorted(fenced, key=lambda block: block.line) for command in _commands(block)]


def _commands(block: pages.Block) -> Iterator[pages.Command]:
    if block.language != "sh":
        yield from pages.block_commands(block)
        return
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.strip():
            yield pages.Command(re.sub(r"\s+#.*", "", line), number)


def shortened(command: str) -> str:
    """Return a command with a run in the place of RUN, of one epoch if it trains.

    >>> shortened("trainctl model=cnn loop.epochs=50")
    'trainctl model=cnn loop.epochs=1 output.plots=false'
    >>> shortened("trainctl verify RUN && trainctl compare RUN RUN")
    'trainctl verify last && trainctl compare $(ls -d runs/2* | sed -n 1p) $(ls -d runs/2* | sed -n 2p)'
    """
    command = command.replace("RUN RUN", "$(ls -d runs/2* | sed -n 1p) $(ls -d runs/2* | sed -n 2p)")
    command = re.sub(r"\bRUN\b", "last", command)
    command = re.sub(r"\bSWEEP\b", "$(ls -d runs/*-sweep-* | sed -n 1p)", command)
    if re.match(r"trainctl( -m)?( [\w.]+=|$)", command):
        command = re.sub(r" loop\.epochs=\d+", "", command)
        budget = "" if "loop.max_steps" in command else " loop.epochs=1"
        return f"{command}{budget} output.plots=false"
    return re.sub(r"^trainctl profile\b", "trainctl profile steps=5", command)


@pytest.mark.slow
def test_the_commands_of_readme_work(tmp_path: Path, zygote: Zygote) -> None:
    typed = lines()
    run = [command for command in typed if not command.text.startswith(NOT_RUN) and ELSEWHERE not in command.text]
    assert len(run) >= 15
    assert len(typed) - len(run) <= MOST_NOT_RUN
    for command in run:
        command.text = shortened(command.text)
    home = tmp_path / "home" / "project"
    shutil.copytree(pages.ROOT / "recipes", home / "recipes")
    image = "from PIL import Image; Image.new('L', (8, 8)).save('image.png')"
    done = pages.run([pages.Command(f'python -c "{image}"', 0), *run], tmp_path, zygote)
    assert pages.troubles(done, "README.md") == []
