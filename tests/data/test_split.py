"""Rows are splits to training, validation and test exactly, evenly over the classes, and from the seed alone."""

import pytest
import torch

from trainctl.components.dataset.base import Dataset
from trainctl.data.order import epoch_order
from trainctl.data.split import split_rows
from trainctl.errors import DataError
from trainctl.settings.config import Split

SIZES = [
    # rows, val fraction, test fraction, validation, test, reason
    (100, 0.15, 0.15, 15, 15, "shares of all rows"),
    (100, 0.1, 0.5, 10, 50, "validation is a share of all rows, not of the rest"),
    (10, 0.01, 0.01, 1, 1, "never less than a row"),
    (7, 0.2, 0.2, 1, 1, "rounded down"),
    (8, 0.2, 0.2, 2, 2, "rounded up"),
    (3, 0.3, 0.3, 1, 1, "one row each"),
    (1797, 0.15, 0.15, 270, 270, "digits"),
]


def classes(counts, test_rows=0):
    targets = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    targets = targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(9))]
    return Dataset(
        torch.zeros(len(targets), 1),
        targets,
        "classification",
        tuple(map(str, range(len(counts)))),
        test_rows=test_rows,
    )


def numbers(rows):
    return Dataset(torch.zeros(rows, 1), torch.zeros(rows, 1), "regression", target_names=("y",))


def counted(dataset, rows):
    return torch.bincount(dataset.targets[rows], minlength=dataset.outputs).double()


@pytest.mark.parametrize(
    "make", [lambda rows: classes([rows - rows // 3, rows // 3]), numbers], ids=["classes", "numbers"]
)
@pytest.mark.parametrize(
    ("rows", "val", "test", "val_rows", "test_rows", "reason"), SIZES, ids=[row[-1] for row in SIZES]
)
def test_splits_have_exactly_their_size(make, rows, val, test, val_rows, test_rows, reason):
    splits = split_rows(make(rows), Split(val, test, 0))
    assert {name: len(index) for name, index in splits.items()} == {
        "train": rows - val_rows - test_rows,
        "val": val_rows,
        "test": test_rows,
    }


@pytest.mark.parametrize(
    "dataset",
    [classes([50, 30, 1]), classes([50, 30, 20], test_rows=25), numbers(81)],
    ids=["classes", "own test", "numbers"],
)
def test_splits_are_disjoint_complete_and_sorted(dataset):
    splits = split_rows(dataset, Split(0.2, 0.1, 3))
    assert torch.cat(list(splits.values())).sort().values.tolist() == list(range(len(dataset.inputs)))
    assert all(index.tolist() == sorted(index.tolist()) for index in splits.values())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counts", [[50, 50], [178, 182, 177, 183, 181], [90, 9, 1], [3, 5, 7, 11, 13]], ids=str)
@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.1, 0.4), (0.3, 0.3)])
def test_every_split_has_its_share_of_every_class_to_within_one_row(counts, val, test, seed):
    dataset = classes(counts)
    splits = split_rows(dataset, Split(val, test, seed))
    total = counted(dataset, torch.arange(len(dataset.inputs)))
    rest = total - counted(dataset, splits["test"])
    share = len(splits["test"]) / total.sum()
    assert (counted(dataset, splits["test"]) - share * total).abs().max() < 1
    share = len(splits["val"]) / rest.sum()
    assert (counted(dataset, splits["val"]) - share * rest).abs().max() < 1


def test_the_sources_own_test_rows_are_the_test_split():
    splits = split_rows(classes([60, 40], test_rows=20), Split(0.25, 0.15, 0))
    assert splits["test"].tolist() == list(range(80, 100))
    assert len(splits["val"]) == 20  # a quarter of the other 80
    assert splits["val"].max() < 80


@pytest.mark.parametrize(
    "dataset", [classes([50, 30]), classes([50, 30], test_rows=10), numbers(80)], ids=["classes", "own test", "numbers"]
)
def test_the_same_seed_deals_the_same_rows_and_another_seed_others(dataset):
    first, again, other = (split_rows(dataset, Split(0.2, 0.2, seed)) for seed in (1, 1, 2))
    torch.manual_seed(5)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["val"], other["val"])


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (numbers(0), "no row"),
        (numbers(1), "one row"),
        (numbers(2), "nothing is left to train on"),
        (classes([1, 1]), "of classes, too"),
        (classes([2, 2], test_rows=3), "one row beside the test rows"),
        (classes([2, 2], test_rows=4), "test rows only"),
    ],
)
def test_too_few_rows_are_an_error_that_counts_them(dataset, reason):
    with pytest.raises(DataError, match=rf"^{len(dataset.inputs)} (row is|rows are) too few"):
        split_rows(dataset, Split(0.15, 0.15, 0))


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_an_epoch_visits_every_row_once(rows):
    assert sorted(epoch_order(rows, 0, 3).tolist()) == list(range(rows))


def test_the_order_is_a_function_of_seed_and_epoch():
    order = {(seed, epoch): epoch_order(50, seed, epoch).tolist() for seed in range(4) for epoch in range(4)}
    torch.manual_seed(1)
    torch.rand(3)
    assert all(epoch_order(50, seed, epoch).tolist() == rows for (seed, epoch), rows in reversed(order.items()))
    assert len({tuple(rows) for rows in order.values()}) == len(order)
