"""Measure the best weights of a run on the test split."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from trainctl.data.rows import SplitName
from trainctl.machine.world import ALONE
from trainctl.run.model import held
from trainctl.run.run import Run
from trainctl.train.evaluation import confusion, evaluate


def alone(run: Run) -> Run:
    """Return the run as its first process measures it at the end, while the others wait or do the same."""
    return replace(run, evaluation=replace(run.evaluation, world=ALONE))


@contextmanager
def best_weights(run: Run) -> Iterator[None]:
    """Load the best weights into the evaluated model; restore its own weights at the end."""
    model = run.average.model
    own = {key: tensor.detach().clone() for key, tensor in held(model).items()}
    _load(run, run.state.best_weights)
    try:
        yield
    finally:
        _load(run, own)


@torch.no_grad()
def _load(run: Run, weights: Mapping[str, Tensor]) -> None:
    """Set the tensors of the evaluated model that this process has."""
    if not run.evaluation.lockstep:
        run.average.model.load_state_dict(dict(weights))
        return
    for key, tensor in held(run.average.model).items():
        tensor.copy_(weights[key])


def measure_test_split(run: Run) -> tuple[dict[str, float], list[list[int]]]:
    """Return the metrics of the test split and the confusion matrix, which is empty unless the task is classification.

    If the test split is empty, there are no metrics, and the confusion matrix is that of the validation split.
    """
    tested: SplitName = "test" if len(run.data.splits["test"]) else "val"
    metrics = evaluate(run.evaluation, "test") if tested == "test" else {}
    return metrics, confusion(run.evaluation, tested) if run.task == "classification" else []
