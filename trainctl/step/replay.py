"""A recording as a Python function: one line for each kernel, and nothing of what surrounded them.

::

    def replay(i1, i2):
        v1 = k1(i1, c1)
        v2 = k2(c2, v1, c3)
        del v1
        return [v2]

It needs no private interface of PyTorch: kernels are those that a dispatch mode was given, or PyTorch's public functions
where those lead to the same kernel, as they are called in half the time.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trainctl.step.record import Call, Program, Recording, tensors

aten = torch.ops.aten
# Another handle on the same values: without autograd there is nothing to detach from.
SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh.default}
# Public functions whose name is not their kernel's.
NAMES = {"_to_copy": "to"}
VARIABLE = re.compile(r"\bv\d+\b")


class Line(NamedTuple):
    """A call as text.

    Args:
        target: What it returns is assigned to; empty if it returns nothing new.
        call: The call.
        view: Whether it only returns another view of what it is given.
    """

    target: str
    call: str
    view: bool


def build(recording: Recording) -> Program:
    """Turn a recording into a function of its inputs that returns its results.

    Tensors that are neither inputs nor made by the recording are constants: weights, buffers, running sums. They are
    read, and written, where they are, by handles that need no gradient: so autograd has nothing to do.
    """
    writer = _Writer(recording.inputs)
    for call in recording.calls:
        writer.add(call)
    source = writer.source(recording.results)
    exec(compile(source, "<recorded step>", "exec"), writer.scope)  # noqa: S102 - names of our own, nothing else
    program: Program = writer.scope["replay"]
    return program


class _Writer:
    """Writes a recording's calls as lines.

    Values are told apart by identity, as in a :class:`Recorder`, which has to hold them meanwhile.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = [f"i{index}" for index in range(1, len(inputs) + 1)]
        self.names = dict(zip(map(id, inputs), self.inputs, strict=True))
        self.scope: dict[str, Any] = {}  # kernels, and constants
        self.lines: list[Line] = []
        self.transposed: dict[int, Tensor] = {}  # a transposed tensor, and of which
        self.made = 0

    def add(self, call: Call) -> None:
        """Add a kernel's line."""
        kernel, args, kwargs, returned = call
        if kernel in SAME:
            self.names[id(returned)] = self._spell(args[0])
            return
        if kernel.is_view and self._is_constant(args[0]):  # of what outlives the recording: taken once
            for view in tensors([returned]):
                self._spell(view)
            return
        if kernel is aten.t.default and (source := self.transposed.get(id(args[0]))) is not None:
            self.names[id(returned)] = self.names[id(source)]
            return
        given = [*map(self._spell, args), *(f"{key}={self._spell(value)}" for key, value in kwargs.items())]
        function = self._constant(quickest(kernel, args, kwargs), "k")
        self.lines.append(Line(self._target(returned), f"{function}({', '.join(given)})", kernel.is_view))
        if kernel is aten.t.default:
            self.transposed[id(returned)] = args[0]

    def source(self, results: Sequence[Tensor | None]) -> str:
        """Return the function's text; views that nobody looks at are left out, a value is dropped after its last use."""
        returned = f"[{', '.join(map(self._spell, results))}]"
        needed, body = set(VARIABLE.findall(returned)), []
        for line in reversed(self.lines):
            made = set(VARIABLE.findall(line.target))
            if line.view and not made & needed:
                continue
            used = made | set(VARIABLE.findall(line.call))
            dropped = f"; del {', '.join(sorted(used - needed))}" if used - needed else ""
            body.append(f"    {line.target}{' = ' if line.target else ''}{line.call}{dropped}\n")
            needed |= used
        return f"def replay({', '.join(self.inputs)}):\n{''.join(reversed(body))}    return {returned}\n"

    def _is_constant(self, tensor: Tensor) -> bool:
        return self.names.get(id(tensor), "c").startswith("c")

    def _constant(self, value: Any, letter: str = "c") -> str:
        name = f"{letter}{len(self.scope) + 1}"
        self.scope[name] = value
        return name

    def _spell(self, value: Any) -> str:
        """Return an argument as text: a name, or a list of them."""
        if isinstance(value, Tensor):
            if id(value) not in self.names:
                self.names[id(value)] = self._constant(value.detach())
            return self.names[id(value)]
        if isinstance(value, list | tuple) and tensors([value]):
            return f"[{', '.join(map(self._spell, value))}]"
        return repr(value) if value is None or isinstance(value, bool | int) else self._constant(value)

    def _target(self, returned: Any) -> str:
        """Return what a call's results are assigned to; what was changed in place has its name."""
        if isinstance(returned, list | tuple):
            return f"[{', '.join(self._target(value) or '_' for value in returned)}]"
        if not isinstance(returned, Tensor) or id(returned) in self.names:
            return ""
        self.made += 1
        self.names[id(returned)] = f"v{self.made}"
        return self.names[id(returned)]


def quickest(kernel: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Callable[..., Any]:
    """Return what calls a kernel in the least time: a public function or method, if it calls just this; else itself."""
    name = kernel.name().partition("::")[2].partition(".")[0]
    for place in (torch, Tensor):
        function = getattr(place, NAMES.get(name, name), None)
        if callable(function) and _leads_to(kernel, function, args, kwargs):
            found: Callable[..., Any] = function
            return found
    itself: Callable[..., Any] = getattr(kernel, "op", kernel)  # what the kernel's own call method calls
    return itself


class _Stop(Exception):
    """Ends a call before its kernel runs."""


class _First(TorchDispatchMode):
    """Notes the first kernel that is called, and stops before it runs."""

    call: tuple[Any, ...] = ()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of PyTorch's compiler, as a recorder does."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note a kernel."""
        self.call = (kernel, *args, *(kwargs or {}).items())
        raise _Stop


def _leads_to(kernel: Any, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a function that is given arguments calls a kernel with them; nothing is computed."""
    first = _First()  # type: ignore[no-untyped-call]
    try:
        with torch.no_grad(), first:
            function(*args, **kwargs)
    except _Stop:
        return _alike(first.call, (kernel, *args, *kwargs.items()))
    except (TypeError, ValueError, RuntimeError):  # a function of this name that takes something else
        return False
    return False


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return type(one) is type(other) and bool(one == other)
