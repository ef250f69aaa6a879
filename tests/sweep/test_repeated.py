"""Runs that repeat their settings with several seeds are compared as a sweep compares its points."""

from pathlib import Path

from trainctl.finished.record import Record
from trainctl.sweep import repeated


def run(model: str, seed: int, value: float, **more: object) -> Record:
    config = {
        "seed": seed,
        "model": {"name": model, "hidden": [8] if model == "mlp" else None},
        "output": {"root": f"{seed}"},
    }
    return Record(
        path=Path(f"{model}-{seed}"), name=f"{model}-{seed}", outcome="finished", created=0.0, config=config | more, fingerprint="ab",
        steps=1, epochs=1.0, seconds=1.0, parameters=1, monitor="val/loss", best=value, metrics={"test/accuracy": value},
    )  # fmt: skip


def test_settings_are_compared_by_seed():
    runs = [run(model, seed, value + seed / 100) for model, value in (("mlp", 0.8), ("cnn", 0.9)) for seed in range(4)]
    for place, each in enumerate(runs):  # not exactly the same difference with each seed
        each.metrics["test/accuracy"] += 0.001 * (place % 3)
    (line,) = repeated.sentences(runs, ["test/accuracy"])
    assert line.startswith("test/accuracy: model=cnn (0.916")
    assert "4 seeds) is better than model=mlp (0.81" in line


def test_small_differences_are_not_claimed():
    runs = [run("mlp", seed, value) for seed, value in enumerate((0.8, 0.9, 0.85))]
    runs += [run("cnn", seed, value) for seed, value in enumerate((0.9, 0.8, 0.86))]
    (line,) = repeated.sentences(runs, ["test/accuracy"])
    assert "cannot be distinguished from" in line


def test_without_repeated_seeds_nothing_is_said():
    assert repeated.sentences([run("mlp", 0, 0.8), run("cnn", 0, 0.9)], ["test/accuracy"]) == []
    assert repeated.sentences([run("mlp", 0, 0.8), run("mlp", 1, 0.9)], ["test/accuracy"]) == []  # one setting
    others = [run("mlp", 0, 0.8), run("mlp", 1, 0.8), run("cnn", 2, 0.9), run("cnn", 3, 0.9)]
    assert repeated.sentences(others, ["test/accuracy"]) == []  # no seed in common
