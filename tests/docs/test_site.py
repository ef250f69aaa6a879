"""The documentation becomes a site without a warning, which needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site's directory, as `make docs` builds it: a dead link or a formula that is not understood ends it."""
    built = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", built], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return built


@pytest.mark.slow
def test_every_page_is_in_the_site_and_in_a_table_of_contents(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    assert len(pages) >= 20
    assert [page for page in pages if not (site / page.with_suffix(".html")).is_file()] == []


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 20
    for page in pages:
        loaded = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"([^\"]+)\"", page.read_text(encoding="utf-8")
        )
        assert loaded
        assert [address for address in loaded if re.match(r"(\w+:)?//", address)] == [], page.name
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"@import|url\([\"']?(?:\w+:)?//", styles) == []


def test_every_formula_of_the_catalogue_is_rendered(site: Path) -> None:
    source = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    formulas = source.count("```math\n") + len(re.findall(r"\$`[^`]+`\$", source))
    page = (site / "catalogue.html").read_text(encoding="utf-8")
    assert formulas > 100
    assert page.count("<math ") == formulas
    assert "$`" not in page


def test_links_to_files_outside_the_site_become_their_names(site: Path) -> None:
    page = (site / "catalogue.html").read_text(encoding="utf-8")
    assert "trainctl/components/optimizer/adam.py</span>" in page
    assert 'href="../' not in page
