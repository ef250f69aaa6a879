"""Write the address of the repository into pyproject.toml and README.md, before a package is built.

    python .github/name_repository.py https://host/owner/name

The package gets its URLs, and the links and pictures of its description lead to the files of its version: relative ones
would lead nowhere on the page of a package index. The tree has no address of its own, so that forks need no change.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "Homepage": "",
    "Documentation": "/blob/v{version}/docs/start.md",
    "Changelog": "/blob/v{version}/CHANGELOG.md",
    "Source": "",
    "Issues": "/issues",
}
LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?!\w+:|#)([^)\s]+)\)")  # a picture or not, a text, a relative target


def urls(address: str, version: str) -> str:
    """Return the table of URLs for pyproject.toml."""
    lines = [f'{name} = "{address}{page.format(version=version)}"' for name, page in PAGES.items()]
    return "\n".join(["[project.urls]", *lines, ""])


def absolute(text: str, address: str, version: str) -> str:
    """Return Markdown whose relative links and pictures lead to the repository.

    >>> absolute("![a](b.png) [c](d.md#e) [f](#g)", "https://h/o/n", "1.0")
    '![a](https://h/o/n/raw/v1.0/b.png) [c](https://h/o/n/blob/v1.0/d.md#e) [f](#g)'
    """
    return LINK.sub(
        lambda found: f"{found[1]}{found[2]}{address}/{'raw' if found[1] else 'blob'}/v{version}/{found[3]})", text
    )


def main(address: str, root: Path = ROOT) -> None:
    """Change both files.

    Raises:
        SystemExit: If the address is not one, or is written already.
    """
    project, readme = root / "pyproject.toml", root / "README.md"
    text = project.read_text(encoding="utf-8")
    if not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", address) or "[project.urls]" in text:
        raise SystemExit(f"{address}: not the address of a repository, or pyproject.toml has one already")
    version = tomllib.loads(text)["project"]["version"]
    table, _, rest = text.partition("\n[project.optional-dependencies]")
    project.write_text(f"{table}\n{urls(address, version)}\n[project.optional-dependencies]{rest}", encoding="utf-8")
    readme.write_text(absolute(readme.read_text(encoding="utf-8"), address, version), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
