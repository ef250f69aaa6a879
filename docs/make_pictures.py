"""Draw the pictures of README and guides, of runs that are trained for it in a temporary directory.

    python docs/make_pictures.py

docs/_static/live.svg is the live view in the middle of a run; docs/_static/report.png the first part of a page about the
default run, for which a headless browser (chromium or chrome) must be in PATH.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
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
SIZE = 1100, 1000  # of the window [pixels]
TRAINCTL = (sys.executable, "-m", "trainctl")
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
        for words in (["loop.epochs=12", "output.name=digits"], ["report", "last", "output=report.html"]):
            subprocess.run([*TRAINCTL, *words], cwd=root, check=True, stdout=subprocess.DEVNULL)
        shot = root / "report.png"
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={root / 'browser'}",
        ]
        page = (root / "report.html").as_uri()
        window = f"--window-size={SIZE[0]},{SIZE[1]}"
        subprocess.run([browser, *options, window, f"--screenshot={shot}", page], check=True, capture_output=True)
        with Image.open(shot) as image:
            few = image.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)  # keeps rare colours
            few.save(STATIC / "report.png", optimize=True)
    print(f"wrote {STATIC / 'report.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
