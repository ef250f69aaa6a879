"""What a start pays for: which packages a verb imports."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "torch._dynamo",
    "torchvision",
    "sklearn",
    "scipy",
    "pandas",
    "sympy",
    "matplotlib",
    "hydra",
    "rich",
    "PIL",
)
TRAIN = ("loop.max_steps=1", "output.plots=false")


def imported(*arguments: str, cwd: Path) -> tuple[set[str], int]:
    """Run a command line in a fresh process; return the heavy packages that it imported."""
    script = (
        "import atexit, os, sys\n"
        f"atexit.register(lambda: print('IMPORTED', *(name for name in {HEAVY} if name in sys.modules)))\n"
        "sys.argv = ['trainctl', *sys.argv[1:]]\n"
        "from trainctl.cli import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )
    return set(done.stdout.rpartition("IMPORTED")[2].split()), done.returncode


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--version"], set()),
        (["runs"], set()),
        (["profile", "--help"], {"hydra"}),
        (["verify", "--help"], {"hydra"}),
        (["reproduce", "nowhere"], {"hydra"}),
        (["lr=0.1"], {"hydra"}),
        (["--help"], {"hydra"}),
        (["list"], {"hydra", "rich"}),
        (["list", "optimizer"], {"hydra", "rich"}),
        # scikit-learn only reads its own data sets, matplotlib only draws; nothing is compiled.
        ([*TRAIN], {"torch", "hydra"}),
        ([*TRAIN, "optimizer=sgd", "model=cnn", "augment=[crop]"], {"torch", "hydra"}),
        ([*TRAIN, "optimizer=muon", "loop.record=never"], {"torch", "hydra"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_verb_imports_no_more_than_it_needs(arguments, allowed, tmp_path):
    packages, code = imported(*arguments, cwd=tmp_path)
    assert packages <= allowed
    assert code == {"lr=0.1": 2, "reproduce": 4}.get(arguments[0], 0)
