"""A recording as a Python function with one line for each kernel.

::

    def replay(i1, i2):
        v1 = k1(i1, c1)
        v2 = k2(c2, v1, c3)
        del v1
        return [v2]

It needs no private interface of PyTorch: it calls the kernels that the dispatch mode received, or PyTorch's public
functions if they call the same kernel, which takes half the time.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trainctl.step.record import Call, Program, Recording, tensors

aten = torch.ops.aten
# Kernels that return the same values: without autograd there is nothing to detach.
SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh.default}
# Kernels whose public function has a different name.
NAMES = {"_to_copy": "to"}
VARIABLE = re.compile(r"\bv\d+\b")


class Line(NamedTuple):
    """A call as source text.

    Args:
        target: The name to which the result is assigned; empty if it returns nothing new.
        call: The call expression.
        view: Whether it only returns a view of its argument.
    """

    target: str
    call: str
    view: bool


def build(recording: Recording) -> Program:
    """Convert a recording to a function that takes its inputs and returns its results.

    Tensors that are neither inputs nor results of recorded kernels are constants: weights, buffers, running sums. The
    function reads and changes them in place, through detached views, so that autograd is not involved.
    """
    writer = _Writer(recording.inputs)
    for call in recording.calls:
        writer.add(call)
    source = writer.source(recording.results)
    exec(compile(source, "<recorded step>", "exec"), writer.scope)  # noqa: S102 - only text that is generated here
    program: Program = writer.scope["replay"]
    return program


class _Writer:
    """Writes a recording's calls as lines of source text.

    Values are distinguished by ``id``; the recording must keep them alive meanwhile.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = [f"i{index}" for index in range(1, len(inputs) + 1)]
        self.names = dict(zip(map(id, inputs), self.inputs, strict=True))
        self.scope: dict[str, Any] = {}  # kernels, and constants
        self.lines: list[Line] = []
        self.transposed: dict[int, Tensor] = {}  # id of a transposed tensor -> its original
        self.made = 0

    def add(self, call: Call) -> None:
        """Add the line of a kernel."""
        kernel, args, kwargs, returned = call
        if kernel in SAME:
            self.names[id(returned)] = self._spell(args[0])
            return
        if kernel.is_view and self._is_constant(args[0]):  # a view of a constant is created once, as a constant
            for view in tensors([returned]):
                self._spell(view)
            return
        if kernel is aten.t.default and (source := self.transposed.get(id(args[0]))) is not None:
            self.names[id(returned)] = self.names[id(source)]
            return
        arguments = [*map(self._spell, args), *(f"{key}={self._spell(value)}" for key, value in kwargs.items())]
        function = self._constant(quickest(kernel, args, kwargs), "k")
        self.lines.append(Line(self._target(returned), f"{function}({', '.join(arguments)})", kernel.is_view))
        if kernel is aten.t.default:
            self.transposed[id(returned)] = args[0]

    def source(self, results: Sequence[Tensor | None]) -> str:
        """Return the function's source; unused views are omitted, and each value is deleted after its last use."""
        returned = f"[{', '.join(map(self._spell, results))}]"
        needed, body = set(VARIABLE.findall(returned)), []
        for line in reversed(self.lines):
            made = set(VARIABLE.findall(line.target))
            if line.view and not made & needed:
                continue
            used = made | set(VARIABLE.findall(line.call))
            deletion = f"; del {', '.join(sorted(used - needed))}" if used - needed else ""
            body.append(f"    {line.target}{' = ' if line.target else ''}{line.call}{deletion}\n")
            needed |= used
        return f"def replay({', '.join(self.inputs)}):\n{''.join(reversed(body))}    return {returned}\n"

    def _is_constant(self, tensor: Tensor) -> bool:
        return self.names.get(id(tensor), "c").startswith("c")

    def _constant(self, value: Any, letter: str = "c") -> str:
        name = f"{letter}{len(self.scope) + 1}"
        self.scope[name] = value
        return name

    def _spell(self, value: Any) -> str:
        """Return an argument as source text: a name, a literal, or a list of names."""
        if isinstance(value, Tensor):
            if id(value) not in self.names:
                self.names[id(value)] = self._constant(value.detach())
            return self.names[id(value)]
        if isinstance(value, list | tuple) and tensors([value]):
            return f"[{', '.join(map(self._spell, value))}]"
        return repr(value) if value is None or isinstance(value, bool | int) else self._constant(value)

    def _target(self, returned: Any) -> str:
        """Return the target of an assignment of a call's results; tensors changed in place already have a name."""
        if isinstance(returned, list | tuple):
            return f"[{', '.join(self._target(value) or '_' for value in returned)}]"
        if not isinstance(returned, Tensor) or id(returned) in self.names:
            return ""
        self.made += 1
        self.names[id(returned)] = f"v{self.made}"
        return self.names[id(returned)]


def quickest(kernel: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Callable[..., Any]:
    """Return the fastest callable that runs a kernel.

    This is a public function or method if it calls exactly this kernel, otherwise the kernel itself.
    """
    name = kernel.name().partition("::")[2].partition(".")[0]
    for namespace in (torch, Tensor):
        function = getattr(namespace, NAMES.get(name, name), None)
        if callable(function) and _leads_to(kernel, function, args, kwargs):
            public: Callable[..., Any] = function
            return public
    itself: Callable[..., Any] = getattr(kernel, "op", kernel)  # skips the kernel's __call__ method
    return itself


class _Stop(Exception):
    """Raised to stop a call before its kernel runs."""


class _First(TorchDispatchMode):
    """Records the first kernel that is called, and stops before it runs."""

    call: tuple[Any, ...] = ()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Avoid an import of PyTorch's compiler, like ``Recorder``."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record a kernel."""
        self.call = (kernel, *args, *(kwargs or {}).items())
        raise _Stop


def _leads_to(kernel: Any, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a function called with these arguments runs this kernel with them; nothing is computed."""
    first = _First()  # type: ignore[no-untyped-call]
    try:
        with torch.no_grad(), first:
            function(*args, **kwargs)
    except _Stop:
        return _alike(first.call, (kernel, *args, *kwargs.items()))
    except (TypeError, ValueError, RuntimeError):  # a function of this name with a different signature
        return False
    return False


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return type(one) is type(other) and bool(one == other)
