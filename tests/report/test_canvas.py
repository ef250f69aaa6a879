"""Plots are drawn with matplotlib as it was installed, whatever lies in the working directory and the environment."""

import os
import subprocess
import sys

import pytest

DRAW = """
import os, sys
from pathlib import Path
from trainctl.report import canvas, plots
rows = [{"step": 1, "epoch": 1.0, "val/loss": 1.0, "lr": 0.1}, {"step": 2, "epoch": 2.0, "val/loss": 0.5, "lr": 0.1}]
before = dict(os.environ), os.getcwd()
plots.curves(rows, Path("run"), "val/loss", 2)
assert (dict(os.environ), os.getcwd()) == before
"""


def rc(path, kind):
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "latin-1":
        path.write_bytes(b"# caf\xe9\nlines.linewidth: 30\n\x1b]0;x\x07: 1\n")


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
@pytest.mark.parametrize("kind", ["fifo", "link", "latin-1"])
def test_a_matplotlibrc_of_anybody_is_not_read(tmp_path, kind):
    rc(tmp_path / "matplotlibrc", kind)
    (tmp_path / "home" / "matplotlib").mkdir(parents=True)
    rc(tmp_path / "home" / "matplotlib" / "matplotlibrc", kind)
    environment = os.environ | {
        "MPLBACKEND": "Qt4Agg",
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
        "MATPLOTLIBRC": "/dev/zero",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "plots" / "loss.png").stat().st_size > 1000
