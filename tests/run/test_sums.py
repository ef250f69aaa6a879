"""Metrics summed batch by batch equal scikit-learn's over all rows at once."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, root_mean_squared_error

from tests.soak import generated
from trainctl.components.scale.base import Affine
from trainctl.components.scale.standard import standard
from trainctl.run import sums as metrics
from trainctl.run.metric_names import NAMES, maximize
from trainctl.run.sums import Sums

CPU = torch.device("cpu")


def generator():
    return torch.Generator().manual_seed(0)


def summed(task, outputs, targets, units=None, loss=torch.nn.functional.mse_loss, batch=7):
    columns = 1 if targets.ndim == 1 else math.prod(targets.shape[1:])
    sums = Sums(task, columns, units, CPU, typical=targets[::3])
    for start in range(0, len(targets), batch):  # the last batch is smaller
        part = slice(start, start + batch)
        sums.add(loss(outputs[part], targets[part]), outputs[part], targets[part])
    return sums


def test_classes_equal_scikit_learn():
    logits, targets = torch.randn(100, 4, generator=generator()), torch.arange(100) % 4
    loss = torch.nn.functional.cross_entropy
    values = summed("classification", logits, targets, loss=loss).values()
    assert values["accuracy"] == accuracy_score(targets, logits.argmax(1))
    assert values["loss"] == pytest.approx(loss(logits, targets).item(), rel=1e-6)
    assert tuple(values) == NAMES["classification"]


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_numbers_equal_scikit_learn_in_original_units(columns, scaled):
    targets = torch.randn(100, columns, generator=generator()) * torch.tensor([40.0, 3.0, 0.1])[:columns] + 150
    outputs = (
        targets + torch.randn(100, columns, generator=generator()).flip(0) * torch.tensor([20.0, 1.0, 0.2])[:columns]
    )
    units = standard(values=targets) if scaled else None
    given = (units(outputs), units(targets)) if scaled else (outputs, targets)
    values = summed("regression", *given, units=units).values()
    truth, answers = targets.double().numpy(), outputs.double().numpy()
    assert values["mae"] == pytest.approx(mean_absolute_error(truth, answers), rel=1e-5)
    assert values["rmse"] == pytest.approx(root_mean_squared_error(truth, answers), rel=1e-5)
    assert values["r2"] == pytest.approx(r2_score(truth, answers), abs=1e-5)
    assert values["loss"] == pytest.approx(((given[0] - given[1]) ** 2).mean().item(), rel=1e-5)
    assert tuple(values) == NAMES["regression"]


def test_reconstructions_equal_scikit_learn_over_all_pixels():
    targets = torch.rand(50, 1, 3, 4, generator=generator())
    outputs = targets + 0.1 * torch.randn(50, 1, 3, 4, generator=generator())
    values = summed("reconstruction", outputs, targets).values()
    truth, answers = targets.flatten(1).double().numpy(), outputs.flatten(1).double().numpy()
    assert values["mae"] == pytest.approx(mean_absolute_error(truth, answers), rel=1e-5)
    assert values["rmse"] == pytest.approx(math.sqrt(((truth - answers) ** 2).mean()), rel=1e-5)
    assert values["r2"] == pytest.approx(r2_score(truth, answers, multioutput="variance_weighted"), abs=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_how_rows_are_cut_into_batches_does_not_matter(batch):
    targets = torch.randn(100, 2, generator=generator())
    outputs = torch.randn(100, 2, generator=generator()).flip(0)
    values = summed("regression", outputs, targets, batch=batch).values()
    assert values == pytest.approx(summed("regression", outputs, targets).values(), rel=1e-5)


@pytest.mark.parametrize(
    ("targets", "outputs", "r2", "reason"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 1.0, "without error"),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], 0.0, "the mean explains nothing"),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -3.0, "worse than the mean"),
        ([5.0, 5.0, 5.0], [5.0, 5.0, 5.0], 1.0, "constant targets, without error"),
        ([5.0, 5.0, 5.0], [5.0, 5.0, 6.0], 0.0, "constant targets have no variance to explain"),
        ([1.1] * 11, [1.0] * 11, 0.0, "constant, though rounding leaves a trace of variance"),
        ([0.0, 0.0], [0.0, 0.0], 1.0, "all zero"),
        ([7.0], [7.0], math.nan, "one row"),
        ([1000.0, 1001.0, 1002.0], [1000.0, 1001.0, 1002.0], 1.0, "a large mean is no constant"),
    ],
)
def test_r2_by_hand(targets, outputs, r2, reason):
    targets, outputs = torch.tensor(targets)[:, None], torch.tensor(outputs)[:, None]
    assert summed("regression", outputs, targets).values()["r2"] == pytest.approx(r2, nan_ok=True), reason


def test_each_target_has_metrics_of_its_own_and_a_constant_one_counts_as_scikit_learn_has_it():
    targets = torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    outputs = torch.tensor([[1.0, 5.0], [2.0, 5.5], [2.0, 5.0]])
    sums = summed("regression", outputs, targets)
    assert sums.values()["r2"] == pytest.approx(r2_score(targets.numpy(), outputs.numpy())) == pytest.approx(0.25)
    first, second = sums.by_column()
    assert first == pytest.approx({"mae": 1 / 3, "rmse": math.sqrt(1 / 3), "r2": 0.5})
    assert second == pytest.approx({"mae": 1 / 6, "rmse": math.sqrt(0.25 / 3), "r2": 0.0})


@pytest.mark.soak
@generated(60)
@given(
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 1e-3, 0.0033, 1.0, 1e4]),
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(1, 70),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_metrics_equal_scikit_learn_s(offset, spread, columns, rows, chunk, scaled, seed):
    random = torch.Generator().manual_seed(seed)
    targets = (offset + spread * torch.randn(rows, columns, generator=random, dtype=torch.float64)).float()
    outputs = targets + spread * torch.randn(rows, columns, generator=random)
    units = Affine(torch.full((1, columns), 0.25), torch.full((1, columns), -3.0)) if scaled else None
    if units is not None:  # what is compared is what comes back from the scaled numbers
        inputs, expected = units(outputs), units(targets)
        outputs, targets = units.inverse(inputs), units.inverse(expected)
    else:
        inputs, expected = outputs, targets
    sums = summed("regression", inputs, expected, units=units, batch=chunk)
    truth, answers, values = targets.double().numpy(), outputs.double().numpy(), sums.values()
    assert values["mae"] == pytest.approx(mean_absolute_error(truth, answers), rel=1e-9)
    assert values["rmse"] == pytest.approx(root_mean_squared_error(truth, answers), rel=1e-9)
    each = sums.by_column()
    if rows == 1:
        assert math.isnan(values["r2"])
        assert all(math.isnan(one["r2"]) for one in each)
        return
    assert values["r2"] == pytest.approx(r2_score(truth, answers), rel=1e-7, abs=1e-7)
    for name, metric in (("mae", mean_absolute_error), ("rmse", root_mean_squared_error), ("r2", r2_score)):
        raw = metric(truth, answers, multioutput="raw_values")
        assert [one[name] for one in each] == pytest.approx(raw.tolist(), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("columns", [1, 3])
def test_sums_of_earlier_versions_are_continued(columns):
    targets = torch.randn(40, columns, generator=generator()) + 50
    outputs = targets + torch.randn(40, columns, generator=generator())
    error, exact = (outputs - targets).double(), targets.double()
    moments = [exact.sum(0), exact.square().sum(0)]
    saved = torch.cat(
        [torch.tensor([8.0, 40.0]).double(), torch.stack([error.abs().sum(), error.square().sum()]), *moments]
    )
    sums = Sums("regression", columns, None, CPU, typical=targets)
    sums.restore(saved)
    whole = summed("regression", outputs, targets).values()
    found = sums.values()
    assert (found["loss"], found["mae"]) == (0.2, pytest.approx(whole["mae"]))
    assert found["r2"] == pytest.approx(whole["r2"], abs=1e-6 if columns == 1 else 0.1)
    assert found["rmse"] == pytest.approx(whole["rmse"], rel=1e-6 if columns == 1 else 0.1)
    again = Sums("regression", columns, None, CPU)
    again.restore(sums.sums)
    assert again.values() == sums.values()
    sums.reset()
    assert sums.values() == {}
    sums.add(torch.tensor(1.0), outputs, targets)
    assert sums.values()["r2"] == pytest.approx(whole["r2"])


def test_units_are_those_before_scaling():
    units = Affine(torch.tensor([[0.1]]), torch.tensor([[-3.0]]))
    values = summed("regression", torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [1.0]]), units=units).values()
    assert values["mae"] == pytest.approx(5.0)  # 0.5 scaled is 5 in the target's unit


def test_sums_start_again_after_a_reset_and_without_rows_there_are_no_metrics():
    targets = torch.arange(10) % 2
    sums = summed("classification", torch.zeros(10, 2), targets, loss=torch.nn.functional.cross_entropy)
    sums.reset()
    assert sums.values() == {}
    sums.add(torch.tensor(2.0), torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert sums.values() == {"loss": 2.0, "accuracy": 1.0}


def test_sums_are_the_same_to_the_last_bit_whenever_they_are_asked_for(monkeypatch):
    losses = torch.rand(40, generator=generator()) * torch.logspace(-6, 6, 40)
    batches = [(loss, torch.randn(9, 3, generator=generator()), torch.arange(9) % 3) for loss in losses]
    found = []
    for most, often in ((1, 1), (10**9, 1), (10**9, 7), (100, 10**9), (10**9, 10**9)):
        monkeypatch.setattr(metrics, "MOST_WAITING", most)
        sums = Sums("classification", 1, None, CPU)
        for number, batch in enumerate(batches):
            sums.add(*batch)
            if number % often == 0:
                sums.values()
        found.append(sums.sums.tolist())
    assert all(one == found[0] for one in found)
    correct = sum((outputs.argmax(1) == targets).sum().item() for _, outputs, targets in batches)
    assert found[0][1:] == [360, correct]
    waiting = Sums("classification", 1, None, CPU)
    waiting.add(*batches[0])
    waiting.reset()
    assert waiting.values() == {}
    waiting.add(*batches[0])
    waiting.sums.copy_(torch.tensor([1.0, 2.0, 1.0]))  # as a checkpoint is restored
    assert waiting.values() == {"loss": 0.5, "accuracy": 0.5}


def test_a_loss_that_is_not_finite_shows():
    sums = Sums("classification", 1, None, CPU)
    sums.add(torch.tensor(math.nan), torch.zeros(1, 2), torch.tensor([0]))
    assert math.isnan(sums.values()["loss"])


def test_low_precision_outputs_are_summed_exactly():
    outputs = torch.full((4096, 1), 0.5, dtype=torch.bfloat16)
    values = summed(
        "regression", outputs, torch.zeros(4096, 1), batch=4096, loss=lambda outputs, targets: outputs.float().mean()
    ).values()
    assert (values["mae"], values["rmse"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "larger"),
    [("val/accuracy", True), ("r2", True), ("val/loss", False), ("test/rmse", False), ("mae", False)],
)
def test_it_is_known_which_metrics_grow(name, larger):
    assert maximize(name) is larger


@pytest.mark.parametrize("shape", [(40, 1), (40, 3)])
def test_sums_of_parts_that_are_folded_equal_one_sum_of_all(shape):
    targets, outputs = 50 + torch.randn(shape, generator=generator()), 50 + torch.randn(shape, generator=generator())
    columns = math.prod(shape[1:])

    def of(*batches):
        sums = Sums("regression", columns, None, CPU, typical=targets[::3])
        for batch in batches:
            sums.add(torch.nn.functional.mse_loss(outputs[batch], targets[batch]), outputs[batch], targets[batch])
        return sums

    batches = [slice(start, start + 8) for start in range(0, 40, 8)]
    folded = of()
    folded.fold([of(batch).take() for batch in batches])
    assert torch.equal(folded.sums, of(*batches).sums)
    assert folded.values() == of(*batches).values()
