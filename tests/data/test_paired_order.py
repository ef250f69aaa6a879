"""Rows with and without a label are visited together: fixed numbers of both, derived from the step."""

from itertools import islice

import pytest
import torch

from trainctl.data.paired_order import PairedOrder
from trainctl.data.rows import ResidentRows

CPU = torch.device("cpu")


def order(labeled: int = 10, free: int = 50, size: int = 4, more: int = 8, seed: int = 0) -> PairedOrder:
    """Return an order in which each row contains its number; rows without a label begin at 1000."""
    known = ResidentRows(torch.arange(labeled).float()[:, None], torch.arange(labeled))
    unknown = ResidentRows(1000 + torch.arange(free).float()[:, None], torch.full((free,), -1))
    taught = torch.cat([known.inputs, unknown.inputs]) * 2
    return PairedOrder(known, unknown, size, more, seed, CPU, taught)


def test_every_batch_has_the_same_number_of_both() -> None:
    for inputs, targets, taught in islice(order().batches(0), 30):
        assert len(targets) == 4
        assert (inputs[:4, 0] < 1000).all()
        assert (inputs[4:, 0] >= 1000).all()
        assert len(inputs) == 12
        assert torch.equal(inputs[:4, 0].long(), targets)
        assert torch.equal(taught, 2 * inputs)


def test_an_epoch_lasts_until_every_row_was_visited() -> None:
    assert order().steps_per_epoch == 7  # 50 rows, 8 at a time
    assert order(labeled=100).steps_per_epoch == 25
    seen = torch.cat([inputs[:, 0] for inputs, _, _ in islice(order().batches(0), 7)])
    assert set(seen.tolist()) == {*range(10), *range(1000, 1050)}


def test_a_pass_visits_each_row_once_and_fills_its_last_batch() -> None:
    free = [inputs[4:, 0].tolist() for inputs, _, _ in islice(order().batches(0), 7)]
    first = [row for batch in free for row in batch]
    assert len(set(first[:50])) == 50
    assert first[50:] == first[:6]


def test_passes_are_shuffled_anew_and_both_kinds_differently() -> None:
    free = [inputs[4:, 0].tolist() for inputs, _, _ in islice(order().batches(0), 14)]
    assert free[0] != free[7]
    same = order(labeled=50, size=8)
    known, unknown = next(same.batches(0))[0].split([8, 8])
    assert not torch.equal(known, unknown - 1000)


@pytest.mark.parametrize("step", [1, 6, 7, 20, 101])
def test_batches_are_a_function_of_the_step(step: int) -> None:
    whole = list(islice(order().batches(0), step + 1))[-1]
    assert all(map(torch.equal, whole, next(order().batches(step))))
    assert not torch.equal(whole[0], next(order(seed=1).batches(step))[0])


def test_numbers_and_visits_are_those_of_the_batch() -> None:
    chosen = order()
    for step in (0, 3, 9):
        inputs, _, _ = next(chosen.batches(step))
        rows = [int(value) if value < 1000 else int(value) - 1000 + 10 for value in inputs[:, 0]]
        assert chosen.row_numbers(step) == rows
        assert chosen.visit(step, 1, 3).rows.tolist() == rows[1:4]
        assert chosen.visit(step, 2, 5, unlabeled=True).rows.tolist() == rows[6:11]
    assert chosen.visit(9, 0, 1).epoch == 3  # three steps through the rows with a label
    assert chosen.visit(9, 0, 1, unlabeled=True).epoch == 1


def test_few_labels_are_all_in_every_batch_in_their_order() -> None:
    for _, targets, _ in islice(order(labeled=3, size=3).batches(0), 4):
        assert targets.tolist() == [0, 1, 2]
