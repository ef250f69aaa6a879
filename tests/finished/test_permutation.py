"""Permutation importance finds what a model relies on, and nothing else."""

import dataclasses

import pytest
import torch
from torch import nn

from tests.schemas import schema
from trainctl.components.loss.mse import mse
from trainctl.components.scale.base import Affine
from trainctl.data.load import IDENTITY
from trainctl.data.rows import Data, ResidentRows
from trainctl.fileformat.table import Column
from trainctl.finished.features import features
from trainctl.finished.permutation import importances, parts, squares
from trainctl.run.run import Evaluation

CPU = torch.device("cpu")


def measured(model, inputs, targets, trained, task="regression"):
    rows = ResidentRows(inputs, targets)
    splits = dict.fromkeys(("train", "val", "test"), rows)
    units = Affine(torch.ones(1, 1), torch.zeros(1, 1))
    data = Data(splits, trained, IDENTITY, units if task == "regression" else None)
    loss = mse()
    if task == "classification":
        loss = dataclasses.replace(loss, function=nn.functional.cross_entropy)
    return Evaluation(task, data, model.eval(), loss, CPU, "fp32", 32)


class Second(nn.Module):
    """Returns the second column."""

    def forward(self, inputs):
        return inputs[:, 1:2]


def test_the_only_informative_column_is_found():
    torch.manual_seed(0)
    inputs = torch.randn(300, 3)
    trained = schema(task="regression", outputs=1, class_names=(), input_names=("a", "b", "c"), input_shape=(3,))
    of = measured(Second(), inputs, inputs[:, 1:2], trained)
    usual, found = importances(of, "test", parts(features(trained)), 5, 0)
    assert usual["rmse"] == 0
    assert [one.name for one in found] == ["a", "b", "c"]
    assert (found[0].mean, found[0].spread, found[2].mean, found[2].loss) == (0, 0, 0, 0)
    # of a column with variance 1, the squared difference of two independent values is 2 on average
    assert found[1].mean == pytest.approx(2**0.5, rel=0.1)
    assert found[1].loss == pytest.approx(2, rel=0.2)
    assert 0 < found[1].spread < 0.2


def test_orders_are_a_function_of_the_seed():
    inputs = torch.arange(40.0).reshape(20, 2)
    trained = schema(task="regression", outputs=1, class_names=(), input_names=("a", "b"))
    of = measured(Second(), inputs, inputs[:, 1:2], trained)
    first, again, other = (importances(of, "val", parts(features(trained)), 3, seed)[1] for seed in (1, 1, 2))
    assert first == again
    assert first[1] != other[1]


def test_a_categorys_columns_are_shuffled_together():
    """A model that needs one-hot columns to be consistent breaks if they are torn apart; together, it only errs."""
    columns = (Column("city", ("Bern", "Ulm", "Wien")), Column("age"))
    trained = schema(columns=columns, input_shape=(4,), input_names=("city=Bern", "city=Ulm", "city=Wien", "age"))
    found = parts(features(trained))
    assert [(part.name, part.mask.tolist()) for part in found] == [
        ("city", [True, True, True, False]), ("age", [False, False, False, True]),
    ]  # fmt: skip

    class Strict(nn.Module):
        def forward(self, inputs):
            assert (inputs[:, :3].sum(1) == 1).all()
            return torch.stack([1 - inputs[:, 0], inputs[:, 0]], 1) * 9

    torch.manual_seed(0)
    inputs = torch.cat([torch.eye(3)[torch.randint(3, (90,))], torch.rand(90, 1)], 1)
    of = measured(Strict(), inputs, inputs[:, 0].long(), trained, "classification")
    usual, costs = importances(of, "test", found, 4, 0)
    assert usual["accuracy"] == 1
    share = float(inputs[:, 0].mean())
    assert costs[0].mean == pytest.approx(2 * share * (1 - share), abs=0.1)  # of rows that get another city's answer
    assert costs[1].mean == 0


def test_an_image_is_shuffled_in_squares_and_a_series_at_all_steps():
    images = features(schema(input_shape=(2, 28, 20)))
    assert len(squares(images)) == 7 * 5
    assert sum(part.mask for part in parts(images)).unique().tolist() == [1]
    series = features(schema(input_shape=(9, 2), input_names=("a", "b")))
    assert [tuple(part.mask.shape) for part in parts(series)] == [(2,), (2,)]
    assert parts(features(schema(input_shape=(5,), vocabulary=("<pad>", "<unknown>", "x")))) == []


def test_of_many_rows_some_are_shuffled():
    inputs = torch.randn(2500, 2)
    trained = schema(task="regression", outputs=1, class_names=(), input_names=("a", "b"))
    sizes = []

    class Count(Second):
        def forward(self, inputs):
            sizes.append(len(inputs))
            return super().forward(inputs)

    importances(measured(Count(), inputs, inputs[:, 1:2], trained), "test", parts(features(trained))[:1], 1, 0)
    assert sum(sizes) == 2 * 834  # every third row, once as it is and once shuffled
    assert max(sizes) == 32
