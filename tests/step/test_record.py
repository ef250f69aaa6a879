"""What a recorder notes, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.step.runs import make, train
from trainctl.step import eager as step
from trainctl.step import record
from trainctl.step.record import Recorder


def recorded(function: Any, *inputs: Tensor, keep: bool = True) -> Recorder:
    with Recorder(keep=keep) as recorder:
        function(*inputs)
    return recorder


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x * x.sum().item()],
        lambda x: [x[x > 0]],
        lambda x: [x.nonzero()],
        lambda x: [x if bool(torch.equal(x, x)) else -x],
    ],
)
def test_what_depends_on_values_is_told(function: Any) -> None:
    recorder = recorded(function, torch.ones(3))
    assert "depends on the values" in recorder.trouble
    assert recorder.calls == []


def test_a_heavy_step_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(record.MOST_BYTES, "cpu", 1000)
    assert (
        "too much memory to be recorded (more than 1.0 kB)"
        in recorded(lambda x: [x + 1 for _ in range(3)], torch.ones(100)).trouble
    )
    assert not recorded(lambda x: x.view(10, 10).add_(1).add_(1).add_(1).t(), torch.ones(100)).trouble  # no new memory


def test_calls_are_kept_only_where_they_are_needed() -> None:
    assert len(recorded(lambda x: x + 1, torch.ones(3)).calls) == 1
    assert recorded(lambda x: x + 1, torch.ones(3), keep=False).calls == []


class Waits(TorchDispatchMode):
    """Counts how often the host looks at a number of the device."""

    count = 0

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += record.depends(kernel, args)
        return kernel(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "words",
    [
        "model=cnn augment=[flip,crop,rotate,translate,color,erase,noise,mixup,cutmix] average=ema",
        "loop.clip_norm=1 loop.clip_value=1 regularizer=[l1,max_norm,orthogonal] optimizer=muon schedule=one_cycle",
        "loss=focal optimizer=lion loop.micro_batches=3 average=swa",
    ],
)
def test_between_looks_the_host_reads_the_loss_and_nothing_else(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        step, "_require_finite", lambda *_: None
    )  # on a CPU it reads what projections and clips would hide
    run = make(*words.split())
    run.sums.waits = False  # as on a GPU
    take_step = step.eager(run)
    train(run, take_step, 1)
    with Waits() as waits:
        train(run, take_step, 3)
    assert waits.count == 3  # the loss, which a step on a GPU does not read


@pytest.mark.parametrize(
    ("function", "times"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: torch.equal(x, x), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.masked_select(x > 0), 1),
        (lambda x: x.index_put_((x > 0,), torch.zeros(3)), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x.index_put_((torch.tensor([1]),), torch.zeros(1)), 0),
        (lambda x: x[torch.tensor([1])] + x.where(x > 0, -x), 0),
    ],
)
def test_a_wait_of_the_host_is_told_from_what_is_none(function: Any, times: int) -> None:
    with Waits() as waits:
        function(torch.ones(3))
    assert waits.count == times
