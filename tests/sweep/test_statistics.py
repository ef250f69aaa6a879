"""Points are called worse than the best in at most 5 % of sweeps in which they are not, and in most in which they are."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.soak import cases, seed
from trainctl.sweep.statistics import Blocks, adjusted_means, compare, half_width

POINTS, SEEDS = 20, 5
NAN = math.nan


def blocks(seeds, splits=1):
    """Return the blocks of so many seeds by so many splits."""
    return Blocks(
        tuple(number for number in range(seeds) for _ in range(splits)),
        tuple(number for _ in range(seeds) for number in range(splits)),
    )


def normal(source, points, seeds):
    """Return equal points whose values depend on the seed, too."""
    return source.normal(size=(points, seeds)) + 2 * source.normal(size=seeds)


def spread(*deviations):
    """Return equal points with a standard deviation each."""
    return lambda source: source.normal(size=(len(deviations), SEEDS)) * np.array(deviations)[:, None]


def missing(source):
    values = normal(source, POINTS, SEEDS)
    values[source.random(values.shape) < 0.2] = NAN
    return values


def racing(source):
    """All points have two seeds, the better half three, and the best quarter five."""
    values = normal(source, POINTS, SEEDS)
    for done, kept in ((2, 10), (3, 5)):
        means = np.where(np.isnan(values[:, :done]).any(1), -np.inf, values[:, :done].mean(1))
        values[np.argsort(-means)[kept:], done:] = NAN
    return values


def crossed(source):
    """Seeds and splits each have an effect of their own on each point."""
    both = source.normal(size=(POINTS, 5, 1)) + source.normal(size=(POINTS, 1, 5))
    return (both + 0.5 * source.normal(size=(POINTS, 5, 5))).reshape(POINTS, 25)


def worse_than(values, deviations=3.0, point=7):
    values[point] -= deviations
    return values


EQUAL = {  # name: (a maker of sweeps whose points are equal, the share in which any may be called worse)
    "20 points, 5 seeds": (lambda source: normal(source, POINTS, SEEDS), 0.05),
    "20 points, 3 seeds": (lambda source: normal(source, POINTS, 3), 0.05),
    "20 points, 2 seeds": (lambda source: normal(source, POINTS, 2), 0.05),
    "2 points": (lambda source: normal(source, 2, SEEDS), 0.05),
    "3 points, 3 seeds": (lambda source: normal(source, 3, 3), 0.05),
    "4 points": (lambda source: normal(source, 4, SEEDS), 0.05),
    "a fifth is missing": (missing, 0.05),
    "better points have more seeds": (racing, 0.05),
    "5 seeds by 5 splits": (crossed, 0.05),
    "one point varies 10 times as much": (spread(10, *[1] * 19), 0.05),
    "a quarter varies 5 times as much": (spread(*[5] * 5, *[1] * 15), 0.05),
    "3 points, one varies 5 times as much": (spread(1, 1, 5), 0.05),
}
DIFFERENT = {  # name: (a maker of sweeps in which point 7 is 3 deviations worse, the least share in which it is found)
    "5 seeds": (lambda source: worse_than(normal(source, POINTS, 5)), 0.95),
    "3 seeds": (lambda source: worse_than(normal(source, POINTS, 3)), 0.75),
    "5 seeds, a fifth is missing": (lambda source: worse_than(missing(source)), 0.65),
    "another point diverged": (
        lambda source: worse_than(spread(30, *[1] * 19)(source)) - 100 * np.eye(20)[:, :1],
        0.45,
    ),
}


def claims(name, make, point=None):
    """Return in how many sweeps any point, or the given one, is called worse, of how many."""
    total = cases(50)
    source = np.random.default_rng(seed(name).randrange(2**32))
    found = 0
    for _ in range(total):
        values = make(source)
        comparison = compare(values, blocks(5, 5) if values.shape[1] == 25 else blocks(values.shape[1]), maximize=True)
        found += comparison.worse.any() if point is None else comparison.worse[point]
    return int(found), total


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", EQUAL)
def test_equal_points_are_seldom_told_apart(name):
    make, share = EQUAL[name]
    found, total = claims(name, make)
    assert found <= share * total + 4 * math.sqrt(share * (1 - share) * total), f"{found} of {total}"


@pytest.mark.soak
@pytest.mark.parametrize("name", DIFFERENT)
def test_a_point_that_is_three_deviations_worse_is_found(name):
    make, share = DIFFERENT[name]
    found, total = claims(name, make, point=7)
    assert found >= share * total - 4 * math.sqrt(share * (1 - share) * total), f"{found} of {total}"


def test_two_points_are_compared_by_the_paired_t_test():
    source = np.random.default_rng(0)
    for _ in range(200):
        values = source.normal(size=(2, 4)) + np.array([[1.5], [0.0]])
        p = stats.ttest_rel(*values).pvalue
        assert compare(values, blocks(4), maximize=True).worse.any() == (p < 0.05)


def test_what_a_seed_does_to_all_points_cancels():
    effect = np.array([0.0, 100.0, -50.0, 20.0])
    values = np.array([[0.90, 0.91, 0.92, 0.90], [0.80, 0.82, 0.81, 0.80]])
    plain, shifted = (compare(each, blocks(4), maximize=True) for each in (values, values + effect))
    assert plain.worse.tolist() == shifted.worse.tolist() == [False, True]


def test_smaller_is_better_unless_the_metric_is_maximized():
    values = np.array([[0.10, 0.11, 0.12], [0.90, 0.93, 0.94]])
    assert compare(values, blocks(3), maximize=False).best == 0
    assert compare(values, blocks(3), maximize=True).best == 1
    assert compare(values, blocks(3), maximize=False).means.tolist() == pytest.approx([0.11, 0.92333], abs=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        [[0.9], [0.1]],  # one seed
        [[0.9, 0.9], [0.9, 0.9]],  # equal values
        [[0.9, 0.9], [0.8, 0.8]],  # no variation from which to judge: accuracies of a few rows are often equal
        [[0.9, 0.95], [0.1, NAN]],  # one seed in common
        [[0.9, NAN], [NAN, 0.1]],  # none
        [[NAN, NAN], [NAN, NAN]],
        [[0.9, math.inf], [0.1, -math.inf]],
        [[0.9, 0.8, 0.7]],  # one point
    ],
    ids=str,
)
def test_without_variation_to_judge_by_there_is_no_claim(values):
    array = np.array(values)
    assert not compare(array, blocks(array.shape[1]), maximize=True).worse.any()


def test_no_value_has_no_best():
    assert compare(np.full((2, 3), NAN), blocks(3), maximize=True).best is None


def test_a_point_with_one_lucky_seed_is_not_the_best():
    values = np.array([[0.5, 0.6, 0.55], [0.9, NAN, NAN], [0.4, 0.45, 0.5]])
    comparison = compare(values, blocks(3), maximize=True)
    assert comparison.best == 0
    assert comparison.tested.tolist() == [False, False, True]


def test_means_are_those_of_the_same_seeds():
    values = np.array([[1.0, 2.0, 30.0], [1.5, 2.5, NAN], [1.0, 2.0, 30.0], [1.0, 2.0, 30.0]])
    means = adjusted_means(values)
    assert means[1] > means[0] == means[2]
    assert np.allclose(adjusted_means(values[:, :2]), values[:, :2].mean(1))


def test_the_interval_is_that_of_student():
    values = [0.91, 0.93, 0.90, 0.94, 0.92]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert half_width(values, blocks(5)) == pytest.approx((high - low) / 2)
    assert half_width([*values, NAN], blocks(6)) == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("values", [[0.5], [0.5, NAN], [NAN, NAN], []])
def test_one_value_has_no_interval(values):
    assert half_width(values, blocks(len(values))) is None


@pytest.mark.soak
def test_the_interval_of_seeds_by_splits_contains_the_mean():
    source = np.random.default_rng(seed("interval").randrange(2**32))
    total, misses = cases(200), 0
    for _ in range(total):
        values = (source.normal(size=(5, 1)) + source.normal(size=(1, 5)) + source.normal(size=(5, 5))).ravel()
        width = half_width(values, blocks(5, 5))
        misses += abs(values.mean()) > width
    assert misses <= 0.05 * total + 4 * math.sqrt(0.05 * 0.95 * total)
