"""Every command in the documentation works as it is shown."""

import re
from pathlib import Path

import pytest

from tests.docs import pages
from tests.zygote import Zygote

RUNNABLE = [page for page in pages.PAGES if pages.commands(page)]
GENERATED = ("catalogue.md", "commands.md", "settings.md")
MOST_NOT_RUN = 11  # blocks that install, or need what this machine lacks
WIDTH = 84  # characters


def name(page: Path) -> str:
    return str(page.relative_to(pages.ROOT))


def test_there_are_pages_with_commands() -> None:
    assert len(pages.PAGES) >= 20
    assert len(RUNNABLE) >= 11
    assert sum(len(pages.commands(page)) for page in RUNNABLE) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_the_commands_of_a_page_work_as_shown(page: Path, tmp_path: Path, zygote: Zygote) -> None:
    assert pages.troubles(pages.run(pages.commands(page), tmp_path, zygote), name(page)) == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = [block for page in pages.PAGES for block in pages.blocks(page) if block.reason is not None]
    assert len(left_out) <= MOST_NOT_RUN
    assert all(len(block.reason.split()) > 2 for block in left_out)


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page.name not in GENERATED], ids=name)
def test_no_command_hides_in_a_block_that_is_not_run(page: Path) -> None:
    for block in pages.blocks(page):
        if block.language not in ("console", "sh", "yaml"):
            assert not re.search(r"^(\$ |trainctl |make |pip )", block.text, re.M), f"{name(page)}:{block.line}"
    prose = pages.FENCE.sub("", page.read_text(encoding="utf-8"))
    assert re.findall(r"^ {4,}(?:\$|trainctl|make|pip)\b.*", prose, re.M) == []


def test_what_is_typed_fits_into_the_width_of_the_site() -> None:
    widest = [
        f"{name(page)}:{block.line}: {line}"
        for page in pages.PAGES
        for block in pages.blocks(page)
        if page.is_relative_to(pages.ROOT / "docs" / "guide") and block.language in ("console", "sh", "python")
        for line in block.text.splitlines()
        if len(line) > WIDTH and line.startswith((" ", "$", ">", "trainctl"))
    ]
    assert widest == []


def test_pictures_exist_and_load_nothing_from_elsewhere():
    paths = [pages.ROOT / "README.md", *sorted((pages.ROOT / "docs").rglob("*.md"))]
    pictures = {
        (path.parent / target).resolve()
        for path in paths
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    }
    assert {picture.name for picture in pictures} == {"live.svg", "report.png", "mistakes.png", "served.png"}
    for picture in pictures:
        assert picture.is_file(), picture
        if picture.suffix == ".svg":
            text = picture.read_text(encoding="utf-8")
            assert not re.search(r"url\((?!#)|href|@import|<script", text)
            assert "samples/s" in text.replace("&#160;", " ")
