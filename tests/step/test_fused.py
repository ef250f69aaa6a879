"""An optimizer's kernel called directly is the optimizer's step."""

import copy

import pytest
import torch

from tests.step.runs import make, train
from trainctl.step import eager as step
from trainctl.step import fused
from trainctl.step.engine import Engine


def test_an_optimizer_that_is_loaded_anew_is_read_anew() -> None:
    run = make("loop.batch_size=full")
    take_step = Engine(run, print).take
    train(run, take_step, 3)
    run.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    moment = [state["exp_avg"].clone() for state in run.optimizer.state.values()]
    train(run, take_step, 2)
    assert not any(map(torch.equal, moment, (state["exp_avg"] for state in run.optimizer.state.values())))


def test_two_steps_of_one_optimizer_count_together() -> None:
    run = make("loop.batch_size=full")
    one, other = Engine(run, print).take, Engine(run, print).take
    for how in (one, other, one, step.eager(run), other):
        train(run, how, 3)
    assert {float(state["step"]) for state in run.optimizer.state.values()} == {15}


def test_a_gradient_lies_in_memory_as_its_parameter_does() -> None:
    parameter = torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(2, 3, 4, 4)
    found = step._laid_out(gradient, parameter)
    assert found is not None
    assert found.stride() == parameter.stride() != gradient.stride()
    assert torch.equal(found, gradient)
    assert step._laid_out(None, parameter) is None


def test_this_torch_has_the_private_names_that_make_steps_and_the_start_faster() -> None:
    """A torch that lacks one computes the same, more slowly: this test is the place where that is noticed."""
    names = {name for several in fused.KERNELS.values() for name in several}
    assert [name for name in names if not hasattr(torch, name)] == []
    assert hasattr(torch.optim.Optimizer.add_param_group, "__wrapped__")  # what without_compiler marks
    wrapped = torch.optim.Optimizer.add_param_group.__wrapped__
    assert vars(wrapped).get("__dynamo_disable", wrapped) is wrapped


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_without_a_kernel_the_optimizer_takes_its_own_step_and_that_is_said(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"optimizer={optimizer}", "loop.batch_size=full")
    run = make(*words)
    expected = train(run, Engine(run, print).take, 4)
    missing = fused.KERNELS[type(run.optimizer)]
    names = iter(f"_renamed{number}" for number in range(2))
    monkeypatch.setitem(fused.KERNELS, type(run.optimizer), tuple(next(names) for _ in missing))
    run = make(*words)
    engine = Engine(run, print)
    assert all(map(torch.equal, expected, train(run, engine.take, 4)))
    assert str(engine).startswith("recorded: this torch has no torch._renamed0")
    assert fused.fused(run.optimizer) == []


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("changes", [(), ("optimizer.momentum=0.9", "optimizer.dampening=0.3")])
def test_kernels_called_directly_survive_gradients_that_come_late_and_pause(
    name: str, changes: tuple[str, ...]
) -> None:
    words = (f"optimizer={name}", *(changes if name == "sgd" else ()))
    expected, run = make(*words), make(*words)
    update, plain = fused.Update(run, step.apply(run)), step.apply(expected)
    for number in range(10):
        for index, (one, other) in enumerate(
            zip(fused.trained_parameters(run.optimizer), fused.trained_parameters(expected.optimizer), strict=True)
        ):
            draws = torch.Generator().manual_seed(100 * number + index)
            late = index % 2 and (number < 3 or number in (6, 7))
            one.grad = None if late else torch.randn(one.shape, generator=draws)
            other.grad = None if one.grad is None else one.grad.clone()
        update()
        plain()
    assert update.kernels
    for one, other in zip(run.model.parameters(), expected.model.parameters(), strict=True):
        assert torch.equal(one, other)
