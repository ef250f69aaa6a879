"""What the profiler measures: parts that add up to the eager step, counted operations, and steps that stay the same."""

import json
import math
import time

import pytest
import torch

from trainctl.machine import threads
from trainctl.measure import flops
from trainctl.measure import profile as profiler
from trainctl.measure import steps as timing
from trainctl.measure import trials as tries
from trainctl.measure.marks import PARTS, Meter
from trainctl.measure.trace import TRACED, trace
from trainctl.run import assemble, checks
from trainctl.settings import compose
from trainctl.step.eager import eager

EVERYTHING = (
    "dataset=wine", "augment=[noise]", "regularizer=[l2,max_norm]", "average=ema", "loop.clip_norm=1.0",
    "loop.micro_batches=2", "schedule=cosine", "loop.epochs=2", "compress=[prune]",
)  # fmt: skip
ALTERNATING = ("augment=[flip]", "augment.flip.alternating=true", "loop.batch_size=600")
MODELS = [
    ("dataset=wine", "model=linear"),
    ("dataset=wine", "model=mlp", "model.norm=batch"),
    ("model=cnn", "model.channels=[4]", "model.hidden=[8]"),
    ("model=resnet", "model.depth=8"),
    ("model=rnn", "model.hidden_size=8"),
    ("model=autoencoder", "model.hidden=[8]"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(flops, "SECONDS", 0.001)


def make(*overrides):
    return assemble.assemble(compose.compose(["device=cpu", *overrides]))


def parameters(run):
    return torch.cat([parameter.detach().flatten().clone() for parameter in run.model.parameters()])


# Parts.


@pytest.mark.parametrize(
    "words", [EVERYTHING, ("augment=[mixup]", "average=swa"), ("model=autoencoder",), ALTERNATING], ids=" ".join
)
def test_a_marked_step_computes_what_a_step_computes(words):
    runs = []
    for mark in ((), (lambda part: None,)):
        run = make(*words)  # draws the same numbers again
        take = timing.repeated(run, eager(run, *mark), *mark)
        for _ in range(6):
            take()
        runs.append(run)
    plain, told = runs
    assert torch.equal(parameters(plain), parameters(told))
    assert torch.equal(plain.sums.sums, told.sums.sums)
    assert plain.state.averaged == told.state.averaged


def test_parts_come_in_their_order():
    run, seen = make(*EVERYTHING, "loop.micro_batches=1"), []
    timing.repeated(run, eager(run, seen.append), seen.append)()
    named = [part.partition(":")[0] for part in seen if part != "bookkeeping"]
    assert list(dict.fromkeys(named)) == [part for part in PARTS if part != "bookkeeping"]
    assert "augmentation:noise" in seen
    assert {"penalty:l2", "projection:max_norm"} <= set(seen)


def test_time_goes_to_the_part_that_was_entered_last():
    clock = iter([0.0, 1.0, 3.0, 6.0, 7.0, 20.0, 21.0])
    meter = Meter(lambda: next(clock))
    for part in ("data", "forward", "data", "backward"):
        meter(part)
    assert meter.lap() == {"data": 4.0, "forward": 2.0, "backward": 1.0}
    meter("data")
    assert meter.lap() == {"data": 1.0}


def test_parts_add_up_to_the_eager_step():
    run, start = make(*EVERYTHING), time.thread_time()
    parts = timing.time_parts(run, 40)
    mean = (time.thread_time() - start) / (40 + timing.WARM_UP)
    assert all(value > 0 for value in parts.values())
    # Medians beside a mean of CPU time: whoever else uses the machine delays few of the 40 steps.
    assert 0.3 < sum(parts.values()) / mean < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("words", MODELS, ids=" ".join)
def test_every_model_is_measured(words):
    run = make(*words, "loop.eval_batch_size=16", "loop.batch_size=6", "loop.record=always")
    before = parameters(run)
    found = profiler.measure(run, 2)
    assert torch.equal(parameters(run), before)
    assert {"data", "scaling", "forward", "backward", "metrics", "optimizer", "bookkeeping"} == set(found.parts)
    assert min(found.whole, found.evaluation, found.reporting, found.checkpoint, *found.parts.values()) > 0
    assert set(found.flops) == {"forward", "backward"}
    assert not found.uncounted
    assert 0 < found.achieved < 20 * found.peak  # with matrices this small, a peak is none
    assert found.memory["weights"] >= 4 * run.parameters
    assert {trial.word.partition("=")[0] for trial in found.trials} >= {"loop.record", "loop.batch_size"}
    assert all(0 < trial.gain < math.inf for trial in found.trials)


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ((), "recorded"),
        (("loop.record=never",), "eager: loop.record=never"),
        (("augment=[mixup]",), "eager: rows are mixed"),
    ],
)
def test_how_training_takes_its_steps_is_said_and_why(words, engine):
    found = profiler.measure(make("dataset=wine", "model=linear", "loop.record=always", *words), 2)
    assert (found.engine, found.recorded) == (engine, engine == "recorded")


def test_whatever_the_schedule_and_however_steps_are_taken_a_rate_of_0_keeps_the_weights():
    run = make("dataset=wine", "schedule=one_cycle", "regularizer=[l2]")
    before = parameters(run)
    timing.keep_weights(run)
    for take in (timing.repeated(run, eager(run)), lambda: eager(run)(*next(run.order.batches(run.state.step)))):
        for _ in range(3):
            take()
    assert torch.equal(parameters(run), before)


def test_steps_begin_anew_where_the_plan_ends():
    run = make("dataset=wine", "schedule=one_cycle", "loop.max_steps=3")
    take = timing.repeated(run, eager(run))
    steps = []
    for _ in range(7):
        take()
        steps.append(run.state.step)
    assert steps == [1, 2, 0, 1, 2, 0, 1]


# Operations.


def test_the_operations_of_an_mlp_are_those_counted_by_hand():
    run = make("dataset=wine", "model.hidden=[20]", "model.norm=none", "loop.batch_size=16")
    found, uncounted = profiler.count_flops(run)
    first, second = 2 * 16 * 13 * 20, 2 * 16 * 20 * 3
    # Backward: the gradients of both matrices, and of what the second one was given.
    assert found == {"forward": first + second, "backward": first + second + second}
    assert not uncounted


def test_parts_of_a_batch_add_up_to_the_same_operations():
    words = ("dataset=wine", "model.norm=none", "loop.batch_size=16")
    assert profiler.count_flops(make(*words)) == profiler.count_flops(make(*words, "loop.micro_batches=3"))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
def test_recurrent_layers_are_counted(kind, both, layers):
    gates = {torch.nn.LSTM: 4, torch.nn.GRU: 3, torch.nn.RNN: 1}[kind]
    body, values = kind(8, 16, layers, bidirectional=both, batch_first=True), torch.randn(4, 5, 8)
    unknown, counter = flops.Uncounted(), flops.counter()
    with counter, unknown:
        outputs, _ = body(values)
        forward = counter.get_total_flops()
        torch.autograd.grad(outputs.sum(), list(body.parameters()))
    directions = 1 + both
    wide = [8 + 16, *[16 * directions + 16] * (layers - 1)]
    expected = sum(2 * 4 * 5 * gates * 16 * width * directions for width in wide)
    assert forward == expected
    # Some kernels make gradients that nobody asked for: of the first inputs, of the first state.
    assert 1.4 * expected < counter.get_total_flops() - forward <= 2 * expected
    assert not unknown.names


@pytest.mark.parametrize(
    ("kernel", "shapes", "expected"),
    [
        ("_cudnn_rnn", ([5, 4, 8], [[64, 8], [64, 16], [64], [64]]), 2 * 20 * 64 * 24),
        ("_cudnn_rnn_backward", ([20, 8], [[64, 8], [64, 16], [64], [64]]), 4 * 20 * 64 * 24),
        ("mv", ([3, 4], [4]), 24),
        ("addmv", ([3], [3, 4], [4]), 24),
        ("dot", ([7], [7]), 14),
    ],
)
def test_formulas_that_no_cpu_calls(kernel, shapes, expected):
    assert flops.FORMULAS[getattr(torch.ops.aten, kernel)](*shapes, out_shape=None) == expected


def test_products_without_a_formula_are_named():
    with flops.Uncounted() as unknown:
        torch.fft.fft(torch.randn(8))
        torch.linalg.inv(torch.eye(3))
        torch.linalg.vector_norm(torch.randn(3)) + torch.randn(3, 3).mm(torch.randn(3, 3)).sum()
        torch._standard_gamma(torch.ones(2))
    assert unknown.names == {"_fft_r2c", "linalg_inv_ex"}


def test_the_peak_is_that_of_the_fastest_product():
    speed, size = flops.peak(torch.float32, torch.device("cpu"))
    assert 1e8 < speed < 1e14
    assert size in (256, 512, 1024)


# What is tried.


def tried(*overrides, recorded=True, taken=0.0):
    return [word for word, _, _ in tries.changes(make("dataset=wine", *overrides), recorded, taken)]


def test_changes_are_those_that_the_run_leaves_open(monkeypatch):
    monkeypatch.setattr(threads.Watch, "choose", lambda self: threads.ThreadChoice(1))
    assert tried("threads=1") == ["precision=bf16", "loop.record=never", "loop.batch_size=124"]
    assert tried("threads=1", "precision=bf16", recorded=False) == ["precision=fp32", "loop.batch_size=124"]
    assert tried("threads=1", "loop.batch_size=full") == ["precision=bf16", "loop.record=never"]
    assert "loop.clip_norm=null loop.clip_value=null" in tried("loop.clip_norm=1", "loop.clip_value=1")
    assert "loop.batch_size=124" not in tried(taken=1e15)


def test_threads_are_tried_and_set_back(monkeypatch):
    monkeypatch.setattr(threads.Watch, "choose", lambda self: threads.ThreadChoice(2))
    run = make("dataset=wine", "model=linear", "loop.batch_size=full", "threads=1")
    assert "threads=2" in [word for word, _, _ in tries.changes(run, True, 0.0)]
    seen = []
    monkeypatch.setattr(tries, "changes", lambda *_: [("threads=2", run, 2)])
    monkeypatch.setattr(tries, "duel", lambda *takes: seen.append([threads_of(take) for take in takes[:2]]) or (1, 1))
    try:
        assert [trial.word for trial in tries.trials(run, True, 1, 0.0)] == ["threads=2"]
        assert seen == [[1, 2]]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


def threads_of(take):
    take()
    return torch.get_num_threads()


def test_a_larger_batch_leaves_a_batch_norm_two_rows():
    run = make("dataset=wine", "model.norm=batch", "loop.batch_size=31")  # 124 rows, and the last of 123 + 1 alone
    for word, changed, _ in tries.changes(run, True, 0.0):
        if word.startswith("loop.batch_size"):
            assert checks.smallest_part(124, changed.plan.batch_size, 1) > 1


def test_what_the_model_cannot_do_in_another_precision_is_left_out():
    from dataclasses import replace

    class Exact(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, inputs):
            if torch.is_autocast_enabled("cpu"):
                raise RuntimeError("no kernel for bfloat16")
            return self.inner(inputs)

    run = make("dataset=wine")
    words = [trial.word for trial in tries.trials(replace(run, model=Exact(run.model)), True, 2, 0.0)]
    assert words
    assert "precision=bf16" not in words


# The trace.


def test_the_trace_names_the_parts_of_steps():
    run = make(*EVERYTHING, "loop.micro_batches=1")
    events = json.loads(trace(run, True))["traceEvents"]
    names = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    for part in ("data", "augmentation:noise", "forward", "backward", "optimizer", "clipping", "averaging"):
        assert names.count(part) in (TRACED, 2 * TRACED), part
    assert names.count("eager step") == names.count("recorded step") == TRACED
    begin, end = (next(event for event in events if event["name"] == name) for name in ("forward", "backward"))
    inside = [event for event in events if event["name"] == "aten::addmm"]
    assert any(begin["ts"] <= event["ts"] <= end["ts"] for event in inside)
