"""The expected calibration error equals a computation by hand, and codes in two dimensions those of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from trainctl.finished.calibration import Bin, by_confidence, by_prediction, expected_error
from trainctl.finished.projection import neighbours, principal


def test_the_expected_calibration_error_equals_a_computation_by_hand():
    """Of ten intervals: 0.95 and 0.92 (one right of two), 0.55 (right), 0.5 and 0.45 (none right), 1.0 (right)."""
    confidences = np.array([0.95, 0.92, 0.55, 0.5, 0.45, 1.0])
    right = np.array([True, False, True, False, False, True])
    bins = by_confidence(confidences, right, 10)
    assert [one.rows for one in bins] == [2, 1, 3]  # 0.5 belongs to the interval that ends there
    by_hand = (2 * abs(0 - 0.475) + 1 * abs(1 - 0.55) + 3 * abs(2 / 3 - (0.95 + 0.92 + 1.0) / 3)) / 6
    assert expected_error(bins) == pytest.approx(by_hand, abs=1e-12)


def test_perfect_confidence_has_no_error_and_overconfidence_its_size():
    assert expected_error(by_confidence(np.array([1.0, 1.0]), np.array([True, True]))) == 0
    assert expected_error(by_confidence(np.full(4, 0.9), np.array([True, False, True, False]))) == pytest.approx(0.4)
    assert expected_error([]) == 0


def test_predictions_are_compared_in_intervals_with_as_many_rows():
    predictions, targets = np.arange(40.0)[::-1].copy(), np.arange(40.0)[::-1] + 3
    bins = by_prediction(predictions, targets)
    assert [one.rows for one in bins] == [10] * 4
    assert bins[0] == Bin(10, 4.5, 7.5)
    assert expected_error(bins) == pytest.approx(3)
    assert [one.rows for one in by_prediction(np.ones(3), np.ones(3))] == [3]


def test_the_principal_components_are_those_of_scikit_learn():
    torch.manual_seed(0)
    codes = torch.randn(50, 6) * torch.tensor([5, 3, 1, 1, 1, 1.0])
    found, theirs = principal(codes), PCA(2).fit(codes.double().numpy())
    np.testing.assert_allclose(np.abs(found.places), np.abs(theirs.transform(codes.double().numpy())), atol=1e-6)
    shares = [f"{share:.0%}" for share in theirs.explained_variance_ratio_]
    assert found.axes == tuple(
        f"component {number} ({share} of the variance)" for number, share in enumerate(shares, 1)
    )


@pytest.mark.parametrize("codes", [torch.zeros(4, 3), torch.arange(5.0)[:, None], torch.ones(3, 1)])
def test_codes_that_do_not_vary_or_have_one_number_are_placed(codes):
    found = principal(codes)
    assert found.places.shape == (len(codes), 2)
    assert np.isfinite(found.places).all()
    assert np.isfinite(neighbours(codes, 0).places).all()
