"""What a start pays for: which packages a verb imports."""

import json
import subprocess
import sys

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


SCRIPT = """
import json, sys
from trainctl.cli import main
heavy, allowed, lines = json.load(sys.stdin)
for words, code in lines:
    sys.argv = ["trainctl", *words]
    assert main() == code, words
    packages = {name for name in heavy if name in sys.modules} - {*allowed}
    assert not packages, f"{words} imports {packages}"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("allowed", "lines"),
    [
        ([], [(["--version"], 0), (["runs"], 0)]),
        (
            ["hydra"],
            [
                (["profile", "--help"], 0),
                (["verify", "--help"], 0),
                (["reproduce", "nowhere"], 4),
                (["lr=0.1"], 2),
                (["--help"], 0),
            ],
        ),
        (["hydra", "rich"], [(["list"], 0), (["list", "optimizer"], 0)]),
        # scikit-learn only reads its own data sets, matplotlib only draws; nothing is compiled.
        (
            ["torch", "hydra"],
            [
                ([*TRAIN], 0),
                ([*TRAIN, "optimizer=sgd", "model=cnn", "augment=[crop]"], 0),
                ([*TRAIN, "optimizer=muon", "loop.record=never"], 0),
            ],
        ),
    ],
    ids=lambda value: " ".join(value) if all(isinstance(word, str) for word in value) else "",
)
def test_a_verb_imports_no_more_than_it_needs(allowed, lines, tmp_path):
    given = json.dumps([HEAVY, allowed, lines])
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=given, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_wrong_word_is_answered_before_torch_is_imported(command, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{number},{number % 2}\n" for number in range(40)))
    data = ("dataset=csv", "dataset.path=t.csv", "dataset.target=y")
    for seed in (0, 1):
        assert command(*data, f"seed={seed}", "loop.max_steps=1", "output.plots=false").returncode == 0
    run, other = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    nowhere = ("dataset=csv", "dataset.path=nowhere.csv")
    lines = [
        *((verb, str(run), "optimizer.lr=1") for verb in ("resume", "verify", "reproduce", "evaluate", "report")),
        *((verb, str(run), "optimizer.lr=1") for verb in ("quantize", "split", "export", "explain", "serve")),
        *((verb, str(run), str(other), "optimizer.lr=1") for verb in ("merge", "ensemble")),
        ("predict", str(run), "t.csv", "optimizer.lr=1"),
        *((verb, str(run), "output.root=~nosuchuser/x") for verb in ("finetune", "distill")),
    ]
    missing = [nowhere, *((verb, *nowhere) for verb in ("find-lr", "find-batch-size", "profile"))]
    missing += [(verb, str(run), *nowhere) for verb in ("finetune", "distill")]
    coded = [(words, 2) for words in lines] + [(words, 3) for words in missing]
    given = json.dumps([["torch"], [], coded])
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=given, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
