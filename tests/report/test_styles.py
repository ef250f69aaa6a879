"""What is printed in colour can be read on a white and on a black terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.color import Color
from rich.style import Style

import trainctl
from trainctl.report import styles, table

ROOT = Path(trainctl.__file__).parent
NAMED = re.compile(r'"(?:bold |not bold )?(?:dim|black|red|green|yellow|blue|magenta|cyan|white|bright_\w+|grey\d+)"')


def luminance(color):
    """Return the relative luminance of a colour (WCAG 2.1)."""
    parts = [channel / 255 for channel in color.get_truecolor()]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(color, background):
    high, low = sorted((luminance(color) + 0.05, luminance(Color.parse(background)) + 0.05), reverse=True)
    return high / low


@pytest.mark.parametrize("style", styles.ALL)
def test_each_style_has_contrast_on_white_and_on_black(style):
    found = Style.parse(style)
    assert not found.dim, "how dim that is, is up to the terminal"
    if found.color is not None:
        assert found.color.number >= 16, "the first 16 colours are up to the terminal"
        assert min(contrast(found.color, background) for background in ("#ffffff", "#000000")) >= 4.5


def test_the_measure_knows_a_colour_that_is_too_light():
    assert contrast(Color.parse("#00cdcd"), "#ffffff") < 2.1
    assert contrast(Color.parse("#000000"), "#ffffff") == pytest.approx(21)


def test_no_module_has_a_colour_of_its_own():
    paths = [path for folder in ("report", "sweep", "command") for path in (ROOT / folder).glob("*.py")]
    assert len(paths) > 60
    drawn = ("plot", "canvas", "figure", "picture")  # their colours are those of pictures on white
    for path in paths:
        if not any(word in path.stem for word in drawn):
            assert not NAMED.findall(path.read_text(encoding="utf-8")), path


def test_every_style_of_the_module_is_checked():
    names = {name for name in vars(styles) if name.isupper() and name not in ("ALL", "GREY", "GREEN", "BLUE", "RED")}
    assert {getattr(styles, name) for name in names} == set(styles.ALL)


@pytest.mark.parametrize(
    ("variables", "system"),
    [
        ({"TERM": "screen"}, "256"),
        ({"TERM": "xterm"}, "256"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "dumb"}, None),
    ],
    ids=str,
)
def test_a_terminal_gets_these_colours_not_the_nearest_of_its_own(monkeypatch, variables, system):
    for name in ("COLORTERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    stream.isatty = lambda: True
    assert table.console(stream).color_system == system
