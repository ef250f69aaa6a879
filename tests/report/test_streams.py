"""What Python and libraries print by themselves is escaped like everything else, and closed streams stay closed."""

import io
import logging
import os
import subprocess
import sys
import warnings

import pytest

from trainctl.errors import Advice
from trainctl.report import streams

ESCAPE = "\x1b]0;x\x07\x9b31m\u202e"
ESCAPED = "\\x1b]0;x\\x07\\x9b31m\\u202e"


def test_a_traceback_keeps_its_lines_and_loses_its_escapes(capsys):
    try:
        raise ValueError(f"{ESCAPE}\nsecond line")
    except ValueError as error:
        streams.show_traceback(ValueError, error, error.__traceback__)
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):\n  File")
    assert printed.endswith(f"ValueError: {ESCAPED}\nsecond line\n")


def test_a_warning_and_a_log_are_escaped(capsys):
    streams.show_warning(Advice(f"a\n{ESCAPE}"), Advice, "x.py", 1)
    assert capsys.readouterr().err == f"trainctl: note: a\\n{ESCAPED}\n"
    streams.show_warning(UserWarning(ESCAPE), UserWarning, f"{ESCAPE}.py", 1)
    assert f"{ESCAPED}.py:1: UserWarning: {ESCAPED}\n" in capsys.readouterr().err
    streams.Log().handle(logging.LogRecord("x", logging.WARNING, "x.py", 1, "%s", (ESCAPE,), None))
    assert capsys.readouterr().err == f"{ESCAPED}\n"
    streams.Log().handle(logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d", ("no number",), None))


def test_a_stream_that_is_gone_is_no_error(monkeypatch):
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    streams.show_warning(Advice("x"), Advice, "x.py", 1)


CHECK = """
import os, sys, warnings
from trainctl.errors import Advice
from trainctl.report import streams
streams.prepare()
print("\\u2588 \\xf6 \\ud800")
warnings.warn("ours", Advice)
warnings.warn("of a library", DeprecationWarning)
os.fstat(0), os.fstat(1), os.fstat(2)
sys.exit(open(os.devnull).fileno() > 2)
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_no_stream_and_no_filter_raises(closed, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", CHECK],
        env=environment, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    if not closed:
        assert done.stdout == ("\\u2588 \xf6 \\ud800\n" if encoding == "latin-1" else "\\u2588 \\xf6 \\ud800\n").encode(
            "latin-1"
        )
        assert done.stderr.startswith(b"trainctl: note: ours\n")


@pytest.mark.parametrize(
    ("value", "kept"), [("0", False), ("1", False), ("-5", False), ("x", False), ("9" * 5000, False), ("20", True)]
)
def test_a_terminal_of_no_width_is_asked_for_its_width(monkeypatch, value, kept):
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with warnings.catch_warnings():
        streams.prepare()
    assert ("COLUMNS" in os.environ, "LINES" in os.environ) == (kept, kept)


def test_filters_of_python_itself_stay(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        streams.prepare()
        with pytest.raises(UserWarning):
            warnings.warn("x", UserWarning, stacklevel=1)
