"""The average that the optimizer keeps."""

import pytest
import torch

from trainctl import assemble, compose, config, loop
from trainctl.average.polyak import polyak
from trainctl.errors import ConfigError
from trainctl.report.base import Together

RUN = ("dataset=iris", "model.norm=none", "output.plots=false", "loop.epochs=5", "optimizer=asgd", "optimizer.lr=0.1")


def test_asgd_evaluates_its_mean(tmp_path):
    run = assemble.assemble(config.load(compose.compose([*RUN, "optimizer.start_steps=5"])))
    (tmp_path / "run").mkdir()
    loop.train(run, tmp_path / "run", Together())

    assert run.average.model is not run.model
    assert run.state.averaged == run.plan.total_steps - 5
    for mine, theirs in zip(run.average.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(mine, run.optimizer.state[theirs]["ax"])
        assert not torch.equal(mine, theirs)


def test_another_average_can_be_chosen():
    assert compose.compose([*RUN])["average"]["name"] == "polyak"
    assert compose.compose([*RUN, "average=none"])["average"]["name"] == "none"


def test_an_optimizer_without_a_mean_is_refused():
    model = torch.nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="average=polyak evaluates the mean that optimizer=asgd keeps"):
        polyak(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
