"""What the finders measure: the curve of a range test, and the speed of batches until memory runs out."""

import math

import pytest
import torch

from trainctl.errors import ConfigError, UnavailableError
from trainctl.machine import memory
from trainctl.measure import learning_rate as finder
from trainctl.measure.learning_rate import Curve, Speed
from trainctl.run import assemble
from trainctl.settings import compose


def make(*overrides):
    return assemble.assemble(compose.compose(["device=cpu", *overrides]))


def parameters(run):
    return torch.cat([parameter.detach().flatten().clone() for parameter in run.model.parameters()])


# The learning rate.


def test_rates_rise_exponentially_between_the_two_ends():
    curve = finder.range_test(make("optimizer=sgd"), 1e-6, 1e-2, 9)
    assert curve.rates == pytest.approx([10 ** (-6 + index / 2) for index in range(9)])


def test_the_first_losses_are_those_of_the_untrained_model():
    run = make("dataset=diabetes", "optimizer=sgd", "loop.batch_size=full", "model.norm=none", "model.dropout=0.0")
    rows = run.data.splits["train"]
    untrained = float(run.loss(run.model(run.data.input_scale(rows.inputs)), rows.targets).detach())
    curve = finder.range_test(run, 1e-9, 1e-8, 10)
    assert curve.losses == pytest.approx([untrained] * 10, rel=1e-4)


def test_a_quadratic_diverges_where_theory_says():
    # On a linear model with the whole batch, gradient descent is stable up to 2 / L, the largest curvature.
    run = make("dataset=diabetes", "model=linear", "optimizer=sgd", "optimizer.momentum=0.0", "loop.batch_size=full")
    inputs = run.data.input_scale(run.data.splits["train"].inputs)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    stable = 2 / float(torch.linalg.eigvalsh(2 * inputs.T @ inputs / len(inputs)).max())
    curve = finder.range_test(run, 1e-4, 100, 200)
    assert len(curve.rates) < 200
    assert stable < curve.rates[-1] < 30 * stable
    assert 0.1 * stable < curve.rates[curve.lowest] < 3 * stable


def test_it_stops_where_the_loss_is_not_finite():
    run = make("dataset=diabetes", "scale=none", "optimizer=sgd", "model.norm=none")
    curve = finder.range_test(run, 1e-7, 1e30, 60)
    assert 0 < len(curve.rates) < 60
    assert all(map(math.isfinite, curve.losses))


def test_groups_with_rates_of_their_own_keep_their_share():
    run = make("optimizer=sgd")
    first, second = run.optimizer.param_groups
    second["lr"] = 3 * first["lr"]
    finder.range_test(run, 1e-6, 1e-3, 5)
    assert first["lr"] == pytest.approx(1e-3)
    assert second["lr"] == pytest.approx(3e-3)


def test_the_same_seed_finds_the_same_curve():
    overrides = ("model=cnn", "augment=[crop,flip]", "loop.micro_batches=2")
    assert finder.range_test(make(*overrides), 1e-5, 1, 12) == finder.range_test(make(*overrides), 1e-5, 1, 12)


def test_the_points_of_a_curve_and_what_follows_from_them():
    rates = [10.0**power for power in range(-5, 2)]
    smoothed = [2.0, 1.9, 1.2, 0.9, 0.8, 1.5, 9.0]
    curve = Curve(rates, smoothed, smoothed)
    assert rates[curve.lowest] == 0.1
    assert rates[curve.steepest] == 1e-4
    assert curve.suggestion == 0.01
    assert curve.fall == pytest.approx(0.6)


def test_a_curve_that_only_rises_falls_by_nothing():
    curve = Curve([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (curve.lowest, curve.fall) == (0, 0.0)


def test_smoothing_keeps_constants_and_lines_and_does_not_lag():
    assert finder.smooth([3.0] * 9, 2.0) == pytest.approx([3.0] * 9)
    line = finder.smooth([float(value) for value in range(40)], 2.0)
    assert line[10:30] == pytest.approx([float(value) for value in range(10, 30)])


# The batch size.


def test_sizes_are_powers_of_two_up_to_the_training_split_or_a_limit():
    run = make("dataset=wine")
    assert len(run.data.splits["train"]) == 124
    assert finder.batch_sizes(run, None) == [1, 2, 4, 8, 16, 32, 64]
    assert finder.batch_sizes(run, 16) == [1, 2, 4, 8, 16]
    assert finder.batch_sizes(run, 1000) == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("dataset", ["iris", "wine", "breast_cancer"])
def test_sizes_that_would_leave_a_batch_norm_one_row_are_left_out(dataset, parts):
    loop = f"loop.micro_batches={parts}"
    run = make(f"dataset={dataset}", "model.norm=batch", "loop.batch_size=full", loop)
    found = finder.batch_sizes(run, None)
    for size in (2**power for power in range(10)):
        if size > len(run.data.splits["train"]) or size < parts:
            continue
        try:
            make(f"dataset={dataset}", "model.norm=batch", f"loop.batch_size={size}", loop)
        except ConfigError:
            assert size not in found
        else:
            assert size in found


def test_every_size_is_measured_and_the_weights_stay_what_they_are():
    run = make("dataset=iris", "model.dropout=0.5", "regularizer=[l2]")
    before = parameters(run)
    found = list(finder.speeds(run, [1, 4, 16], 0.01))
    assert [speed.size for speed in found] == [1, 4, 16]
    assert all(speed.fits and 0 < speed.seconds < 5 for speed in found)
    assert torch.equal(parameters(run), before)


class Greedy(torch.nn.Module):
    """Fails like an allocator does, from a number of rows on."""

    def __init__(self, model, rows, error):
        super().__init__()
        self.model, self.rows, self.error = model, rows, error

    def forward(self, inputs):
        if len(inputs) >= self.rows:
            raise self.error
        return self.model(inputs)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_it_ends_at_the_size_that_does_not_fit(error):
    from dataclasses import replace

    run = make("dataset=iris")
    greedy = replace(run, model=Greedy(run.model, 8, error))
    found = list(finder.speeds(greedy, [1, 2, 4, 8, 16], 0.001))
    assert [(speed.size, speed.fits) for speed in found] == [(1, True), (2, True), (4, True), (8, False)]


def test_another_error_is_not_taken_for_a_lack_of_memory():
    from dataclasses import replace

    run = make("dataset=iris")
    with pytest.raises(RuntimeError, match="a bug"):
        list(finder.speeds(replace(run, model=Greedy(run.model, 2, RuntimeError("a bug"))), [1, 2], 0.001))


def test_on_a_cpu_it_ends_before_the_system_would_end_the_process(monkeypatch):
    # The memory that is left cannot be made small by a test, so what the system says of it is replaced.
    peaks = iter([100.0, 100.0, 130.0, 190.0, 400.0])
    monkeypatch.setattr(memory, "free", lambda device: 150.0)
    monkeypatch.setattr(memory, "peak", lambda: next(peaks))
    found = list(finder.speeds(make("dataset=iris"), [1, 2, 4, 8], 0.001))
    assert [(speed.size, speed.fits) for speed in found] == [(1, True), (2, True), (4, False)]


def test_what_the_system_says_of_memory_is_a_number_of_bytes():
    assert memory.free(torch.device("cpu")) > 1e6
    assert memory.free(torch.device("cuda")) == math.inf
    assert 1e7 < memory.peak() < 1e13


def test_the_smallest_of_the_fast_ones_is_suggested():
    found = [Speed(1, 1.0), Speed(2, 1.0), Speed(4, 1.0), Speed(8, 1.96), Speed(16, 4.0), Speed(32, math.nan, False)]
    assert finder.suggest(found).size == 4


def test_without_room_for_one_row_there_is_nothing_to_suggest():
    with pytest.raises(UnavailableError, match="not enough memory even for the smallest batch size"):
        finder.suggest([Speed(1, math.nan, fits=False)])
