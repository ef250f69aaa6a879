"""Rows are reached by their protocol alone: nothing outside `trainctl/data` knows where they are kept."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainctl.data import load, statistics
from trainctl.data.rows import Batch, Data, ResidentRows, Rows
from trainctl.errors import NonFiniteError
from trainctl.measure import learning_rate, profile
from trainctl.run import assemble
from trainctl.run.reporter import MultiReporter
from trainctl.run.run import Run
from trainctl.settings import compose
from trainctl.train import evaluation, loop

QUICK = ("loop.epochs=2", "output.plots=false", "device=cpu")
CNN = (
    "dataset=digits", "model=cnn", "model.channels=[4]", "model.hidden=[8]", "model.norm=batch", "average=swa",
    "augment=[flip,crop,noise]", "augment.flip.alternating=true", "loop.batch_size=400", "init=whiten",
    "loss.class_weights=balanced",
)  # fmt: skip
RUNS = {
    "cnn": CNN,
    "full batch": ("dataset=wine", "loop.batch_size=full"),
    "autoencoder": ("dataset=digits", "model=autoencoder", "loss=mse"),
    "regression": ("dataset=diabetes", "loss=mse", "loop.micro_batches=2"),
}
TABLE = ResidentRows(torch.arange(14.0).reshape(7, 2), torch.tensor([0, 1, 0, 2, 0, 1, 0]))


class Elsewhere:
    """Rows of which only the protocol is known, as if they were read from a disk, one at a time."""

    def __init__(self, rows: Rows) -> None:
        ((inputs, targets),) = rows.portions(len(rows))
        self._stored = list(zip(inputs.clone(), targets.clone(), strict=True))

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def resident(self) -> bool:
        return True

    @property
    def targets(self) -> Tensor:
        return torch.stack([targets for _, targets in self._stored])

    @property
    def nbytes(self) -> int:
        return sum(inputs.nbytes + targets.nbytes for inputs, targets in self._stored)

    def gather(self, indices: Tensor) -> Batch:
        inputs, targets = zip(*(self._stored[index] for index in indices.tolist()), strict=True)
        return torch.stack(inputs), torch.stack(targets)

    def portions(self, size: int) -> Iterator[Batch]:
        return (self.gather(indices) for indices in torch.arange(len(self)).split(size))

    def sample(self, count: int) -> Batch:
        return self.gather(torch.arange(0, len(self), math.ceil(len(self) / count)))


@pytest.fixture(params=[ResidentRows, Elsewhere], ids=["resident", "elsewhere"])
def rows(request: pytest.FixtureRequest) -> Rows:
    return TABLE if request.param is ResidentRows else Elsewhere(TABLE)


def test_rows_are_gathered_in_the_order_that_is_asked_for(rows: Rows) -> None:
    inputs, targets = rows.gather(torch.tensor([3, 0, 3]))
    assert inputs.tolist() == [[6, 7], [0, 1], [6, 7]]
    assert targets.tolist() == [2, 0, 2]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_portions_are_all_rows_in_their_order(rows: Rows, size: int, sizes: list[int]) -> None:
    portions = list(rows.portions(size))
    assert [len(targets) for _, targets in portions] == sizes
    assert torch.equal(torch.cat([inputs for inputs, _ in portions]), TABLE.inputs)
    assert torch.equal(torch.cat([targets for _, targets in portions]), TABLE.targets)


@pytest.mark.parametrize(
    ("count", "numbers"), [(1, [0]), (2, [0, 4]), (3, [0, 3, 6]), (4, [0, 2, 4, 6]), (9, list(range(7)))]
)
def test_a_sample_has_at_most_as_many_rows_as_are_asked_for_evenly_spaced(
    rows: Rows, count: int, numbers: list[int]
) -> None:
    inputs, targets = rows.sample(count)
    assert inputs[:, 0].tolist() == [2.0 * number for number in numbers]
    assert torch.equal(targets, TABLE.targets[numbers])


def test_bytes_are_those_of_inputs_and_targets(rows: Rows) -> None:
    assert rows.nbytes == 7 * (2 * 4 + 8)


def test_classes_are_counted_and_the_spread_is_measured(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "PORTION", 2)
    assert statistics.class_counts(rows, 4).tolist() == [4, 2, 1, 0]
    assert statistics.class_counts(rows, 0).tolist() == []
    assert statistics.deviation(rows).tolist() == [[4.0, 4.0]]
    assert statistics.stored_type(rows) == torch.float32


def make(monkeypatch: pytest.MonkeyPatch, words: Sequence[str], *, elsewhere: bool) -> Run:
    """Assemble a run whose rows are on the device, or of which only the protocol is known."""
    resident = load.resident

    def moved(*arguments: Any) -> Data:
        data = resident(*arguments)
        return replace(data, splits={name: Elsewhere(rows) for name, rows in data.splits.items()})

    with monkeypatch.context() as patched:
        if elsewhere:
            patched.setattr(load, "resident", moved)
        return assemble.assemble(compose.compose([*words, *QUICK]))


def weights(run: Run) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in run.average.model.state_dict().values()])


@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_a_run_does_not_know_where_its_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    results = []
    for elsewhere in (False, True):
        run = make(monkeypatch, words, elsewhere=elsewhere)
        (tmp_path / str(elsewhere)).mkdir()
        loop.train(run, tmp_path / str(elsewhere), MultiReporter())
        results.append((weights(run), evaluation.evaluate(run.evaluation, "test")))
    (first, metrics), (second, again) = results
    assert torch.equal(first, second)
    assert metrics == again


def test_what_measures_a_run_does_not_know_where_its_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = [
        learning_rate.range_test(make(monkeypatch, CNN, elsewhere=elsewhere), 1e-5, 1e-2, 12)
        for elsewhere in (False, True)
    ]
    assert curves[0].losses == curves[1].losses
    run = make(monkeypatch, RUNS["regression"], elsewhere=True)
    assert [speed.size for speed in learning_rate.speeds(run, [2, 8], 0.001)] == [2, 8]
    assert profile.measure(run, 2).memory["data"] == sum(rows.nbytes for rows in run.data.splits.values())


def test_what_explains_a_bad_step_does_not_know_where_its_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(monkeypatch, RUNS["regression"], elsewhere=True)
    run.data.input_scale.factor.fill_(math.nan)
    with pytest.raises(NonFiniteError, match="rows of the batch"):
        loop.train(run, tmp_path, MultiReporter())
