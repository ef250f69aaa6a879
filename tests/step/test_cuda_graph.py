"""CUDA graphs. Most of it is seen without a GPU, with a graph that only keeps its tensors where they are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.step.runs import make, replaced, tensors, train
from trainctl.machine import device
from trainctl.run.rate import set_learning_rate
from trainctl.run.run import Run
from trainctl.step import cuda_graph, engine, record
from trainctl.step.eager import eager
from trainctl.step.engine import Accelerator, Engine
from trainctl.step.record import Recorder


class Imitation:
    """Does what a graph does: reads its own inputs, and overwrites the results of the call before."""

    made: list["Imitation"]

    def __init__(self, compute: Any, inputs: list[Tensor], pool: Any) -> None:
        self.compute, self.inputs = compute, [value.clone() for value in inputs]
        self.pool = pool or object()
        self.results = [value if value is None else value.clone() for value in compute(*self.inputs)]
        self.made.append(self)

    def __call__(self, *inputs: Tensor) -> list[Any]:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        for own, value in zip(self.results, self.compute(*self.inputs), strict=True):
            if own is not None:
                own.copy_(value)
        return list(self.results)


def as_on_a_gpu(run: Run, notes: list[str]) -> Engine:
    """Return an engine that takes its accelerator for a CUDA graph."""
    run.sums.waits = False
    graphs = cuda_graph.Graphs(keep=run.config.loop.micro_batches > 1)
    made = Engine(run, notes.append)
    made.accelerator = Accelerator("CUDA graph", graphs.build, exact=False, keeps_calls=False)
    return made


@pytest.mark.parametrize("words", ["", "loop.micro_batches=4 loop.clip_norm=0.1", "augment=noise optimizer=rmsprop"])
def test_a_graph_computes_the_same(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph, "Graph", Imitation)
    monkeypatch.setattr(Imitation, "made", [], raising=False)
    run = make(*words.split())
    expected = train(run, eager(run), 12)
    run, notes = make(*words.split()), []
    taken = as_on_a_gpu(run, notes)
    assert all(map(torch.equal, expected, train(run, taken.take, 12)))
    assert len(Imitation.made) == len(taken.trusted) > 1
    assert len({graph.pool for graph in Imitation.made}) == 1  # they share their memory
    assert (str(taken), notes) == ("CUDA graph", [])


def test_a_graph_that_computes_something_else_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Imitation):
        def __call__(self, *inputs: Tensor) -> list[Any]:
            return [value if value is None else value * (1 + 1 / 400) for value in super().__call__(*inputs)]

    monkeypatch.setattr(cuda_graph, "Graph", Wrong)
    monkeypatch.setattr(Wrong, "made", [], raising=False)
    run = make()
    expected = train(run, eager(run), 8)
    run, notes = make(), []
    taken = as_on_a_gpu(run, notes)
    assert all(map(torch.equal, expected, train(run, taken.take, 8)))
    assert str(taken) == "eager: the recorded step gave different results than the eager step"
    assert len(notes) == 1


def test_an_error_in_the_second_eager_run_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph, "Graph", Imitation)
    monkeypatch.setattr(Imitation, "made", [], raising=False)
    run = make("loop.batch_size=full")
    calls, whole = [], run.loss

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 4:  # recorded, captured, replayed by the imitation
            raise IndexError("of the user's")
        return whole(outputs, targets)

    taken = as_on_a_gpu(replaced(run, loss=loss), [])
    train(run, taken.take, 1)
    with pytest.raises(IndexError, match="of the user's"):
        train(run, taken.take, 1)


def test_what_cuda_cannot_capture_is_computed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(cuda_graph, "Graph", refuse)
    run = make()
    expected = train(run, eager(run), 8)
    run, notes = make(), []
    taken = as_on_a_gpu(run, notes)
    assert all(map(torch.equal, expected, train(run, taken.take, 8)))
    assert str(taken) == "eager: CUDA cannot capture it (operation not permitted when stream is capturing)"
    assert not notes


def test_what_a_gpu_holds_beside_a_run_limits_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 1 << 40))
    assert Recorder("cuda").most == 500
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 << 50, 1 << 50))
    assert Recorder("cuda").most == record.MOST_BYTES["cuda"]


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@GPU
@pytest.mark.parametrize(
    "words",
    [
        "loop.batch_size=full model=cnn",
        "loop.batch_size=full model=rnn optimizer=sgd",
        "model=mlp",
        "loop.micro_batches=4",
    ],
)
def test_on_a_gpu_a_graph_is_replayed_without_a_wait(words: str) -> None:
    run = make("device=cuda", *words.split())
    expected = train(run, eager(run), 20)
    run, notes = make("device=cuda", *words.split()), []
    taken = Engine(run, notes.append)
    train(run, taken.take, 11)
    assert (str(taken), notes) == ("CUDA graph", [])
    assert not taken.unchecked
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = run.order.batches(run.state.step)
        for (inputs, targets), _ in zip(batches, range(9), strict=False):  # two more epochs begin
            set_learning_rate(run)
            taken.take(inputs, targets)
            run.state.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    weights, found = len(list(run.model.state_dict())), tensors(run)
    for one, other in zip(expected[:weights], found[:weights], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


@GPU
def test_on_a_gpu_graphs_are_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHECK_EVERY", 3)
    run, notes = make("device=cuda", "augment=[noise]", "model.dropout=0.2"), []
    taken = Engine(run, notes.append)
    train(run, taken.take, 30)
    assert (str(taken), notes) == ("CUDA graph", [])


@GPU
def test_on_a_gpu_random_numbers_go_on_after_a_capture_that_failed() -> None:
    inputs = torch.ones(100, device="cuda")
    with pytest.raises(RuntimeError):
        cuda_graph.Graph(lambda x: [nn.functional.dropout(x) * x.sum().item()], [inputs])
    before = torch.cuda.get_rng_state()
    device.end_capture(inputs.device)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert {0.0, 2.0} == set(nn.functional.dropout(inputs).tolist())
