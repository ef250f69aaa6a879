"""Zero initialisation."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from trainctl.components.init.zeros import zeros
from trainctl.errors import Advice


def test_all_weights_are_0_and_the_user_is_told():
    model = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 2), nn.BatchNorm1d(2))
    with pytest.warns(Advice, match="init=zeros keeps all units of a layer equal"):
        zeros(model=model, bias=0.0)
    assert not any(parameter.any() for layer in model[:2] for parameter in layer.parameters())


def test_it_teaches_that_hidden_layers_do_not_learn():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with pytest.warns(Advice):
        zeros(model=model, bias=0.0)
    model(torch.randn(5, 3)).square().sum().add(model[2].bias.sum()).backward()
    assert not model[0].weight.grad.any()
    assert not model[2].weight.grad.any()
    assert model[2].bias.grad.any()


def test_the_command_says_it_once_on_standard_error_and_only_of_a_training(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
):
    done = command("init=zeros", "dataset=iris", "loop.epochs=2", "output.plots=false")
    assert done.returncode == 0
    assert done.stderr.startswith("trainctl: note: init=zeros keeps all units of a layer equal")
    assert done.stderr.count("\n") == 1

    (run,) = (path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert command("evaluate", run).stderr == ""
