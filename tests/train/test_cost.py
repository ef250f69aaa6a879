"""What a model costs is measured so that what else the machine does changes little."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.train import cost


def test_the_time_of_a_row_is_that_of_the_fastest_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    run = assemble.assemble(compose.compose(["dataset=iris", "model=linear"]))
    interrupted: Iterator[float] = iter([0.008, 0.009, 0.0064, 0.5, 0.0065])

    def timed(model: nn.Module, inputs: torch.Tensor, device: torch.device) -> float:
        return next(interrupted)

    monkeypatch.setattr(cost, "SECONDS", 0.0)
    monkeypatch.setattr(cost, "_timed", timed)
    assert cost.milliseconds(run.evaluation, 128) == pytest.approx(0.05)
