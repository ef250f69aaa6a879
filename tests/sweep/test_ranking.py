"""Points are ranked by their means; what cannot be distinguished from the best is marked, and the cheapest of it named."""

import math
import random
from dataclasses import replace

import pytest

from tests.sweep.trials import sweep, trial
from trainctl.sweep.ranking import contenders, find_answer
from trainctl.sweep.statistics import Blocks, half_width

THREE = {
    "0.1": [0.90, 0.92, 0.91, 0.93, 0.92],
    "0.2": [0.91, 0.92, 0.92, 0.93, 0.91],
    "0.3": [0.5, 0.6, 0.55, 0.5, 0.52],
}


def ranking(trials, monitor="val/accuracy", monitors=()):
    return find_answer(trials, monitor, monitors).rankings[0]


def verdicts(trials, monitor="val/accuracy"):
    return {each.words[0].partition("=")[2]: each.verdict for each in ranking(trials, monitor).standings}


def test_a_point_is_one_row_with_its_mean_and_interval():
    first = ranking(sweep(THREE)).standings[0]
    assert (first.words, first.verdict, len(first.trials)) == (("optimizer.lr=0.2",), "best", 5)
    assert first.mean == pytest.approx(0.918)
    assert first.half_width == pytest.approx(half_width(THREE["0.2"], Blocks(tuple(range(5)), (0,) * 5)))


def test_what_cannot_be_told_from_the_best_is_marked():
    answer = ranking(sweep(THREE))
    assert verdicts(sweep(THREE)) == {"0.2": "best", "0.1": "tied", "0.3": "worse"}
    assert answer.indistinct == {0, 1}
    assert answer.compared


def test_the_order_of_the_trials_changes_nothing():
    trials = sweep(THREE)
    shuffled = random.Random(0).sample(trials, len(trials))
    assert [(each.point, each.verdict) for each in ranking(shuffled).standings] == [
        (1, "best"),
        (0, "tied"),
        (2, "worse"),
    ]


def test_smaller_losses_are_better():
    assert verdicts(sweep(THREE), "val/loss") == {"0.3": "best", "0.1": "worse", "0.2": "worse"}


@pytest.mark.parametrize(
    ("cost", "cheapest"),
    [
        ([(10.0, 100), (5.0, 900), (1.0, 1)], 1),  # the third is cheaper, but worse
        ([(5.1, 100), (5.0, 900), (1.0, 1)], 0),  # the times are alike, so that the parameters decide
        ([(5.0, 100), (5.0, 100), (1.0, 1)], 1),  # alike in both: the best
    ],
)
def test_the_cheapest_is_named_by_time_and_then_by_parameters(cost, cheapest):
    trials = [replace(each, seconds=cost[each.point][0], parameters=cost[each.point][1]) for each in sweep(THREE)]
    assert ranking(trials).cheapest.point == cheapest


def test_one_seed_has_no_interval_and_makes_no_claim():
    answer = ranking(sweep({"0.1": [0.9], "0.2": [0.1]}))
    assert [each.verdict for each in answer.standings] == ["best", "untold"]
    assert [each.half_width for each in answer.standings] == [None, None]
    assert answer.cheapest is None
    assert not answer.compared


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_value_that_is_missing_or_not_finite_is_left_out(missing):
    answer = ranking(sweep(THREE | {"0.1": [0.90, missing, 0.91, 0.93, 0.92]}))
    assert {each.point: len(each.values) for each in answer.standings} == {0: 4, 1: 5, 2: 5}


def test_points_that_were_not_trained_in_full_follow_by_how_far_they_came():
    trials = [
        trial(0, ["lr=1"], value=0.1),
        trial(1, ["lr=2"], status="failed", value=0.99),
        trial(2, ["lr=3"], status="pruned", value=0.8, rungs={1: 0.8}),
        trial(3, ["lr=4"], status="pruned", value=0.7, rungs={1: 0.6, 3: 0.7}),
        trial(4, ["lr=5"], status="paused", value=0.9, rungs={1: 0.9}),
        trial(5, ["lr=6"], status="waiting", value=None),
        trial(6, ["lr=7"], status="pruned", value=None, rungs={}),
        trial(7, ["lr=8"], status="stopped", value=None),
    ]
    assert [(each.point, each.verdict) for each in ranking(trials).standings] == [
        (0, "best"), (3, "pruned"), (4, "paused"), (2, "pruned"), (1, "failed"), (5, "waiting"), (6, "pruned"),
        (7, "paused"),
    ]  # fmt: skip


def test_only_failures_have_no_best():
    answer = ranking(sweep({"0.1": [None, None], "0.2": [None, None]}))
    assert answer.best is None
    assert answer.indistinct == frozenset()
    assert contenders(answer) == []


def test_no_trial_has_no_ranking():
    assert find_answer([], "val/loss").rankings == ()


def test_seeds_and_splits_that_vary_independently_are_both_respected():
    def values(effect):
        return [
            replace(trial(0, ["lr=1"], value=value), replicate=(f"seed={seed}", f"split.seed={split}"))
            for seed in range(3)
            for split in range(3)
            for value in [effect * split + 0.01 * seed + 0.001 * seed * split]
        ]

    assert ranking(values(0.1)).standings[0].half_width > 5 * ranking(values(0.0)).standings[0].half_width
    # nine values of three splits: not as precise as nine independent ones, whose interval is below 0.07
    assert ranking(values(0.1)).standings[0].half_width > 0.2


def test_fresh_seeds_give_the_numbers_to_quote_and_do_not_change_the_ranking():
    trials = sweep(THREE)
    fresh = [
        replace(each, confirms=True, replicate=(f"seed={100 + number}",), value=value, metrics={"test/accuracy": value})
        for point, values in ((1, [0.85, 0.86, 0.87]), (0, [0.88, 0.89, 0.91]))
        for each in trials[5 * point : 5 * point + 1]
        for number, value in enumerate(values)
    ]
    plain, confirmed = ranking(trials), ranking(trials + fresh)
    assert confirmed.standings == plain.standings
    first, second = confirmed.confirmations
    assert (first.point, first.mean, first.worse) == (0, pytest.approx(0.8933, abs=1e-4), False)
    assert (second.point, second.mean, second.worse) == (1, pytest.approx(0.86), True)
    assert second.metrics["test/accuracy"] == (pytest.approx(0.86), pytest.approx(second.half_width))


def test_the_winner_and_the_runner_up_are_to_be_confirmed():
    assert [each.point for each in contenders(ranking(sweep(THREE)))] == [1, 0]
    assert [each.point for each in contenders(ranking(sweep({"0.1": [0.5]})))] == [0]


def test_each_data_set_has_a_ranking_and_all_of_them_mean_ranks():
    results = {
        ("iris", "adam"): 0.9,
        ("iris", "sgd"): 0.8,
        ("wine", "adam"): 0.3,
        ("wine", "sgd"): 0.1,
        ("wine", "x"): 0.9,
    }
    trials = [
        trial(point, [f"dataset={dataset}", f"optimizer={optimizer}"], value=value)
        for point, ((dataset, optimizer), value) in enumerate(results.items())
    ]
    answer = find_answer(trials, "val/accuracy")
    assert [each.dataset for each in answer.rankings] == [("dataset=iris",), ("dataset=wine",)]
    assert [each.best.point for each in answer.rankings] == [0, 4]
    assert [(each.words, each.ranks, each.mean) for each in answer.overall] == [
        (("optimizer=adam",), (1, 1), 1),
        (("optimizer=sgd",), (2, 2), 2),
    ]


def test_one_data_set_has_no_mean_ranks():
    assert find_answer(sweep(THREE), "val/accuracy").overall == ()


def test_the_front_of_several_metrics_has_the_points_that_no_other_dominates():
    values = [(0.9, 1.0), (0.8, 0.5), (0.7, 0.6), (0.9, 1.2), (0.8, 0.5), (0.95, math.nan)]
    trials = [
        trial(point, [f"lr={point}"], value=accuracy, values={"val/accuracy": accuracy, "val/loss": loss})
        for point, (accuracy, loss) in enumerate(values)
    ]
    monitors = ("val/accuracy", "val/loss")
    front = {each.point for each in ranking(trials, monitors=monitors).standings if each.front}
    assert front == {0, 1, 4}
    assert not any(each.front for each in ranking(trials).standings)
