"""Wrong words of `trainctl serve` are refused before anything is loaded."""

import importlib.util
import sys

import pytest

from tests import small_runs
from trainctl import cli
from trainctl.serve.sockets import listen


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "serve needs a run: trainctl serve RUN"),
        (["nowhere"], 4, "nowhere: no such run"),
        (["nowhere", "port=x"], 2, "port=x: expected a whole number in [0, inf)"),
        (["nowhere", "port=65536"], 2, "port=65536: expected a whole number in [0, 65535]"),
        (["nowhere", "timeout=0"], 2, "timeout=0: expected a number in (0, 3600]"),
        (["nowhere", "which=first"], 2, "which=first: no such which"),
        (["nowhere", "queue=0"], 2, "queue=0: expected a whole number in [1, inf)"),
        (["nowhere", "--port", "80"], 2, "write options as key=value: port=80"),
    ],
)
def test_wrong_words_are_refused(capfd, monkeypatch, words, code, expected):
    monkeypatch.setattr(sys, "argv", ["trainctl", "serve", *words])
    assert cli.main() == code
    assert expected in capfd.readouterr()[1]


def test_a_missing_package_and_a_port_in_use_end_with_7(small_root, capfd, monkeypatch):
    run = str(small_runs.find(small_root, "prices"))
    capfd.readouterr()
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["trainctl", "serve", run, f"port={port}"])
        assert cli.main() == 7
        assert f"port={port}: already in use" in capfd.readouterr()[1]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else found(name, *rest)
    )
    assert cli.main() == 7
    assert capfd.readouterr()[1] == "trainctl: serve needs uvicorn: pip install 'trainctl[serve]'\n"
