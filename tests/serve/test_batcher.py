"""What arrives while the model is busy is computed together, and each request gets its own rows."""

import threading

import pytest
import torch

from tests.soak import cases, seed
from trainctl.serve.batcher import Batcher


class Model:
    """Doubles rows, notes the sizes of batches, and waits where a test wants it to."""

    def __init__(self):
        self.sizes, self.entered, self.free = [], threading.Event(), threading.Event()
        self.free.set()

    def __call__(self, rows):
        self.entered.set()
        self.free.wait(10)
        self.sizes.append(len(rows))
        if (rows == 13).any():
            raise ValueError("unlucky")
        return [[str(2 * int(row))] for row in rows[:, 0]]


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def batcher(model):
    found = Batcher(model, most_rows=4)
    yield found
    model.free.set()
    found.close()


def rows(*values):
    return torch.tensor(values)[:, None]


def hold(model, batcher):
    """Let the model be busy with a job; return its future."""
    model.free.clear()
    model.entered.clear()
    first = batcher.submit(rows(1))
    assert model.entered.wait(10)
    return first


def test_requests_that_arrive_while_the_model_is_busy_are_one_batch(model, batcher):
    first = hold(model, batcher)
    others = [batcher.submit(rows(*values)) for values in ((2, 3), (4,), (5, 6))]
    model.free.set()
    assert first.result(10) == [["2"]]
    assert [future.result(10) for future in others] == [[["4"], ["6"]], [["8"]], [["10"], ["12"]]]
    assert model.sizes == [1, 3, 2]  # at most four rows


def test_a_request_with_more_rows_than_a_batch_is_computed_in_parts(model, batcher):
    assert batcher.submit(rows(*range(10))).result(10) == [[str(2 * value)] for value in range(10)]
    assert model.sizes == [4, 4, 2]


def test_a_request_that_fails_fails_alone(model, batcher):
    hold(model, batcher)
    good, bad = batcher.submit(rows(2)), batcher.submit(rows(13))
    model.free.set()
    assert good.result(10) == [["4"]]
    with pytest.raises(ValueError, match="unlucky"):
        bad.result(10)
    assert batcher.submit(rows(3)).result(10) == [["6"]]


def test_a_request_for_which_nobody_waits_is_not_computed(model, batcher):
    hold(model, batcher)
    gone, here = batcher.submit(rows(2)), batcher.submit(rows(3))
    assert gone.cancel()
    model.free.set()
    assert here.result(10) == [["6"]]
    assert model.sizes == [1, 1]


def test_closing_computes_what_waits_and_takes_no_more(model):
    batcher = Batcher(model, most_rows=4)
    first = hold(model, batcher)
    second = batcher.submit(rows(2))
    model.free.set()
    batcher.close()
    assert (first.result(0), second.result(0)) == ([["2"]], [["4"]])
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(rows(1))
    assert not batcher.thread.is_alive()


@pytest.mark.soak
def test_each_request_gets_its_rows_whoever_else_asks(model, batcher):
    source = seed("batcher")
    asked = [[source.randrange(14, 99) for _ in range(source.randrange(1, 7))] for _ in range(cases(60))]
    found = {}

    def ask(part):
        for number in part:
            found[number] = batcher.submit(rows(*asked[number])).result(30)

    threads = [threading.Thread(target=ask, args=(range(start, len(asked), 6),)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: [[str(2 * value)] for value in values] for number, values in enumerate(asked)}
