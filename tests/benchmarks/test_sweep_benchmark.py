"""The simulation of pruning: what it costs and finds on curves whose answer is known."""

import json
from pathlib import Path

import pytest

from benchmarks import asha, sweep

# Nine points that keep their order from the first epoch on: the first is the best.
ORDERLY = {f"p{number}": [(1 + number / 10) / epoch for epoch in range(1, 10)] for number in range(9)}


def test_without_pruning_every_point_is_trained_in_full():
    outcome = asha.simulate(ORDERLY, list(ORDERLY), ["sweep.prune=none"], workers=2)
    assert outcome == asha.Outcome(epochs=81, best="p0", finished=9)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_asha_trains_only_the_best_in_full(workers):
    outcome = asha.simulate(ORDERLY, list(ORDERLY), ["sweep.prune=asha", "sweep.rungs=[1,3]"], workers=workers)
    assert (outcome.best, outcome.finished) == ("p0", 1)
    assert outcome.epochs == 9 * 1 + 3 * 2 + 1 * 6  # a third of each rung is promoted


def test_a_late_bloomer_is_lost_by_an_early_rung_and_found_by_a_later_one():
    curves = ORDERLY | {"late": [9, 9, 0.05, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04]}
    early = asha.simulate(curves, list(curves), ["sweep.prune=asha", "sweep.rungs=[1]"], workers=2)
    later = asha.simulate(curves, list(curves), ["sweep.prune=asha", "sweep.rungs=[3]"], workers=2)
    assert (early.best, later.best) == ("p0", "late")


def test_training_all_for_some_epochs_costs_what_it_must():
    assert asha.first_epochs(ORDERLY, 3, 2) == asha.Outcome(epochs=9 * 3 + 2 * 6, best="p0", finished=2)


def test_curves_are_read_by_seed(tmp_path: Path):
    for point in ("0-lr=0.1", "1-lr=0.2"):
        for seed in (0, 1):
            place = tmp_path / f"{point},seed={seed}"
            place.mkdir()
            rows = [{"epoch": epoch, "val/loss": seed + epoch} for epoch in (1, 2)] + [{"test/loss": 5}]
            (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = asha.recorded(tmp_path, "val/loss")
    assert first == {"0-lr=0.1": [1, 2], "1-lr=0.2": [1, 2]}
    assert second["0-lr=0.1"] == [2, 3]
    (tmp_path / "single" / "0-lr=0.1").mkdir(parents=True)
    (tmp_path / "single" / "0-lr=0.1" / "metrics.jsonl").write_text('{"val/loss": 7}\n')
    assert asha.recorded(tmp_path / "single", "val/loss") == [{"0-lr=0.1": [7]}]


def test_a_table_names_each_method_with_its_cost_and_its_hits():
    text = asha.table("orderly", [ORDERLY], orders=3, workers=2)
    assert "| all for 3 epochs, then the top 3 | 1.8 (1.8..1.8) | 1.00 |" in text
    assert text.count("| 1.00 |") >= 3


def test_the_networks_of_the_race_have_the_same_number_of_parameters():
    from benchmarks.peers import sweep_digits
    from trainctl.run import assemble
    from trainctl.settings import compose

    words = [
        "dataset=digits",
        "model=mlp",
        "model.norm=none",
        "model.dropout=0",
        "model.hidden=[64]",
        "loop.batch_size=32",
    ]
    made = assemble.assemble(compose.compose(words))
    theirs = sweep_digits.network(64)
    assert made.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    train, val, _ = sweep_digits.digits()
    assert abs(len(train[0]) - len(made.data.splits["train"])) <= 2
    assert abs(len(val[0]) - len(made.data.splits["val"])) <= 2


def test_a_module_that_is_missing_or_lies_in_a_missing_package_is_not_installed():
    assert sweep.is_installed("json")
    assert not sweep.is_installed("no_such_module")
    assert not sweep.is_installed("no_such_package.module")
