"""A recording written as a function gives what the computation gives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainctl.step import replay
from trainctl.step.record import Program, Recorder, Recording


def program(function: Callable[..., Any], *inputs: Tensor) -> Program:
    with Recorder() as recorder:
        results = list(function(*inputs))
    return replay.build(Recording(function, inputs, results, recorder.calls))


def test_constants_are_read_where_they_are_and_written_in_place() -> None:
    weight, total = torch.ones(3), torch.zeros(())

    def function(inputs: Tensor) -> list[Tensor]:
        product = inputs * weight.view(1, 3)
        total.add_(product.sum())
        return [product]

    built = program(function, torch.ones(2, 3))
    weight.fill_(2)
    total.zero_()
    (product,) = built(torch.full((2, 3), 5.0))
    assert product.unique().tolist() == [10]
    assert total.item() == 60


def test_views_of_inputs_are_taken_anew() -> None:
    built = program(lambda x: [x.t() * 2, x.view(-1) * 1, x[0] + 0], torch.ones(3, 2))
    found = built(torch.full((3, 2), 5.0))
    assert [value.unique().tolist() for value in found] == [[10], [5], [5]]


ONES = torch.ones(4)


def raised(values: list[Tensor]) -> list[Tensor]:
    torch._foreach_add_(values, 1.0)
    return values


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.split([1, 3], 1),  # a list of tensors comes back
        lambda x: [part * 2 for part in x.unbind(1)] + [x],
        lambda x: [torch.cat([x, x * 2]), None],
        lambda x: [x.clamp(None, 0.5), x.clamp(0.2), x * 2.5, x / 3, 1 - x, x**2, x.int() + 1],
        lambda x: [x.sum(), x.sum(0), x.sum((0, 1), keepdim=True), x.mean(-1, dtype=torch.float64)],
        lambda x: [x.view(1, 1, 2, 4).contiguous(memory_format=torch.channels_last), x.double(), x.bool()],
        lambda x: [nn.functional.interpolate(x[None, None], scale_factor=(1.5, 2), mode="nearest")],
        lambda x: [nn.functional.layer_norm(x, (4,)), nn.functional.gelu(x, approximate="tanh")],
        lambda x: [x[:, [2, 0]], x.max(1).values, torch.where(x > 0, x, -1.0), torch.full_like(x, 3)],
        lambda x: [torch.zeros(2, 3, device=x.device, dtype=torch.long), torch.arange(3) + x.sum()],
        lambda x: [x.t().t() + 1, x.t().detach().t() * 2, x.detach()],
        lambda x: x.clone().mul_(2).add_(1).chunk(2),
        lambda x: raised([x * 1, x * 2]),  # by a kernel that returns nothing
        lambda x: [x.view(torch.int32) + 1, torch.full((2,), True) | (x > 0).any()],  # bits as other numbers, a truth
        lambda x: [nn.functional.conv1d(x[None], x[None, :, :3]), x.std(), x.new_tensor([1.5]).expand(3)],
        lambda x: [x.topk(2)[1], x.sort(descending=True).values, *torch.meshgrid(x[0], x[1], indexing="ij")],
        lambda x: [torch.ops.aten.lift_fresh(ONES) + x, torch.ops.aten.lift_fresh(ONES) * x, ONES.detach() + x],
    ],
)
def test_what_kernels_take_and_return_is_written_down(function: Any) -> None:
    other = torch.randn(2, 4)
    found = program(function, torch.randn(2, 4))(other)
    for one, wanted in zip(found, function(other), strict=True):
        assert one is wanted is None or (one.dtype == wanted.dtype and one.stride() == wanted.stride())
        assert one is None or torch.equal(one, wanted)


def test_rows_picked_by_number_do_not_depend_on_values() -> None:
    x, index = torch.arange(4.0), torch.tensor([2, 0])
    built = program(lambda x, index: [x[index]], x, index)
    assert built(x, torch.tensor([3, 3]))[0].tolist() == [3, 3]


def test_every_kernel_runs_as_often_as_it_was_recorded() -> None:
    def function(x: Tensor) -> list[Tensor]:
        x.sin()  # nobody looks at it, but it may draw a number or write somewhere
        return [x.cos() + x.cos()]

    given = torch.ones(3)
    built = program(function, given)
    for _ in range(3):
        with torch.profiler.profile(acc_events=True) as profile:
            built(given)
        counts = {event.key: event.count for event in profile.key_averages()}
        assert (counts["aten::sin"], counts["aten::cos"], counts["aten::add"]) == (1, 2, 1)
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        built(given, given)


def test_a_replay_makes_no_graph_of_autograd_and_holds_no_values() -> None:
    weight = torch.ones(3, requires_grad=True)
    built = program(lambda x: [(x * weight).sum()], torch.ones(3))
    (value,) = built(torch.ones(3))
    assert torch.is_grad_enabled()  # some kernels compute something else without
    assert not value.requires_grad
    with torch.no_grad():
        weight.fill_(5)
    assert built(torch.ones(3))[0] == 15


def test_views_that_nobody_looks_at_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    found = replay.quickest
    monkeypatch.setattr(replay, "quickest", lambda kernel, *given: counted(found(kernel, *given), kernel, seen))
    built = program(lambda x: [(x * 2).t().t() + 1, (x * 3).view(-1)[0:2].add_(1)], torch.ones(2, 2))
    built(torch.ones(2, 2))
    names = [kernel.name() for kernel in seen]
    assert "aten::t" not in names
    assert {"aten::view", "aten::slice.Tensor"} <= set(names)


def counted(function: Any, kernel: Any, seen: list[Any]) -> Any:
    def call(*given: Any, **more: Any) -> Any:
        seen.append(kernel)
        return function(*given, **more)

    return call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: [torch.addmm(x[0], x, x.t())], "addmm"),
        (lambda x: [x.clone().mul_(2)], "mul_"),
        (lambda x: [x.double()], "to"),
        (lambda x: [torch.nn.functional.nll_loss(x, torch.zeros(3, dtype=torch.long))], None),  # no public function
        (lambda x: [torch.ops.aten.sum.dim_IntList(x, [0], True)], "sum"),
    ],
)
def test_a_public_function_is_called_where_it_leads_to_the_same_kernel(function: Any, name: str | None) -> None:
    with Recorder() as recorder:
        function(torch.ones(3, 3))
    call = recorder.calls[-1]
    quick = replay.quickest(call.kernel, call.args, call.kwargs)
    assert quick is call.kernel.op if name is None else getattr(quick, "__name__", "") == name


def test_a_function_that_leads_to_another_kernel_is_not_called() -> None:
    x, kernel = torch.ones(2), torch.ops.aten.mul.Tensor
    assert replay._leads_to(kernel, torch.mul, (x, x), {})
    assert replay._leads_to(kernel, torch.mul, (x, 2), {})
    assert not replay._leads_to(kernel, torch.mul, (x, x), {"out": x})
    assert not replay._leads_to(kernel, torch.add, (x, x), {})
    assert not replay._leads_to(kernel, torch.is_tensor, (x,), {})  # calls none
    assert not replay._leads_to(kernel, torch.mul, ("x", x), {})
