"""How one optimizer step is executed: eagerly, or recorded and replayed. The same numbers."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixing
from trainctl.components.optimizer.base import unwrapped_step
from trainctl.errors import NonFiniteError, lacks_memory
from trainctl.machine.device import autocast, derive, end_capture, random_states, restore_random_states
from trainctl.run.run import Evaluation, Run
from trainctl.step.record import MOST_BYTES, Graph, Program, Recorder, compile_calls, reason

Step = Callable[[Tensor, Tensor], None]


def scaled(
    evaluation: Evaluation, stored: Tensor, targets: Tensor, augmented: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what the model sees and what it is to return: a reconstruction's target is its scaled, not augmented input."""
    scale = evaluation.data.input_scale
    seen = scale(stored if augmented is None else augmented)
    if evaluation.task != "reconstruction":
        return seen, targets
    return seen, seen if augmented is None else scale(stored)


def compare(run: Run, outputs: Tensor, targets: Tensor, mixings: Sequence[Mixing]) -> tuple[Tensor, Tensor]:
    """Return a batch's loss, and the targets that metrics count.

    Where rows were mixed, the losses against all their classes are mixed by share, and the class with the largest
    share counts; targets that are numbers are mixed themselves.
    """
    if not mixings:
        return run.loss(outputs, targets), targets
    parts = [(outputs.new_ones(()), targets)]
    for mixing in mixings:
        parts = mixing.parts(parts)
    if run.task != "classification":
        targets = torch.stack([share * part for share, part in parts]).sum(0)
        return run.loss(outputs, targets), targets
    loss = torch.stack([share * run.loss(outputs, part) for share, part in parts]).sum()
    largest = torch.stack([share for share, _ in parts]).argmax().reshape(1)  # not [largest]: the host would wait
    return loss, torch.stack([part for _, part in parts]).index_select(0, largest).squeeze(0)


# (inputs, targets, augmented, mixings, share) -> [loss, *gradients], and what `Sums.add` takes if that waits
Compute = Callable[..., list[Any]]
Kernel = Callable[[], None]


def eager(run: Run) -> Step:
    """Return the function that takes a batch as it is stored and makes one optimizer step."""
    return _step(run, differentiate(run), apply(run))


def closely(run: Run) -> Step:
    """Return the eager step that looks at every gradient, too, before it changes a weight.

    Raises:
        NonFiniteError: From the step, if the loss or the gradient's norm is not finite.
    """
    return _step(run, differentiate(run), apply(run), closely=True)


def captured(run: Run, note: Callable[[str], None]) -> Step:
    """Return the same function, whose arithmetic is recorded and replayed: the same numbers in less time.

    What cannot be recorded is computed eagerly.

    Args:
        run: On a CPU or a CUDA device, where the replay is a CUDA graph.
        note: Is told what cannot be recorded, and why.
    """
    return _step(run, Replay(run, note), Update(run))


def make(run: Run, note: Callable[[str], None]) -> Step:
    """Return the faster way to make a step, where it is safe to take."""
    mode = run.config.loop.capture
    if mode == "never" or run.device.type not in MOST_BYTES or (mode == "auto" and run.config.components):
        return eager(run)
    return captured(run, note)


def differentiate(run: Run) -> Compute:
    """Return the function that computes a part's share of the loss and of its gradient, and adds up its metrics.

    Where metrics wait, what they need comes after the gradients instead.
    """
    model, scaler, parameters = run.model, run.scaler, trained_by(run.optimizer)
    context = autocast(run.device, run.config.precision)
    penalties = [regularizer.penalty for regularizer in run.regularizers if regularizer.penalty]

    def compute(
        inputs: Tensor, targets: Tensor, changed: Tensor | None, mixings: Sequence[Mixing], share: float
    ) -> list[Any]:
        inputs, targets = scaled(run.evaluation, inputs, targets, changed)
        with context:
            outputs = model(inputs).float()
            loss, targets = compare(run, outputs, targets, mixings)
        total = sum((penalty() for penalty in penalties), loss)
        total = total if share == 1 else total * share
        # Without the one that it starts from, which autograd would compare by means of sympy: a second of imports.
        gradients = torch.autograd.grad(scaler.scale(total), parameters, allow_unused=True)
        found = [total.detach(), *map(_laid_out, gradients, parameters)]
        if run.sums.waits:
            return [*found, loss.detach(), outputs.detach(), targets]
        run.sums.add(loss, outputs, targets)
        return found

    return compute


def trained_by(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters that an optimizer changes."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _laid_out(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """Return a gradient whose memory has its parameter's order, as fused optimizers read both side by side."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def apply(run: Run) -> Callable[[], object]:
    """Return what applies the optimizer to the gradients that the parameters hold."""
    if run.scaler.is_enabled():
        return lambda: run.scaler.step(run.optimizer)
    return unwrapped_step(run.optimizer)


def _step(run: Run, compute: Compute, update: Callable[[], object], *, closely: bool = False) -> Step:
    """Return a step: a batch is computed in ``loop.micro_batches`` parts, whose gradients add up to that of the whole.

    Raises:
        NonFiniteError: From the step, before any weight has changed: on a CPU if the loss is not finite.
    """
    config, parameters = run.config, trained_by(run.optimizer)
    generator = torch.Generator(run.device)
    projections = [regularizer.project for regularizer in run.regularizers if regularizer.project]
    augmented = any(member["name"] != "none" for member in config.members("augment"))
    changes: list[tuple[Callable[..., Any], bool]] = [
        (change, "visit" in inspect.signature(change).parameters) for change in run.augment
    ]
    tracked = any(tracks for _, tracks in changes)
    # Both can make an infinite gradient a finite update, which nothing would show later.
    closely = closely or (run.device.type == "cpu" and bool(projections or config.loop.clip_value))
    judged = run.device.type == "cpu" or (closely and not run.scaler.is_enabled())  # a scaler leaves such steps out

    def augment(inputs: Tensor, first: int) -> tuple[Tensor | None, list[Mixing]]:
        mixings: list[Mixing] = []
        if not augmented:
            return None, mixings
        told = {"visit": run.order.visit(run.state.step, first, len(inputs))} if tracked else {}
        for change, tracks in changes:
            changed = change(inputs, generator, **(told if tracks else {}))
            inputs, mixing = changed if isinstance(changed, tuple) else (changed, None)
            mixings += [mixing] if mixing else []
        return inputs, mixings

    def step(inputs: Tensor, targets: Tensor) -> None:
        if augmented:
            generator.manual_seed(derive(config.seed, run.state.step))
        rows = len(inputs)
        parts = min(config.loop.micro_batches, rows)
        total: list[Any] = []
        done = 0
        for x, y in _split(inputs, targets, parts):
            found = compute(x, y, *augment(x, done), len(x) / rows)
            if run.sums.waits:
                *found, loss, outputs, seen = found
                run.sums.add(loss, outputs, seen)
            done += len(x)
            total = [_add(*pair) for pair in zip(total, found, strict=True)] if total else found
        loss, *gradients = total
        if judged:
            _judge(run, float(loss), gradients if closely else ())
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        _clip(run, parameters)
        update()
        run.scaler.update()
        for project in projections:
            project()
        run.state.averaged = run.average.update(run.state.step + 1, run.state.averaged)

    return step


def _split(inputs: Tensor, targets: Tensor, parts: int) -> Iterable[tuple[Tensor, Tensor]]:
    if parts == 1:
        return ((inputs, targets),)
    return zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)


def _add(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    """Add a part to what was summed before; a parameter without a gradient has none."""
    return part if total is None else total if part is None else total.add_(part)


class Replay:
    """Computes parts of one shape alike: eagerly and recorded, then both ways and compared, from then on replayed.

    On a CPU all bits have to be the same. A GPU adds in an order of its own each time, so there numbers have to be close,
    and random states the same.

    Args:
        run: On a CPU or a CUDA device.
        note: Is told what cannot be replayed, once.
    """

    def __init__(self, run: Run, note: Callable[[str], None]) -> None:
        self.run, self.note = run, note
        self.compute = differentiate(run)
        self.recorded: dict[Any, Program] = {}
        self.trusted: dict[Any, Program] = {}
        self.eager, self.graphs = False, run.device.type == "cuda"
        self.pool: Any = None  # of memory, that all graphs share: one is done before the next begins
        if run.scaler.is_enabled():  # makes its tensors at its first call: in a recording they would be copies
            run.scaler.scale(torch.ones((), device=run.device))

    def __call__(
        self, inputs: Tensor, targets: Tensor, changed: Tensor | None, mixings: Sequence[Mixing], share: float
    ) -> list[Any]:
        """Return a part's loss and gradients."""
        given = [tensor for tensor in (inputs, targets, changed) if tensor is not None]
        kind = (inputs.shape, share, changed is inputs)  # an augmentation may leave a batch alone now and then
        if mixings and not self.eager:  # before all else: a program knows nothing of them
            self._give_up("rows are mixed")
        if program := self.trusted.get(kind):
            return program(*given)
        if self.eager:
            return self.compute(inputs, targets, changed, mixings, share)
        if program := self.recorded.get(kind):
            return self._check(kind, program, given, lambda: self.compute(inputs, targets, changed, mixings, share))
        with Recorder(self.run.device.type) as recorder:
            found = self.compute(inputs, targets, changed, mixings, share)
        if recorder.trouble:
            self._give_up(recorder.trouble)
            return found
        try:
            program = compile_calls(recorder.calls, given, found)
        except Exception as error:  # noqa: BLE001 - it is TorchScript's inside, which promises nothing
            self._give_up(f"it cannot be written down ({reason(error)})")
            return found
        del recorder  # and all that it holds
        try:
            self.recorded[kind] = self._graph(program, given) if self.graphs else program
        except RuntimeError as error:
            end_capture(self.run.device)
            self._give_up(f"CUDA cannot capture it ({reason(error)})")
        return found

    def _graph(self, program: Program, given: list[Tensor]) -> Program:
        """Return a program as a CUDA graph; where a step has several parts, with results that the next leaves alone."""
        graph = Graph(program, given, self.pool)
        self.pool = graph.pool
        if self.run.config.loop.micro_batches == 1:
            return graph
        return lambda *inputs: [value if value is None else value.clone() for value in graph(*inputs)]

    def _check(self, kind: Any, program: Program, given: list[Tensor], compute: Callable[[], list[Any]]) -> list[Any]:
        """Compute a part both ways from the same state; replay from now on if the numbers are the same.

        Numbers that are not finite, as where fp16 overflows, show nothing: then the next part of its kind decides.
        """
        place = self.run.device
        changing, start, drawn = self._changing(), self._state(), random_states(place)
        failure = ""
        try:
            replayed = [*program(*given), *self._state()]
        except Exception as error:  # its interpreter looks at it for the first time
            if lacks_memory(error):
                raise
            failure, replayed = f"its replay failed ({reason(error)})", []
        drawn_then = random_states(place)
        for current, before in zip(changing, start, strict=True):
            current.copy_(before)
        restore_random_states(drawn, place)
        found = compute()
        if failure:
            self._give_up(failure)
            return found
        if not all(bool(value.isfinite().all()) for value in found if value is not None):
            return found
        same = all(map(_close if self.graphs else _same, replayed, [*found, *self._state()]))
        if same and all(torch.equal(drawn_then[key], now) for key, now in random_states(place).items()):
            self.trusted[kind] = program
        else:
            self._give_up("its replay gave other numbers")
        return found

    def _changing(self) -> list[Tensor]:
        """Return what a step changes beside gradients and random numbers."""
        return [*self.run.model.buffers(), self.run.sums.sums]

    def _state(self) -> list[Tensor]:
        return [tensor.clone() for tensor in self._changing()]

    def _give_up(self, reason: str) -> None:
        self.eager = True
        self.trusted.clear()
        self.recorded.clear()
        self.note(f"the step is not replayed: {reason}")


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Say whether two tensors have the same values and layout; NaN equals nothing."""
    if one is None or other is None:
        return one is other
    return one.stride() == other.stride() and torch.equal(one, other)


def _close(one: Tensor | None, other: Tensor | None) -> bool:
    """Say whether two tensors have the same layout, and values that differ by a hundredth of their size at most."""
    if one is None or other is None:
        return one is other
    if one.stride() != other.stride() or one.shape != other.shape:
        return False
    return bool((one - other).double().norm() <= 0.01 * other.double().norm())


class Update:
    """Applies an optimizer; Adam, AdamW and SGD by calling the kernel that they would call, without what surrounds it.

    Args:
        run: On a CPU or a CUDA device.
    """

    def __init__(self, run: Run) -> None:
        self.optimizer, self.parameters, self.apply = run.optimizer, trained_by(run.optimizer), apply(run)
        self.scaled = run.scaler.is_enabled()  # it looks at the gradients first
        self.kernels: list[Kernel] | None = None
        run.optimizer.register_load_state_dict_post_hook(lambda _: setattr(self, "kernels", None))  # other tensors

    def __call__(self) -> None:
        """Make a step from the gradients that the parameters hold."""
        whole = all(parameter.grad is not None for parameter in self.parameters)
        if self.kernels and whole:
            with torch.no_grad():
                for kernel in self.kernels:
                    kernel()
            return
        self.apply()  # makes the optimizer's tensors, the first time
        if self.kernels is None and whole:
            self.kernels = [] if self.scaled else fused(self.optimizer)


def fused(optimizer: torch.optim.Optimizer) -> list[Kernel]:
    """Return the calls of an optimizer's fused kernel: one for all groups whose settings agree; none if it has none.

    Rate, momentum and betas are read from the group at each call.
    """
    make, groups = FUSED.get(type(optimizer)), optimizer.param_groups
    if make is None or not all(group["fused"] for group in groups):
        return []
    settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    if all(setting == settings[0] for setting in settings):
        weights = trained_by(optimizer)
        return [make(groups[0], weights, [optimizer.state[weight] for weight in weights])]
    return [make(group, group["params"], [optimizer.state[weight] for weight in group["params"]]) for group in groups]


def _adam(group: dict[str, Any], weights: list[Any], states: list[dict[str, Tensor]]) -> Kernel:
    means, squares, steps = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
    largest = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    counts = _joined(steps)
    steps = list(counts)
    for state, count in zip(states, steps, strict=True):  # parts of one tensor: one addition counts for all
        state["step"] = count

    def step() -> None:
        counts.add_(1)
        beta1, beta2 = group["betas"]
        kernel(
            weights, [weight.grad for weight in weights], means, squares, largest, steps,
            lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
            amsgrad=group["amsgrad"], maximize=False,
        )  # fmt: skip

    return step


def _joined(numbers: list[Tensor]) -> Tensor:
    """Return scalars as one tensor: the one that they are the parts of, in order, or else a new one."""
    first, size = numbers[0], numbers[0].element_size()
    places = {(part.device, part.dtype, part.data_ptr() - place * size) for place, part in enumerate(numbers)}
    whole = len(places) == 1 and first.untyped_storage().nbytes() >= (first.storage_offset() + len(numbers)) * size
    return first.as_strided((len(numbers),), (1,)) if whole else torch.stack(numbers)


def _sgd(group: dict[str, Any], weights: list[Any], states: list[dict[str, Tensor]]) -> Kernel:
    velocities = [state["momentum_buffer"] for state in states] if group["momentum"] else []

    def step() -> None:
        torch._fused_sgd_(
            weights, [weight.grad for weight in weights], velocities,
            lr=group["lr"], momentum=group["momentum"], dampening=group["dampening"], nesterov=group["nesterov"],
            weight_decay=group["weight_decay"], maximize=False, is_first_step=False,
        )  # fmt: skip

    return step


FUSED = {torch.optim.Adam: _adam, torch.optim.AdamW: _adam, torch.optim.SGD: _sgd}


def _clip(run: Run, parameters: list[Tensor]) -> None:
    loop = run.config.loop
    if loop.clip_norm is None and loop.clip_value is None:
        return
    run.scaler.unscale_(run.optimizer)
    if loop.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, loop.clip_value)
    if loop.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, loop.clip_norm)


def _judge(run: Run, loss: float, gradients: Sequence[Tensor | None]) -> None:
    if not math.isfinite(loss):
        raise NonFiniteError(f"the loss is {loss} {where(run)}", loss, gradients)
    squares = sum(float(part.double().square().sum()) for part in gradients if part is not None)
    if not math.isfinite(squares):
        raise NonFiniteError(f"the gradient's norm is {math.sqrt(squares)} {where(run)}", loss, gradients)


def where(run: Run) -> str:
    """Name the step that is being taken, for a message."""
    rate = run.optimizer.param_groups[0]["lr"]  # with which the step is being taken, whoever has set it
    return f"at step {run.state.step + 1} (epoch {run.epoch:.2f}, learning rate {rate:g})"
