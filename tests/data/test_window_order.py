"""Rows on disk are visited in windows: each once an epoch, at a position that is found at once, whoever reads them."""

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import soak
from trainctl.components.clean.base import Cleaner
from trainctl.data.choose_order import check_batch, order_of
from trainctl.data.rows import ResidentRows
from trainctl.data.stored_rows import StoredRows
from trainctl.data.window_order import WindowOrder
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat import rows_file
from trainctl.fileformat.rows_file import RowsFile, RowsWriter
from trainctl.fileformat.stored import Stored

CPU = torch.device("cpu")
Make = Callable[..., StoredRows]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that writes rows whose first number is their own, and returns them as rows on disk."""

    def rows(count: int, block: int = 3, window: int = 2, *, every: int = 1, check: bool = True) -> StoredRows:
        monkeypatch.setattr(rows_file, "BLOCK_BYTES", block * 8)
        monkeypatch.setattr(rows_file, "WINDOW_BLOCKS", window)
        path = tmp_path / f"{count}-{block}-{window}-{len(list(tmp_path.iterdir()))}.npy"
        writer = RowsWriter(path, (2,), np.dtype(np.float32))
        values = np.stack([np.arange(count), np.arange(count) * 0.5], axis=1)
        for start in range(0, count, 5):
            writer.add(values[start : start + 5])
        file = writer.close()
        np.testing.assert_array_equal(np.load(path), values.astype(np.float32))
        if not check:
            file = RowsFile(path, file.offset, file.shape, file.dtype)
        numbers = torch.arange(0, count, every)
        return StoredRows(Stored(file, root=file.root), numbers, numbers * 10, Cleaner(), CPU)

    return rows


def visited(order: WindowOrder, step: int, count: int) -> list[list[int]]:
    """Return the numbers of the rows of the batches of so many steps, and check that inputs and targets belong together."""
    batches = []
    source = order.batches(step)
    for _ in range(count):
        inputs, targets = next(source)[:2]
        assert torch.equal(inputs[:, 0] * 10, targets.float())
        assert torch.equal(inputs[:, 1] * 2, inputs[:, 0])
        batches.append((targets // 10).tolist())
    source.close()  # type: ignore[attr-defined]
    return batches


@given(
    rows=st.integers(1, 60),
    block=st.integers(1, 7),
    window=st.integers(1, 5),
    batch=st.integers(1, 70),
    every=st.integers(1, 9),
)
@soak.generated(30)
def test_an_epoch_visits_every_row_once_and_any_step_is_found_at_once(
    make: Make, rows: int, block: int, window: int, batch: int, every: int
) -> None:
    stored = make(rows, block, window, every=every)
    order = WindowOrder(stored, batch, 7, CPU)
    steps = order.steps_per_epoch
    whole = visited(order, 0, 2 * steps)
    for epoch in (whole[:steps], whole[steps:]):
        assert sorted(chain(*epoch)) == list(range(0, rows, every))
        assert [len(each) for each in epoch[:-1]] == [batch] * (steps - 1)
    step = (rows * 7 + batch) % (2 * steps)
    assert visited(order, step, 1) == whole[step : step + 1]
    numbers = [[int(stored.numbers[row]) for row in order.row_numbers(each)] for each in range(2 * steps)]
    assert numbers == whole


@pytest.mark.parametrize("step", range(0, 40, 3))
def test_batches_from_any_step_are_those_from_the_start(make: Make, step: int) -> None:
    order = WindowOrder(make(31, 4, 3), 3, 5, CPU)
    assert visited(order, step, 6) == visited(order, 0, step + 6)[step:]


def test_epochs_and_seeds_have_different_orders_and_rows_move_further_than_a_window(make: Make) -> None:
    rows = make(200, 4, 3)
    epochs = [[*chain(*visited(WindowOrder(rows, 20, seed, CPU), start, 10))] for seed in (0, 1) for start in (0, 10)]
    assert len(set(map(tuple, epochs))) == 4
    first = epochs[0][:12]  # a window: three blocks of four rows, from anywhere
    assert len({row // 4 for row in first}) == 3
    assert max(first) - min(first) > 12


def test_a_window_that_has_all_rows_is_shuffled_anew_in_each_epoch(make: Make) -> None:
    order = WindowOrder(make(40, 4, 100), 10, 5, CPU)
    epochs = [[*chain(*visited(order, start, 4))] for start in (0, 4, 8)]
    assert len(set(map(tuple, epochs))) == 3


def test_what_is_augmented_is_told_the_numbers_of_its_rows(make: Make) -> None:
    order = WindowOrder(make(31, 4, 3, every=2), 5, 5, CPU)
    for step in range(9):
        visit = order.visit(step, 1, len(order.row_numbers(step)) - 1)
        assert (visit.epoch, visit.rows.tolist()) == (step // order.steps_per_epoch, order.row_numbers(step)[1:])
    assert order.visit(3, 0, 40).rows.shape == (40,)  # more than an epoch has: from its start again


def test_what_a_teacher_says_stays_with_its_row(make: Make) -> None:
    rows = make(17, 3, 2)
    order = WindowOrder(rows, 4, 5, CPU, taught=torch.arange(17) * 100)
    source = order.batches(0)
    for _ in range(9):
        inputs, _, words = next(source)
        assert torch.equal(inputs[:, 0] * 100, words.float())


def test_rows_come_in_any_order_in_portions_and_evenly_spaced_like_those_in_memory(make: Make) -> None:
    stored = make(40, 3, 2, every=3)
    inputs = torch.stack([stored.numbers, stored.numbers * 0.5], 1).float()
    resident = ResidentRows(inputs, stored.targets)
    indices = torch.tensor([5, 0, 13, 5, 2])
    for one, two in zip(stored.gather(indices), resident.gather(indices), strict=True):
        assert torch.equal(one, two)
    for size in (1, 4, 14, 100):
        for ours, theirs in zip(stored.portions(size), resident.portions(size), strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])
    for count in (1, 3, 14, 100):
        assert torch.equal(stored.sample(count)[0], resident.sample(count)[0])
    assert (len(stored), stored.nbytes) == (len(resident), resident.nbytes)


def test_the_next_window_is_read_meanwhile_and_only_that(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    order, loaded = WindowOrder(make(60, 3, 2), 6, 5, CPU), []
    load = WindowOrder._load
    monkeypatch.setattr(
        WindowOrder, "_load", lambda self, key: loaded.append((key, threading.current_thread().name)) or load(self, key)
    )
    source = order.batches(0)
    for _ in range(4):
        next(source)
    assert len(loaded) in (4, 5)
    assert all(name.startswith("rows") for _, name in loaded)
    source.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rows")]


def test_several_readers_read_the_same(make: Make) -> None:
    rows, found = make(300, 4, 3), {}
    expected = visited(WindowOrder(rows, 7, 5, CPU), 0, 50)
    readers = [
        threading.Thread(target=lambda one=one: found.update({one: visited(WindowOrder(rows, 7, 5, CPU), 0, 50)}))
        for one in range(4)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert all(found[one] == expected for one in range(4))


def damaged(path: Path) -> Iterator[Callable[[], object]]:
    content = path.read_bytes()
    yield lambda: path.write_bytes(content[:-17])
    yield lambda: path.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    yield lambda: path.write_bytes(content[:256] + content[256:][::-1])


@pytest.mark.parametrize("way", range(3), ids=["truncated", "flipped", "swapped"])
def test_a_block_that_is_not_what_it_was_is_named(make: Make, way: int) -> None:
    rows = make(31, 4, 3)
    path = rows.source.file.path
    list(damaged(path))[way]()
    with pytest.raises(DataError, match=r"block \d+ \(rows \d+ to \d+\) has changed or is damaged"):
        visited(WindowOrder(rows, 4, 5, CPU), 0, 8)
    with pytest.raises(DataError, match="has changed or is damaged"):
        list(rows.portions(4))
    if way == 1:
        assert rows.gather(torch.tensor([30]))[1].tolist() == [300]  # other blocks can be read


def test_rows_that_are_removed_are_told(make: Make) -> None:
    rows = make(31, 4, 3)
    rows.source.file.path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        rows.sample(3)


def test_a_value_that_is_missing_is_never_trained_on(make: Make) -> None:
    rows = make(12, check=False)
    path = rows.source.file.path
    content = np.load(path)
    content[7, 1] = np.nan
    path.write_bytes(path.read_bytes()[:256] + content.tobytes())
    with pytest.raises(DataError, match="values are missing"):
        visited(WindowOrder(rows, 4, 5, CPU), 0, 3)


def test_a_batch_larger_than_a_window_is_refused(make: Make) -> None:
    rows = make(31, 4, 3)
    check_batch(rows, 12, 12)
    with pytest.raises(ConfigError, match=r"loop.batch_size=full: the rows stay on disk, .* at most 12 rows"):
        check_batch(rows, 31, "full")
    check_batch(ResidentRows(torch.zeros(99, 2), torch.zeros(99)), 99, "full")
    assert isinstance(order_of(rows, None, 4, 0, 5, CPU), WindowOrder)
