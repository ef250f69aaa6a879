"""A model is cut by depth, and what has no weights stays with the layer before it."""

import pytest
import torch
from torch import Tensor, nn

from tests.schemas import schema
from trainctl.components.clean.base import Cleaner
from trainctl.components.model.base import Reconstruction
from trainctl.components.model.ensemble import Ensemble
from trainctl.components.scale.base import Affine
from trainctl.data.rows import Fitted
from trainctl.errors import ConfigError
from trainctl.finished import portable

NONE = Fitted(Cleaner(), Affine(torch.ones(1, 2), torch.zeros(1, 2)), None)


def names(groups: list[list[nn.Module]]) -> list[str]:
    letters = {nn.Linear: "L", nn.ReLU: "r", nn.BatchNorm1d: "n", nn.Flatten: "f"}
    return ["".join(letters.get(type(part), "B") for part in group) for group in groups]


def linear(count: int) -> list[nn.Module]:
    layers = [[nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU()] for _ in range(count)]
    return [nn.Flatten(), *(part for layer in layers for part in layer), nn.Linear(2, 2)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, ["fLnrLnr", "LnrL"]),  # four layers with weights: two and two
        (3, ["fLnr", "LnrLnr", "L"]),  # 4 / 3 is nearest to 1, then 8 / 3 to 3
        (4, ["fLnr", "Lnr", "Lnr", "L"]),
    ],
)
def test_stages_have_equal_numbers_of_layers_with_weights(count: int, expected: list[str]) -> None:
    assert names(portable.cut(linear(3), count)) == expected


def test_a_part_that_cannot_be_cut_counts_with_all_its_layers() -> None:
    block = Reconstruction(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)))
    assert portable.depth(block) == 3
    assert portable.depth(nn.BatchNorm1d(2)) == 0
    assert names(portable.cut([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2), block], 2)) == ["LLL", "B"]


def test_too_many_stages_are_refused_with_the_largest_number() -> None:
    with pytest.raises(ConfigError, match="stages=5: this model can be cut into at most 4 parts"):
        portable.cut(linear(3), 5)
    with pytest.raises(ConfigError, match="stages=2: this model cannot be cut"):
        portable.cut([nn.Flatten(), nn.Linear(2, 2)], 2)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), "each part needs a layer with weights, or a block of them"),
        (nn.LSTMCell(2, 2), "each part needs a layer with weights, or a block of them"),
        (nn.Bilinear(2, 2, 2), "each part needs a layer with weights, or a block of them"),
        (nn.TransformerEncoderLayer(2, 1), "its layers are in one module, which is neither an nn.Sequential nor has"),
        (Ensemble([nn.Linear(2, 2), nn.Linear(2, 2)], "regression"), "the models of an ensemble are not computed one"),
        (Reconstruction(Ensemble([nn.Linear(2, 2)] * 2, "regression")), "the models of an ensemble are not computed"),
    ],
)
def test_the_reason_for_which_a_model_cannot_be_cut_is_that_of_its_kind(model: nn.Module, why: str) -> None:
    with pytest.raises(ConfigError, match=f"stages=2: this model cannot be cut: {why}"):
        portable.cut(portable.parts_of(model), 2)


class Own(nn.Module):
    """A model of a user's own, whose forward can only be exported in another form, and that has a list called parts."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(2, 2)])

    def forward(self, rows: Tensor) -> Tensor:
        raise AssertionError("was not replaced")

    def exportable(self) -> nn.Module:
        return self.parts[0]


def test_a_part_that_knows_how_to_be_exported_is_replaced_wherever_it_lies() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Own()))
    assert portable.parts_of(model)[1:] == [model[1][0]]
    (stage,) = portable.stages(model.eval(), "classification", NONE, schema(), torch.float32, 1)
    (answers,) = stage.module(torch.zeros(3, 2))
    torch.testing.assert_close(answers.sum(1), torch.ones(3))


class Forgetful(nn.Linear):
    """A layer whose outputs are numbers whatever its inputs are, like max pooling in ONNX Runtime."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.nan_to_num(0.0, 0.0, 0.0))


def test_a_row_that_cannot_be_answered_changes_no_other_row() -> None:
    model = nn.Sequential(Forgetful(2, 2)).eval()
    rows = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    for fill, invalid in ((None, [False, True, True]), (torch.zeros(2), [False, False, True])):
        fitted = Fitted(Cleaner(fill), NONE.input_scale, None)
        (stage,) = portable.stages(model, "classification", fitted, schema(), torch.float32, 1)
        (answers,) = stage.module(rows)
        assert answers.isnan().all(1).tolist() == answers.isnan().any(1).tolist() == invalid


def test_an_example_is_no_row_of_the_data() -> None:
    for stage in portable.stages(nn.Sequential(nn.Linear(2, 2)), "classification", NONE, schema(), torch.float32, 1):
        assert not stage.example[0].any()
