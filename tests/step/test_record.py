"""A step that is recorded and replayed gives the bits of one that is computed."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.zygote import EAGER
from trainctl.errors import NonFiniteError
from trainctl.machine import device
from trainctl.run import assemble
from trainctl.run.run import Run
from trainctl.settings import compose
from trainctl.step import eager as step
from trainctl.step import record as capture
from trainctl.step.record import Recorder, compile_calls
from trainctl.train import loop
from trainctl.train.evaluation import evaluate, renew_statistics

SMALL = ("dataset=digits", "loop.batch_size=400", "output.plots=false")


def make(*overrides: str) -> Run:
    return assemble.assemble(compose.compose([*SMALL, *overrides]))


def tensors(run: Run) -> list[Tensor]:
    """Return all that a step may change."""
    state = [value for entry in run.optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    parts = [*run.model.state_dict().values(), *run.average.model.state_dict().values(), *state]
    return [tensor.clone() for tensor in parts] + [run.sums.sums.clone(), torch.get_rng_state()]


def train(run: Run, how: Any, steps: int) -> list[Tensor]:
    for (inputs, targets), _ in zip(run.order.batches(run.state.step), range(steps), strict=False):
        loop.set_learning_rate(run)
        how(inputs, targets)
        run.state.step += 1
    return tensors(run)


def both(*overrides: str, steps: int = 12) -> tuple[bool, list[str]]:
    """Train eagerly and captured; return whether all bits are the same, and what was noted."""
    run = make(*overrides)
    expected = train(run, step.eager(run), steps)
    notes: list[str] = []
    run = make(*overrides)
    found = train(run, step.captured(run, notes.append), steps)
    return all(torch.equal(*pair) for pair in zip(expected, found, strict=True)), notes


@pytest.mark.parametrize(
    "overrides",
    [
        "model=linear", "model=mlp", "model=cnn", "model=resnet model.depth=8", "model=rnn", "model=rnn model.cell=gru",
        "model=rnn model.cell=rnn model.bidirectional=true model.layers=2 model.dropout=0.3", "model=autoencoder",
        "model=autoencoder model.channels=[4]", "model=mlp model.norm=batch average=ema", "model=cnn model.norm=batch",
        "optimizer=sgd", "optimizer=sgd optimizer.momentum=0", "optimizer=sgd optimizer.nesterov=true",
        "optimizer=adamw optimizer.amsgrad=true", "optimizer=muon", "optimizer=nadam", "schedule=one_cycle",
        "loop.clip_norm=0.1 loop.micro_batches=3", "regularizer=[l1,l2,orthogonal,max_norm]", "precision=bf16",
        "augment=[noise,translate]", "model=autoencoder augment=[noise]", "loss=focal", "loss=hinge",
        "optimizer=sgd schedule=one_cycle", "decay_norm_and_bias=true optimizer.weight_decay=0.1", "loop.batch_size=full",
    ],
)  # fmt: skip
def test_captured_steps_give_the_same_bits(overrides: str) -> None:
    assert both(*overrides.split()) == (True, [])


def test_steps_are_really_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    calls = []
    forward = run.model.forward
    monkeypatch.setattr(run.model, "forward", lambda inputs: calls.append(len(inputs)) or forward(inputs))
    train(run, step.captured(run, print), 20)
    # 1,257 rows: three batches of 400 and one of 57 an epoch; each size is computed once, and once more for comparison
    assert sorted(calls) == [57, 57, 400, 400]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [("augment=mixup", "rows are mixed"), ("model=rnn dataset=text", "_pack_padded_sequence")],
)
def test_what_cannot_be_replayed_is_computed_and_said(overrides: str, reason: str, tmp_path: Any) -> None:
    words = overrides.split()
    if "dataset=text" in words:
        rows = [f"{'ab' * (row % 7 + 1)},{'xy'[row % 2]}" for row in range(60)]
        (tmp_path / "a.csv").write_text("\n".join(["words,kind", *rows, ""]))
        words += [
            f"dataset.path={tmp_path / 'a.csv'}",
            "dataset.text=words",
            "dataset.target=kind",
            "loop.batch_size=9",
        ]
    same, notes = both(*words)
    assert same
    assert len(notes) == 1
    assert reason in notes[0]


def test_rows_that_are_mixed_only_sometimes_are_not_replayed() -> None:
    def late(run: Run) -> Run:
        mixup, calls = run.augment[0], []

        def change(inputs: Tensor, generator: torch.Generator) -> Any:
            calls.append(1)
            return mixup(inputs, generator) if len(calls) > 4 else inputs

        object.__setattr__(run, "augment", (change,))
        return run

    words, notes = ("augment=mixup", "loop.batch_size=full"), []
    run = late(make(*words))
    expected = train(run, step.eager(run), 7)
    run = late(make(*words))
    assert all(map(torch.equal, expected, train(run, step.captured(run, notes.append), 7)))
    assert notes == ["the step is not replayed: rows are mixed"]


class Halving(nn.Module):
    """Does something else at every call, which no recording can know."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.factor = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 1.0

    def forward(self, inputs: Tensor) -> Tensor:
        self.factor /= 2
        outputs: Tensor = self.body(inputs) * self.factor
        return outputs


def test_a_replay_that_differs_is_found_out_and_given_up() -> None:
    run, notes = make("model=linear", "loop.batch_size=full"), []
    object.__setattr__(run, "model", Halving())
    optimizer = torch.optim.Adam(run.model.parameters(), fused=True)
    optimizer.param_groups[0]["initial_lr"] = 0.1
    object.__setattr__(run, "optimizer", optimizer)
    train(run, step.captured(run, notes.append), 4)
    assert notes == ["the step is not replayed: its replay gave other numbers"]
    assert run.model.factor == 2**-4


@pytest.mark.skipif(EAGER, reason="asks for the default")
def test_components_of_ones_own_are_captured_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr(step, "captured", lambda run, note: chosen.append("captured"))
    monkeypatch.setattr(step, "eager", lambda run: chosen.append("eager"))
    for capture_mode, components in (("auto", "[]"), ("auto", "[json]"), ("always", "[json]"), ("never", "[]")):
        step.make(make(f"loop.capture={capture_mode}", f"components={components}"), print)
    assert chosen == ["captured", "eager", "captured", "eager"]


def test_a_loss_that_is_not_finite_is_seen_before_weights_change() -> None:
    run = make("loop.batch_size=full")
    take_step = step.captured(run, print)
    rows = run.data.splits["train"]
    for _ in range(3):
        take_step(rows.inputs, rows.targets)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    run.data.input_scale.factor.fill_(math.nan)
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        take_step(rows.inputs, rows.targets)
    assert all(map(torch.equal, before, run.model.parameters()))


def test_an_optimizer_that_is_loaded_anew_is_read_anew() -> None:
    run = make("loop.batch_size=full")
    take_step = step.captured(run, print)
    train(run, take_step, 3)
    run.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    moment = [state["exp_avg"].clone() for state in run.optimizer.state.values()]
    train(run, take_step, 2)
    assert not any(map(torch.equal, moment, (state["exp_avg"] for state in run.optimizer.state.values())))


def test_two_steps_of_one_optimizer_count_together() -> None:
    run = make("loop.batch_size=full")
    one, other = step.captured(run, print), step.captured(run, print)
    for how in (one, other, one, step.eager(run), other):
        train(run, how, 3)
    assert {float(state["step"]) for state in run.optimizer.state.values()} == {15}


def with_scaler(run: Run) -> Run:
    object.__setattr__(run, "scaler", torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4))
    return run


@pytest.mark.parametrize("overflowing", [None, 1, 2])  # 1: the step whose replay is compared, or was to be
def test_the_scale_of_fp16_goes_on_changing(overflowing: int | None) -> None:
    def run_all(run: Run, how: Any) -> list[Tensor]:
        for number in range(12):
            if overflowing is not None and 0 <= number - overflowing < 2:
                run.scaler.update(math.inf if number == overflowing else 1024.0)
            train(run, how, 1)
        return [*tensors(run), torch.tensor(run.scaler.get_scale())]

    words, notes = ("loop.batch_size=full", "optimizer=sgd", "optimizer.lr=0.1"), []
    run = with_scaler(make(*words))
    run.scaler.scale(torch.ones(()))
    expected = run_all(run, step.eager(run))
    run = with_scaler(make(*words))
    replay = step.Replay(run, notes.append)
    found = run_all(run, step._step(run, replay, step.Update(run)))
    assert all(map(torch.equal, expected, found))
    assert not notes
    assert replay.trusted
    assert 1024 < found[-1] < math.inf


@pytest.mark.parametrize(
    "words", ["average=swa average.start_fraction=0 model.norm=batch", "average=ema optimizer=sgd"]
)
def test_recorded_steps_outlast_what_comes_between_them(words: str) -> None:
    def run_all(run: Run, how: Any) -> list[Tensor]:
        for _ in range(4):
            train(run, how, 5)
            renew_statistics(run)
            evaluate(run.evaluation, "val")
            train(run, how, 2)
            kept = copy.deepcopy([run.model.state_dict(), run.optimizer.state_dict()])
            train(run, how, 3)
            run.model.load_state_dict(kept[0])
            run.optimizer.load_state_dict(kept[1])
        return tensors(run)

    run, notes = make(*words.split()), []
    expected = run_all(run, step.eager(run))
    run = make(*words.split())
    replay = step.Replay(run, notes.append)
    found = run_all(run, step._step(run, replay, step.Update(run)))
    assert all(map(torch.equal, expected, found))
    assert not notes
    assert len(replay.trusted) == 2
    assert run.state.averaged


def test_a_gradient_lies_in_memory_as_its_parameter_does() -> None:
    parameter = torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(2, 3, 4, 4)
    found = step._laid_out(gradient, parameter)
    assert found is not None
    assert found.stride() == parameter.stride() != gradient.stride()
    assert torch.equal(found, gradient)
    assert step._laid_out(None, parameter) is None


# CUDA graphs. Most of it is seen without a GPU, with a graph that only keeps its tensors where they are.


class Imitation:
    """Does what a graph does: reads its own inputs, and overwrites the results of the call before."""

    def __init__(self, program: capture.Program, inputs: list[Tensor], pool: Any) -> None:
        self.program, self.inputs = program, [value.clone() for value in inputs]
        self.pool = pool or object()
        self.results: list[Tensor] = []

    def __call__(self, *inputs: Tensor) -> list[Any]:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        found = self.program(*self.inputs)
        if not self.results:
            self.results = [value.clone() for value in found]
        for own, value in zip(self.results, found, strict=True):
            own.copy_(value)
        return list(self.results)


@pytest.mark.parametrize("words", ["", "loop.micro_batches=4 loop.clip_norm=0.1", "augment=noise optimizer=rmsprop"])
def test_a_graph_computes_the_same(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(step, "Graph", lambda *given: made.append(Imitation(*given)) or made[-1])
    run = make(*words.split())
    expected = train(run, step.eager(run), 12)
    run, notes = make(*words.split()), []
    replay = step.Replay(run, notes.append)
    replay.graphs, run.sums.waits = True, False  # as on a GPU
    assert all(map(torch.equal, expected, train(run, step._step(run, replay, step.Update(run)), 12)))
    assert len(made) == len(replay.recorded)
    assert len({graph.pool for graph in made}) == 1  # they share their memory
    assert not notes


def test_what_cuda_cannot_capture_is_computed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(step, "Graph", refuse)
    run = make()
    expected = train(run, step.eager(run), 8)
    run, notes = make(), []
    replay = step.Replay(run, notes.append)
    replay.graphs, run.sums.waits = True, False  # as on a GPU
    assert all(map(torch.equal, expected, train(run, step._step(run, replay, step.Update(run)), 8)))
    assert notes == [
        "the step is not replayed: CUDA cannot capture it (operation not permitted when stream is capturing)"
    ]


def test_numbers_of_a_gpu_are_close_or_are_not() -> None:
    one, zeros = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
    assert step._close(one, one * 1.001)
    assert step._close(zeros, zeros)
    assert step._close(None, None)
    for other in (one * 1.1, one.t(), one[:1], one * math.nan, zeros, None):
        assert not step._close(one, other)


class Waits(TorchDispatchMode):
    """Counts how often the host looks at a number of the device."""

    count = 0

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += capture.depends(kernel, args)
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
    monkeypatch.setattr(step, "_judge", lambda *_: None)  # on a CPU it looks at what projections and clips would hide
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
    expected = train(run, step.eager(run), 20)
    run, notes = make("device=cuda", *words.split()), []
    replay = step.Replay(run, notes.append)
    take_step = step._step(run, replay, step.Update(run))
    train(run, take_step, 11)
    assert replay.trusted.keys() == replay.recorded.keys() != set()
    assert not notes
    torch.cuda.set_sync_debug_mode("error")
    try:
        for (inputs, targets), _ in zip(
            run.order.batches(run.state.step), range(9), strict=False
        ):  # two more epochs begin
            loop.set_learning_rate(run)
            take_step(inputs, targets)
            run.state.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    weights, found = len(list(run.model.state_dict())), tensors(run)
    for one, other in zip(expected[:weights], found[:weights], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


@GPU
def test_on_a_gpu_random_numbers_go_on_after_a_capture_that_failed() -> None:
    inputs = torch.ones(100, device="cuda")
    with pytest.raises(RuntimeError):
        capture.Graph(lambda x: [nn.functional.dropout(x) * x.sum().item()], [inputs])
    before = torch.cuda.get_rng_state()
    device.end_capture(inputs.device)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert {0.0, 2.0} == set(nn.functional.dropout(inputs).tolist())


def test_what_a_gpu_holds_beside_a_run_limits_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 1 << 40))
    assert Recorder("cuda").most == 500
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 << 50, 1 << 50))
    assert Recorder("cuda").most == capture.MOST_BYTES["cuda"]


# The recording itself.


def record(function: Any, *inputs: Tensor) -> tuple[Any, Recorder]:
    with Recorder() as recorder:
        results = function(*inputs)
    return results, recorder


def test_constants_are_read_where_they_are_and_written_in_place() -> None:
    weight, total = torch.ones(3), torch.zeros(())

    def function(inputs: Tensor) -> list[Tensor]:
        product = inputs * weight.view(1, 3)
        total.add_(product.sum())
        return [product]

    results, recorder = record(function, torch.ones(2, 3))
    given = torch.ones(2, 3)
    results, recorder = record(function, given)
    program = compile_calls(recorder.calls, [given], results)
    weight.fill_(2)
    total.zero_()
    (product,) = program(torch.full((2, 3), 5.0))
    assert product.unique().tolist() == [10]
    assert total.item() == 60


def test_views_of_inputs_are_taken_anew() -> None:
    given = torch.ones(3, 2)
    results, recorder = record(lambda x: [x.t() * 2, x.view(-1) * 1, x[0] + 0], given)
    found = compile_calls(recorder.calls, [given], results)(torch.full((3, 2), 5.0))
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
        lambda x: [torch.ops.aten.lift_fresh(ONES) + x, torch.ops.aten.lift_fresh(ONES) * x, ONES.detach() + x],
    ],
)
def test_what_kernels_take_and_return_is_written_down(function: Any) -> None:
    given, other = torch.randn(2, 4), torch.randn(2, 4)
    results, recorder = record(function, given)
    found = compile_calls(recorder.calls, [given], results)(other)
    for one, wanted in zip(found, function(other), strict=True):
        assert one is wanted is None or (one.dtype == wanted.dtype and one.stride() == wanted.stride())
        assert one is None or torch.equal(one, wanted)


def test_a_kernel_that_torchscript_does_not_know_is_told_and_its_step_computed() -> None:
    class Reading(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            bits = inputs.detach().flatten(1).view(torch.int32)
            return super().forward(inputs.flatten(1)) + bits.sum() * 0

    def with_model(run: Run) -> Run:
        torch.manual_seed(0)
        model = Reading(64, 10)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        optimizer.param_groups[0]["initial_lr"] = 0.1
        for name, value in (("model", model), ("optimizer", optimizer)):
            object.__setattr__(run, name, value)
        return run

    run, notes = with_model(make("model=linear")), []
    expected = train(run, step.eager(run), 6)
    run = with_model(make("model=linear"))
    assert all(map(torch.equal, expected, train(run, step.captured(run, notes.append), 6)))
    assert notes == [
        "the step is not replayed: it cannot be written down (TorchScript does not know aten::view.dtype with these arguments)"
    ]


def test_every_kernel_runs_as_often_as_it_was_recorded_and_torchscript_optimizes_again_afterwards() -> None:
    def function(x: Tensor) -> list[Tensor]:
        x.sin()  # nobody looks at it, but it may draw a number or write somewhere
        return [x.cos() + x.cos()]

    given = torch.ones(3)
    results, recorder = record(function, given)
    program = compile_calls(recorder.calls, [given], results)
    for _ in range(3):
        with torch.profiler.profile(acc_events=True) as profile:
            program(given)
        counts = {event.key: event.count for event in profile.key_averages()}
        assert (counts["aten::sin"], counts["aten::cos"], counts["aten::add"]) == (1, 2, 1)
    with pytest.raises(RuntimeError, match="at most 1 argument"):
        program(given, given)
    assert torch._C._get_graph_executor_optimize()


def test_an_augmentation_may_leave_batches_alone_now_and_then() -> None:
    def late(run: Run) -> Run:
        calls = []

        def change(inputs: Tensor, generator: torch.Generator) -> Tensor:
            calls.append(1)
            return inputs if len(calls) <= 3 else inputs + 1

        object.__setattr__(run, "augment", (change,))
        return run

    words, notes = ("model=autoencoder", "augment=[noise]", "loop.batch_size=full"), []
    run = late(make(*words))
    expected = train(run, step.eager(run), 8)
    run = late(make(*words))
    assert all(map(torch.equal, expected, train(run, step.captured(run, notes.append), 8)))
    assert not notes


@pytest.mark.parametrize("place", ["building", "running"])
def test_a_program_that_fails_is_given_up_and_the_step_computed(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def fail(*given: Any) -> Any:
        raise ValueError("of no use\nto anybody")

    run, notes = make(), []
    expected = train(run, step.eager(run), 8)
    monkeypatch.setattr(step, "compile_calls", fail if place == "building" else lambda *given: fail)
    run = make()
    assert all(map(torch.equal, expected, train(run, step.captured(run, notes.append), 8)))
    (note,) = notes
    assert note.startswith("the step is not replayed: it")
    assert note.endswith("(of no use)")


def test_true_in_the_place_of_a_number_is_not_taken_for_1() -> None:
    given = torch.ones(2)
    results, recorder = record(lambda x: [torch.full((2,), True) | (x > 0)], given)
    with pytest.raises(RuntimeError, match="TorchScript does not know aten::full with these arguments"):
        compile_calls(recorder.calls, [given], results)


def test_the_reason_of_a_failure_in_torchscript_is_found() -> None:
    given = torch.ones(8)
    results, recorder = record(lambda x: [x.view(2, 4) + 1], given)
    with pytest.raises(RuntimeError) as caught:
        compile_calls(recorder.calls, [given], results)(torch.ones(3))
    assert capture.reason(caught.value) == "shape '[2, 4]' is invalid for input of size 3"


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
    _, recorder = record(function, torch.ones(3))
    assert "depends on the values" in recorder.trouble
    assert recorder.calls == []


def test_rows_picked_by_number_do_not_depend_on_values() -> None:
    x, index = torch.arange(4.0), torch.tensor([2, 0])
    results, recorder = record(lambda x, index: [x[index]], x, index)
    program = compile_calls(recorder.calls, [x, index], results)
    assert program(x, torch.tensor([3, 3]))[0].tolist() == [3, 3]


def test_a_heavy_step_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(capture.MOST_BYTES, "cpu", 1000)
    _, recorder = record(lambda x: [x + 1 for _ in range(3)], torch.ones(100))
    assert "bound by arithmetic" in recorder.trouble
