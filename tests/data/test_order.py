"""The order in which rows are visited: a function of the step, whoever asks for it."""

import pytest
import torch

from trainctl.data import order
from trainctl.data.order import Order
from trainctl.data.rows import ResidentRows

CPU = torch.device("cpu")


def made(rows: int = 10, batch_size: int = 4, seed: int = 5) -> Order:
    return Order(ResidentRows(torch.arange(rows)[:, None], torch.arange(rows)), batch_size, seed, CPU)


def visited(of: Order, step: int, count: int) -> list[list[int]]:
    """Return the rows of the batches of so many steps."""
    return [targets.tolist() for _, (_, targets) in zip(range(count), of.batches(step), strict=False)]


def test_each_epoch_visits_every_row_once_in_an_order_of_its_own() -> None:
    batches = visited(made(), 0, 9)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [[row for batch in batches[start : start + 3] for row in batch] for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


@pytest.mark.parametrize("start", range(8))
def test_batches_from_any_step_are_those_of_an_order_from_the_start(start: int) -> None:
    assert visited(made(), start, 5) == visited(made(), 0, 13)[start : start + 5]


@pytest.mark.parametrize("portion", [1, 100, 1 << 20])
def test_how_many_batches_are_gathered_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, portion: int) -> None:
    expected = visited(made(), 2, 7)
    monkeypatch.setattr(order, "GATHERED_BYTES", portion)
    assert visited(made(), 2, 7) == expected


@pytest.mark.parametrize("batch_size", [4, 10])
def test_the_rows_of_a_step_are_those_of_its_batch(batch_size: int) -> None:
    one = made(batch_size=batch_size)
    for step, batch in enumerate(visited(one, 0, 8)):
        assert one.row_numbers(step) == batch
        visit = one.visit(step, 1, len(batch) - 1)  # without the first row, as the second part of a batch
        assert (visit.epoch, visit.rows.tolist()) == (step // one.steps_per_epoch, batch[1:])


def test_a_full_batch_has_no_order_and_is_not_copied() -> None:
    one = made(batch_size=10)
    (inputs, targets), _ = next(one.batches(3)), one
    assert targets.tolist() == list(range(10))
    assert inputs.data_ptr() == one.rows.inputs.data_ptr()  # type: ignore[attr-defined]
