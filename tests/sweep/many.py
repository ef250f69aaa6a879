"""Write a sweep of many finished trials as the sweep itself would, without training any.

    python -m tests.sweep.many NAME [TRIALS]

writes `runs/NAME` in the working directory, a grid of so many points, 10,000 by default.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trainctl.sweep import opening, study

FIRST = "{}-optimizer.lr=0.001,optimizer.weight_decay=0,loop.batch_size="  # the directory of the first point
SIDES = ("optimizer.lr", "optimizer.weight_decay", "loop.batch_size", "model.dropout")


def words(count: int) -> list[str]:
    """Return the words of a grid of at least so many points."""
    side = math.ceil(count ** (1 / len(SIDES)))
    values = {
        "optimizer.lr": [f"{0.001 * (1 + number):g}" for number in range(side)],
        "optimizer.weight_decay": [f"{0.0001 * number:g}" for number in range(side)],
        "loop.batch_size": [str(16 + number) for number in range(side)],
        "model.dropout": [f"{0.05 * number:g}" for number in range(side)],
    }
    return [f"{key}={','.join(values[key])}" for key in SIDES]


def finish(opened: study.Study, *, over: bool = True) -> None:
    """Write that every trial of a sweep has finished, with numbers that depend on its point."""
    writer = f"host-1-{0:08x}"
    lines = [{"event": "hello", "identity": ""}]
    for number, (key, trial) in enumerate(opened.ledger.trials.items()):
        (opened.home / "claims" / f"{key}.0").write_text(writer)
        value = 0.2 + 0.1 * math.sin(number) ** 2
        metrics = {f"{split}/{name}": value for split in ("train", "val", "test") for name in ("loss", "accuracy")}
        lines.append(
            {
                "event": "end", "trial": key, "segment": 0, "status": "finished", "reason": "completed all 10 epochs",
                "value": value, "values": {}, "metrics": metrics, "step": 100, "epoch": 10.0, "seconds": 1.0,
                "parameters": 9610 + trial.point, "time": round(time.time(), 3),
                "facts": {"data": {"fingerprint": "ab" * 32}, "versions": {"python": "3.11.7", "torch": "2.15.0"}},
            }
        )  # fmt: skip
    lines += [{"event": "over", "trials": len(opened.ledger.trials)}] * over + [{"event": "bye"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (opened.home / "journal" / f"{writer}.jsonl").write_text(text)


def add_curves(opened: study.Study) -> None:
    """Write what is left of each trial's run for the plots: its evaluations."""
    for number, trial in enumerate(opened.ledger.trials.values()):
        trial.directory.mkdir()
        rows = [{"step": 10 * epoch, "epoch": epoch, "val/loss": 1 / epoch + number / 1e5} for epoch in range(1, 11)]
        (trial.directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write(name: str, count: int, extra: Sequence[str] = (), *, curves: bool = False) -> Path:
    """Write a sweep of so many finished trials below `runs`; return its directory."""
    opened = opening.begin(["dataset=iris", *words(count), f"sweep.name={name}", *extra])
    finish(opened)
    if curves:
        add_curves(opened)
    return opened.home


if __name__ == "__main__":
    print(write(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000, curves=True))
