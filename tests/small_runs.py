"""Runs on small files of every kind, trained for two steps: what is done with a run, whichever way it is asked for."""

import sys
from pathlib import Path

import pytest

QUICK = "loop.max_steps=2 threads=1 output.plots=false"
RNN = "model=rnn model.hidden_size=4 dataset.level=words"
TABLE = "dataset=csv dataset.path=table.csv dataset.drop=[customer]"
# What is typed, by the name of the root; two regressions, of which an ensemble can be made.
TYPED = (
    "dataset=image_folder dataset.path=pets dataset.size=4 dataset.cache=cache model=cnn model.channels=[2] output.root=images",
    f"dataset=text dataset.path=names {RNN} output.root=lines",
    f"dataset=text dataset.path=reviews {RNN} output.root=files",
    f"{TABLE} dataset.target=price loss=mse model=linear output.root=prices",
    f"{TABLE} dataset.target=price loss=mse model=linear output.root=prices seed=1",
    f"{TABLE} dataset.target=city output.root=cities",
    "dataset=series dataset.path=series.csv dataset.columns=[load] dataset.window=3 model=rnn model.hidden_size=4 output.root=series",
)


def train_all(root: Path) -> None:
    """Train the runs below a directory: ``images``, ``lines`` and ``files`` of text, ``prices``, ``cities``, ``series``."""
    from trainctl import cli

    write_files(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for typed in TYPED:
            patch.setattr(sys, "argv", ["trainctl", *typed.split(), *QUICK.split()])
            assert cli.main() == 0


def write_files(root: Path) -> None:
    """Write the data of the runs."""
    from PIL import Image

    for row in range(10):
        for name, level in (("cat", 50), ("dog", 200)):
            (root / "pets" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), level + row).save(root / "pets" / name / f"{row}.png")
            (root / "reviews" / name).mkdir(parents=True, exist_ok=True)
            (root / "reviews" / name / f"{row}.txt").write_text(f"a {name}\n\nnumber {row}")
    for name in ("cat", "dog"):
        (root / "names").mkdir(exist_ok=True)
        (root / "names" / f"{name}.txt").write_text("".join(f"{name} {row}\n" for row in range(10)))
    rows = "".join(f"c{row},{'Bern' if row % 2 else 'Ulm'},{row},{3 * row}\n" for row in range(20))
    (root / "table.csv").write_text(f"customer,city,age,price\n{rows}")
    (root / "series.csv").write_text("load\n" + "".join(f"{row % 7}\n" for row in range(60)))


def find(root: Path, kind: str) -> Path:
    """Return the directory of a run; of several, the first."""
    return min(path.parent for path in (root / kind).glob("*/config.yaml"))
