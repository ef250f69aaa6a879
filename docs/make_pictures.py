"""Draw the pictures of the guides: docs/_static/report.png, the first part of a page about the default run.

    python docs/make_pictures.py

Trains the run in a temporary directory, and needs a headless browser (chromium or chrome) in PATH.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

STATIC = Path(__file__).resolve().parent / "_static"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = 1100, 1000  # of the window [pixels]
TRAINCTL = (sys.executable, "-m", "trainctl")


def main() -> int:
    """Draw the pictures; return the exit code."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no headless browser is installed: {', '.join(BROWSERS)}", file=sys.stderr)
        return 7
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
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
