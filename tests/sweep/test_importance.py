"""A setting's importance is the share of the variance that its values explain."""

import itertools
import random

import pytest

from tests.sweep.trials import trial
from trainctl.sweep.importance import importances
from trainctl.sweep.ranking import find_answer


def standings(rows):
    trials = [trial(point, words, **more) for point, (words, more) in enumerate(rows)]
    return find_answer(trials, "val/accuracy").standings


def grid(metric, *sizes):
    """Return the points of a grid, with the metric of each."""
    choices = itertools.product(*(range(size) for size in sizes))
    return [([f"k{axis}={value}" for axis, value in enumerate(point)], {"value": metric(point)}) for point in choices]


def test_the_setting_that_decides_has_nearly_all():
    shares = importances(standings(grid(lambda point: point[0] + 0.001 * point[1], 4, 5)), maximize=True)
    assert list(shares) == ["k0", "k1"]
    assert shares["k0"] > 0.9
    assert shares["k1"] < 0.1


def test_settings_without_effect_have_nothing_on_average():
    source = random.Random(0)
    found = [
        importances(standings(grid(lambda point: source.random(), 3, 3, 3)), maximize=True)["k0"] for _ in range(40)
    ]
    assert sum(found) / len(found) < 0.06


def test_a_diverged_point_weighs_no_more_than_another():
    points = grid(lambda point: float(point[0]), 4, 5)
    plain = importances(standings(points), maximize=True)
    points[0] = (points[0][0], {"value": -1e30})
    assert importances(standings(points), maximize=True)["k0"] == pytest.approx(plain["k0"], abs=0.02)


def test_failed_points_count_as_the_worst():
    points = [(words, {"value": None, "status": "failed"} if words[0] == "k0=3" else more)
              for words, more in grid(lambda point: 0.5 + 0.01 * point[1], 4, 5)]  # fmt: skip
    assert importances(standings(points), maximize=True)["k0"] > 0.3


def test_a_continuous_setting_is_grouped_by_size():
    source = random.Random(1)
    points = []
    for _ in range(60):
        rate, other = source.random(), source.random()
        points.append(([f"rate={rate}", f"other={other}"], {"value": rate}))
    shares = importances(standings(points), maximize=True)
    assert shares["rate"] > 0.9
    assert shares["other"] < 0.15


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(["a=1"], {})],
        [(["a=1"], {"value": 0.1}), (["a=2"], {"value": 0.2})],  # a value for each point
        [(["a=1"], {}), (["a=1"], {}), (["a=2"], {})],  # equal values
        [(["a=x"], {"value": 0.1}), (["a=y"], {"value": 0.2}), (["a=z"], {"value": 0.4})],
    ],
)
def test_what_cannot_be_estimated_is_left_out(rows):
    assert importances(standings(rows), maximize=True) == {}
