"""The mean of models: of their probabilities, or of their numbers in one unit."""

import math

import pytest
import torch
from torch import Tensor, nn

from trainctl.components.model.base import Reconstruction
from trainctl.components.model.ensemble import Ensemble, Part, ensemble, ensemble_in
from trainctl.errors import ConfigError


class Constant(nn.Module):
    """Returns the same outputs for every row."""

    def __init__(self, *outputs: float) -> None:
        super().__init__()
        self.outputs = torch.tensor(outputs)

    def forward(self, rows: Tensor) -> Tensor:
        return self.outputs.expand(len(rows), -1)


def build(_: str, settings: dict, compress: dict) -> nn.Module:
    return Constant(*settings["outputs"])


ROWS = torch.zeros(2, 3)


def made(*outputs: list[float], task: str = "classification") -> nn.Module:
    return ensemble(parts=[{"model": {"outputs": each}} for each in outputs], task=task, build=build)


def test_a_softmax_of_its_outputs_is_the_mean_of_the_parts_probabilities() -> None:
    logits = [[1.0, -2.0, 0.5], [40.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    mean = torch.stack([torch.tensor(each).softmax(0) for each in logits]).mean(0)
    outputs = made(*logits)(ROWS)
    torch.testing.assert_close(outputs.softmax(1)[0], mean, rtol=0, atol=1e-7)
    torch.testing.assert_close(outputs.exp()[0], mean, rtol=0, atol=1e-7)  # are logarithms of probabilities


def test_probabilities_that_underflow_stay_finite() -> None:
    outputs = made([0.0, 500.0], [0.0, 400.0])(ROWS)
    assert outputs.isfinite().all()


def test_numbers_are_averaged() -> None:
    assert made([1.0, 2.0], [3.0, 6.0], task="regression")(ROWS)[0].tolist() == [2.0, 4.0]


def test_disagreement_is_the_mean_divergence_from_the_ensemble() -> None:
    whole = made([0.0, 0.0, 0.0], [5.0, 1.0, 0.0], [0.0, 2.0, 2.0])
    assert isinstance(whole, Ensemble)
    each = whole.each(ROWS)
    p = each[:, 0].exp().double()
    mean = p.mean(0)
    by_divergence = (p * (p / mean).log()).sum(1).mean()
    entropy = -(mean * mean.log()).sum() + (p * p.log()).sum(1).mean()  # mutual information, its other form
    assert whole.disagreement(each)[0].item() == pytest.approx(by_divergence.item(), rel=1e-5)
    assert by_divergence.item() == pytest.approx(entropy.item(), rel=1e-9)


def test_disagreement_ranges_from_0_to_the_logarithm_of_the_number_of_parts() -> None:
    agree, differ = made([1.0, 2.0], [1.0, 2.0]), made([1000.0, 0.0], [0.0, 1000.0])
    assert agree.disagreement(agree.each(ROWS)).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert differ.disagreement(differ.each(ROWS)).tolist() == pytest.approx([math.log(2)] * 2)
    numbers = made([1.0, 2.0], [3.0, 2.0], task="regression")
    assert numbers.disagreement(numbers.each(ROWS))[0].tolist() == [1.0, 0.0]


def test_a_part_cleans_and_scales_its_rows_and_converts_its_outputs() -> None:
    shapes = {"fill": [3], "low": [3], "high": [3], "input_factor": [1, 3], "input_offset": [1, 3]}
    shapes |= {"output_factor": [1, 3], "output_offset": [1, 3]}
    part = Part(nn.Identity(), shapes)
    values = {
        "fill": [7.0, 8.0, 9.0], "low": [-1.0, -math.inf, -math.inf], "high": [1.0, math.inf, math.inf],
        "input_factor": [[2.0, 2.0, 2.0]], "input_offset": [[1.0, 1.0, 1.0]], "output_factor": [[10.0, 1.0, 1.0]],
        "output_offset": [[0.0, 0.0, 0.5]],
    }  # fmt: skip
    part.load_state_dict({key: torch.tensor(value) for key, value in values.items()})
    rows = torch.tensor([[5.0, math.nan, 3.0]])
    assert part(rows).tolist() == [[30.0, 17.0, 7.5]]
    assert not Part(nn.Identity(), {}).state_dict()


def test_an_ensemble_is_found_in_an_autoencoder() -> None:
    whole = made([1.0, 2.0], [1.0, 2.0])
    assert ensemble_in(whole) is whole
    assert ensemble_in(Reconstruction(whole)) is whole
    assert ensemble_in(nn.Linear(1, 1)) is None


@pytest.mark.slow
def test_it_can_be_traced() -> None:
    whole = Ensemble(
        [Part(nn.Linear(3, 2), {}), Part(nn.Linear(3, 2), {"input_factor": [1, 3], "input_offset": [1, 3]})],
        "classification",
    )
    exported = torch.export.export(whole, (torch.randn(4, 3),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    rows = torch.randn(7, 3)
    assert torch.equal(exported.module()(rows), whole(rows))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], r"consists of finished runs: use trainctl ensemble RUN RUN"),
        ([{"tensors": {}}], r"model\.parts\[0\]: expected model, tensors and perhaps compress"),
        ([{"model": {"outputs": [1.0]}, "weights": 1}], r"model\.parts\[0\]: expected model, tensors and perhaps compress"),
        ([{"model": {"outputs": [1.0]}, "tensors": {"fill": [0]}}], r"model\.parts\[0\]\.tensors: expected the shapes of fill"),
        ([{"model": {"outputs": [1.0]}, "tensors": {"other": [1]}}], r"model\.parts\[0\]\.tensors: expected the shapes"),
        ([{"model": {"outputs": [1.0]}, "tensors": {"fill": [True]}}], r"model\.parts\[0\]\.tensors: expected the shapes"),
    ],
)  # fmt: skip
def test_settings_that_no_ensemble_has_are_refused(parts: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ensemble(parts=parts, task="classification", build=build)
