"""Where the parts of a step begin: told to a clock, a counter or torch's profiler by a run that computes the same."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, cast

import torch
from torch import nn

from trainctl.components.optimizer.base import unwrapped_step
from trainctl.components.regularizer.base import Regularizer
from trainctl.run.run import Run

PARTS = (
    "data", "augmentation", "scaling", "forward", "penalty", "backward", "metrics", "clipping", "optimizer",
    "projection", "averaging", "bookkeeping",
)  # fmt: skip

Mark = Callable[[str], None]  # is told which part of a step begins


class Meter:
    """Attributes what a reading has grown by to the part that was entered last.

    Args:
        read: Returns the reading: a clock's, or a counter's.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read, self.found = read, dict[str, float]()
        self.part, self.last = "", 0.0

    def __call__(self, part: str) -> None:
        """Enter a part."""
        now = self.read()
        if self.part:
            self.found[self.part] = self.found.get(self.part, 0.0) + now - self.last
        self.part, self.last = part, now

    def lap(self) -> dict[str, float]:
        """Leave the part, and return and forget what was found."""
        self("")
        found, self.found = self.found, {}
        return found


class Marked:
    """Stands for an object, and marks where calls of its methods begin, and where they end if that ends the part.

    Args:
        inner: The object.
        mark: Is told.
        before: The part that begins with a method's call.
        after: The part that begins with its return.
    """

    def __init__(
        self, inner: Any, mark: Mark, before: Mapping[str, str], after: Mapping[str, str] | None = None
    ) -> None:
        self._inner, self._mark, self._before, self._after = inner, mark, before, after or {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._before:
            return value
        return entering(self._mark, self._before[name], value, self._after.get(name, ""))


class MarkedModel(nn.Module):
    """A model that marks where its forward pass begins."""

    def __init__(self, inner: nn.Module, mark: Mark) -> None:
        super().__init__()
        self.inner, self.mark = inner, mark

    def forward(self, *inputs: Any) -> Any:
        """Call the model."""
        self.mark("forward")
        return self.inner(*inputs)


class MarkedOptimizer(Marked):
    """An optimizer that marks where its step begins and ends; the step is the plain one, as in training."""

    def __init__(self, inner: torch.optim.Optimizer, mark: Mark) -> None:
        super().__init__(inner, mark, {})
        self.step = entering(mark, "optimizer", unwrapped_step(inner))


def entering(mark: Mark, part: str, function: Callable[..., Any], after: str = "bookkeeping") -> Any:
    """Return a function that marks a part where it begins, and another one where it ends, unless that is empty."""

    @wraps(function)  # a step looks at what an augmentation takes
    def call(*arguments: Any, **options: Any) -> Any:
        mark(part)
        found = function(*arguments, **options)
        if after:
            mark(after)
        return found

    return call


def marked(run: Run, mark: Mark) -> Run:
    """Return a run whose eager steps tell where their parts begin; what they compute is the same.

    The gradient is computed between the scaling of the loss and the sums of the metrics; all that a step does between
    two parts is bookkeeping: to add up and lay out gradients, and to wait for the loss where it must be finite.
    """
    augment = [
        entering(mark, f"augmentation:{member['name']}", change)
        for member, change in zip(run.config.members("augment"), run.augment, strict=True)
    ]
    regularizers = [
        Regularizer(
            penalty=member.penalty and entering(mark, f"penalty:{chosen['name']}", member.penalty, ""),
            project=member.project and entering(mark, f"projection:{chosen['name']}", member.project),
        )
        for chosen, member in zip(run.config.members("regularizer"), run.regularizers, strict=True)
    ]
    scale = {"scale": "backward", "unscale_": "clipping", "step": "optimizer", "update": "bookkeeping"}
    chosen = run.config.parts["average"]["name"] != "none"
    return replace(
        run,
        data=replace(run.data, input_scale=entering(mark, "scaling", run.data.input_scale)),
        model=MarkedModel(run.model, mark),
        augment=tuple(augment) if any(one["name"] != "none" for one in run.config.members("augment")) else run.augment,
        regularizers=tuple(regularizers),
        scaler=cast(Any, Marked(run.scaler, mark, scale)),
        optimizer=cast(Any, MarkedOptimizer(run.optimizer, mark)),
        sums=cast(Any, Marked(run.sums, mark, {"add": "metrics"}, {"add": "bookkeeping"})),
        average=replace(run.average, update=entering(mark, "averaging", run.average.update)) if chosen else run.average,
    )


class Ranges:
    """Opens a named range of torch's profiler for each part, and closes the one before."""

    def __init__(self) -> None:
        self.open: torch.profiler.record_function | None = None

    def __call__(self, part: str) -> None:
        """Enter a part; none if it is empty."""
        if self.open is not None:
            self.open.__exit__(None, None, None)
        self.open = torch.profiler.record_function(part) if part else None
        if self.open is not None:
            self.open.__enter__()
