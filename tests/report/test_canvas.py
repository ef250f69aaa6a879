"""Plots are drawn with matplotlib as it was installed, whatever lies in the working directory and the environment."""

import os
import subprocess
import sys

import pytest

DRAW = """
import os
from trainctl.report import canvas
before = dict(os.environ), os.getcwd()
canvas.figure(2.0, 2.0).savefig("x.png")
assert (dict(os.environ), os.getcwd()) == before
import matplotlib
assert matplotlib.rcParams["lines.linewidth"] < 30
"""


def rc(path, kind):
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"# \xe9t\xe9\nlines.linewidth: 30\n\x1b]0;x\x07: 1\n")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX")
@pytest.mark.parametrize("kind", ["fifo", "latin-1"])
def test_a_matplotlibrc_of_anybody_is_not_read(tmp_path, kind):
    rc(tmp_path / "matplotlibrc", kind)
    (tmp_path / "home" / "matplotlib").mkdir(parents=True)
    rc(tmp_path / "home" / "matplotlib" / "matplotlibrc", kind)
    mine = {"MPLBACKEND": "Qt4Agg", "XDG_CONFIG_HOME": str(tmp_path / "home"), "MATPLOTLIBRC": "/dev/zero"}
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=tmp_path, env=os.environ | mine, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.png").stat().st_size > 100
