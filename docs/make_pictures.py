"""Draw the pictures of README and the guides, into docs/_static, of runs that are trained in a temporary directory.

    python docs/make_pictures.py

live.svg is the live view in the middle of a run; the others are a page about the default run, its mistakes, and a served page,
for which a headless browser (chromium or chrome) must be in PATH.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops
from rich.console import Console as RichConsole
from rich.text import Text

from trainctl.report import reporters
from trainctl.report.console import Console
from trainctl.report.terminal import hanging
from trainctl.run.reporter import MultiReporter, Row
from trainctl.settings import compose
from trainctl.train import session

STATIC = Path(__file__).resolve().parent / "_static"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1100, 1000  # of the window [pixels]
MARGIN = 24  # below what is on the page [pixels]
TRAINCTL = (sys.executable, "-m", "trainctl")
RUNS = (
    ("loop.epochs=12", "output.name=digits"),
    ("report", "last", "output=report.html"),
    ("dataset=iris", "loop.epochs=20", "output.name=iris"),
)
LIVE = ("optimizer=adam", "schedule=cosine")  # what is typed for the picture of the live view
SEEN = 18  # evaluations that have been shown by then
COLUMNS, LINES = 98, 30  # of the terminal
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Photographed(Console):
    """The live view, which draws itself once more into a picture after some evaluations."""

    def evaluation(self, row: Row) -> None:
        """Add an evaluation."""
        super().evaluation(row)
        if self.view is None or len(self.view.rows) != SEEN:
            return
        paper = RichConsole(
            record=True, file=io.StringIO(), width=COLUMNS, height=LINES, force_terminal=True, color_system="256"
        )
        paper.print(Text.assemble(("$ ", "dim"), f"trainctl {' '.join(LIVE)}"))
        for label, text in [*self.view.header, ("engine", self.view.engine)]:
            for line in hanging(f"{label:<8}", "dim", Text(text), COLUMNS):
                paper.print(line)
        paper.print(self.view)
        drawn = paper.export_svg(title="trainctl", unique_id="live")
        drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # no font of another site
        drawn = re.sub(r"[ \t]+$", "", drawn.replace("Fira Code, monospace", FONT), flags=re.MULTILINE)
        (STATIC / "live.svg").write_text(drawn, encoding="utf-8")


def live() -> None:
    """Train a run and draw its live view."""
    screen = RichConsole(file=io.StringIO(), width=COLUMNS, height=LINES, force_terminal=True)
    session.begin(
        compose.compose([*LIVE, "threads=1"], None),  # what is measured of this machine belongs into no picture
        list(LIVE),
        reporters=lambda run, directory: MultiReporter(reporters.records(run, directory), Photographed(screen)),
    )
    print(f"wrote {STATIC / 'live.svg'}")


def main() -> int:
    """Draw the pictures; return the exit code."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no headless browser is installed: {', '.join(BROWSERS)}", file=sys.stderr)
        return 7
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.chdir(root)
        live()
        for words in RUNS:
            subprocess.run([*TRAINCTL, *words], cwd=root, check=True, stdout=subprocess.DEVNULL)
        page = root / "report.html"
        draw(browser, root, page.as_uri(), "report")
        (root / "mistakes.html").write_text(only("most-confident-mistakes", page.read_text(encoding="utf-8")))
        draw(browser, root, (root / "mistakes.html").as_uri(), "mistakes")
        server = subprocess.Popen(
            [*TRAINCTL, "serve", "iris", "port=0"], cwd=root, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        try:
            assert server.stdout
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found
            draw(browser, root, found[0], "served")
        finally:
            server.terminate()
            server.wait()
    return 0


def only(section: str, page: str) -> str:
    """Return a page with one of its sections, without links to the others."""
    kept = re.sub(rf'<section id="(?!{section}").*?</section>', "", page, flags=re.DOTALL)
    return re.sub(r"<nav.*?</nav>", "", kept, flags=re.DOTALL)


def draw(browser: str, root: Path, address: str, name: str) -> None:
    """Draw the first part of a page, without the empty space below it."""
    shot = root / f"{name}.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000"]
    options += [f"--user-data-dir={root / 'browser'}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
    subprocess.run([browser, *options, address], check=True, capture_output=True)
    with Image.open(shot) as image:
        whole = image.convert("RGB")
    ends = ImageChops.difference(whole, Image.new("RGB", whole.size, whole.getpixel((0, 0)))).getbbox()
    cut = whole.crop((0, 0, WIDTH, min(HEIGHT, (ends[3] if ends else HEIGHT) + MARGIN)))
    # MAXCOVERAGE keeps rare colours.
    cut.quantize(method=Image.Quantize.MAXCOVERAGE).save(STATIC / f"{name}.png", optimize=True)
    print(f"wrote {STATIC / f'{name}.png'}")


if __name__ == "__main__":
    sys.exit(main())
