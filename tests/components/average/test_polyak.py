"""The average that the optimizer keeps."""

import pytest
import torch

from trainctl.components.average.polyak import polyak
from trainctl.errors import ConfigError
from trainctl.run import assemble
from trainctl.run.reporter import MultiReporter
from trainctl.settings import compose
from trainctl.train import loop

RUN = ("dataset=iris", "model.norm=none", "output.plots=false", "loop.epochs=5", "optimizer=asgd", "optimizer.lr=0.1")


def test_asgd_evaluates_its_mean(tmp_path):
    run = assemble.assemble(compose.compose([*RUN, "optimizer.start_steps=5"]))
    (tmp_path / "run").mkdir()
    loop.train(run, tmp_path / "run", MultiReporter())

    assert run.average.model is not run.model
    assert run.state.averaged == run.plan.total_steps - 5
    for mine, theirs in zip(run.average.model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(mine, run.optimizer.state[theirs]["ax"], rtol=1e-5, atol=1e-6)
        assert not torch.equal(mine, theirs)


def test_its_mean_keeps_the_limits_that_a_regularizer_sets(tmp_path):
    words = (*RUN, "optimizer.start_steps=5", "regularizer=[weight_clip]", "regularizer.weight_clip.limit=0.01")
    run = assemble.assemble(compose.compose([*words]))
    (tmp_path / "run").mkdir()
    loop.train(run, tmp_path / "run", MultiReporter())
    assert all(weight.abs().max() <= 0.01 * (1 + 1e-6) for weight in run.average.model.parameters() if weight.ndim > 1)


def test_another_average_can_be_chosen():
    assert compose.compose([*RUN]).tree["average"]["name"] == "polyak"
    assert compose.compose([*RUN, "average=none"]).tree["average"]["name"] == "none"


def test_an_optimizer_without_a_mean_is_refused():
    model = torch.nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="average=polyak evaluates the mean that optimizer=asgd maintains"):
        polyak(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
