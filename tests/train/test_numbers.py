"""Losses and gradients do not depend on how rows are divided into batches: they are sums over rows."""

import pytest
import torch

from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.step.eager import eager
from trainctl.step.fused import trained_parameters
from trainctl.train.evaluation import evaluate

CLASSES = ("dataset=synthetic", "dataset.rows=200", "dataset.shape=[5]", "dataset.classes=2", "dataset.noise=2.0")
VALUES = ("dataset=synthetic", "dataset.rows=200", "dataset.shape=[5]", "dataset.kind=sine")
LOSSES = [
    (CLASSES, ("loss=cross_entropy", "loss.class_weights=[1,9]", "loss.label_smoothing=0.1")),
    (CLASSES, ("loss=cross_entropy", "loss.class_weights=balanced")),
    (CLASSES, ("loss=focal", "loss.class_weights=[1,9]")),
    (CLASSES, ("loss=binary_cross_entropy", "loss.positive_weight=9")),
    (CLASSES, ("loss=hinge",)),
    (VALUES, ("loss=mse",)),
    (VALUES, ("loss=mae",)),
    (VALUES, ("loss=huber",)),
    (VALUES, ("loss=log_cosh",)),
    (VALUES, ("loss=quantile",)),
    (VALUES, ("loss=mse", "model=autoencoder")),
]
IDS = [" ".join(loss) for _, loss in LOSSES]


def make(data, loss, *words):
    model = [] if "model=autoencoder" in loss else ["model.dropout=0"]
    return assemble.assemble(
        compose.compose([*data, *loss, *model, "loop.batch_size=full", "output.plots=false", *words])
    )


@pytest.mark.slow
@pytest.mark.parametrize(("data", "loss"), LOSSES, ids=IDS)
def test_metrics_do_not_depend_on_the_rows_that_are_computed_at_once(data, loss):
    for split in ("train", "val", "test"):
        whole, *others = (
            evaluate(make(data, loss, f"loop.eval_batch_size={size}").evaluation, split) for size in (1024, 7)
        )
        for found in others:
            assert found == pytest.approx(whole, rel=1e-5, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "loss"), LOSSES, ids=IDS)
def test_a_step_in_parts_has_the_loss_and_the_gradient_of_the_whole(data, loss):
    found = []
    for parts in (1, 3):
        run = make(data, (*loss, "optimizer=sgd", "optimizer.lr=1e-9"), f"loop.micro_batches={parts}", "regularizer=l2")
        inputs, targets = next(run.order.batches(0))
        eager(run)(inputs, targets)
        gradients = torch.cat([parameter.grad.flatten() for parameter in trained_parameters(run.optimizer)])
        found.append((run.sums.values(), gradients))
    (metrics, gradient), (in_parts, sum_of_parts) = found
    assert in_parts == pytest.approx(metrics, rel=1e-5, abs=1e-6)
    torch.testing.assert_close(sum_of_parts, gradient, rtol=1e-4, atol=1e-6)
