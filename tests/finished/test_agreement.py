"""How far an exported file may be from `predict`."""

import numpy as np
import pytest

from trainctl.errors import ToleranceError
from trainctl.finished import agreement
from trainctl.finished.agreement import Expected, largest_difference

ROWS = np.arange(14.0)[:, None]


def expected() -> Expected:
    return Expected(ROWS, {"values": 2 * ROWS}, {"values": np.array(1e-4)})


def test_rows_are_compared_one_two_and_seven_at_a_time() -> None:
    sizes = []

    def compute(rows: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(rows))
        return {"values": 2 * rows + 1e-5 * (rows == 3)}

    assert largest_difference(expected(), compute, "run") == pytest.approx(1e-5)
    assert sizes == [1] * 14 + [2] * 7 + [7] * 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda rows: {"values": 2 * rows + (rows == 5)}, r"run: .*: values by 1 \(tolerated: 0\.0001\); nothing was written"),
        (lambda rows: {"values": 2 * rows + np.nan * (rows == 5)}, r"values by inf"),
        (lambda rows: {"values": 2 * rows[:1]}, r"values is of shape \(1, 1\), not \(2, 1\), for 2 rows"),
        (lambda rows: {}, "values is missing for 1 row"),
    ],
)  # fmt: skip
def test_the_largest_difference_is_named(answer, message: str) -> None:
    with pytest.raises(ToleranceError, match=message) as raised:
        largest_difference(expected(), answer, "run")
    assert raised.value.exit_code == 9


def test_tolerance_is_a_fraction_of_what_the_model_sees_and_not_of_the_unit() -> None:
    values = np.array([[1e6], [1e6 + 3]])  # mean 1e6, deviation 3
    tolerance = agreement._tolerance(values, (values - 1e6) / 3, np.array([3.0]))
    assert tolerance.shape == (2, 1)
    assert tolerance.min() >= 3e-4
    assert tolerance.max() <= 0.3  # the last digits of float32 at 1e6 are 0.06


def test_probabilities_of_large_logits_may_differ_more() -> None:
    _, close = agreement._probabilities(np.array([[0.4, 0.6]]))
    _, far = agreement._probabilities(np.array([[0.0, 1.0]]))
    assert close["probabilities"] == pytest.approx(1e-4)
    assert far["probabilities"] == pytest.approx(1.036e-3, rel=1e-2)
