"""A computation recorded once as a flat list of kernels, and replayed: the same kernels, without autograd and Python.

Small steps on a CPU are bound by what surrounds the arithmetic: module calls, autograd's graph, dispatch. A recording
keeps what was computed and drops the rest. Numbers do not change, as the kernels are those that ran.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Another handle on the same values: without autograd there is nothing to detach from.
SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh.default}
# Views of a tensor that outlives the recording are made once.
VIEWS = {
    aten.t.default,
    aten.view.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.transpose.int,
    aten.permute.default,
}
# Reads values of its input that a recording would take for constants.
READS = {"_pack_padded_sequence", "_pad_packed_sequence"}
# Bytes of a recording's tensors, all held while it is made; a step with more is bound by arithmetic.
MOST_BYTES = {"cpu": 1 << 29, "cuda": 1 << 33}

Program = Callable[..., list[Any]]
Call = tuple[Any, tuple[Any, ...], dict[str, Any], Any]


class Recorder(TorchDispatchMode):
    """Writes down every kernel that runs inside it, in order.

    All tensors are held until the recording is dropped, as they are told apart by identity.

    Args:
        device: Type of the device that computes.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: float = MOST_BYTES[device]
        if device == "cuda":
            self.most = min(self.most, torch.cuda.mem_get_info()[0] / 2)  # what it holds, and what the graph will
        self.calls: list[Call] = []
        self.trouble = ""
        self._bytes = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of PyTorch's compiler, which would only be asked to leave this class out."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and write it down unless something before it cannot be replayed."""
        returned = kernel(*args, **(kwargs or {}))
        if not self.trouble:
            self.calls.append((kernel, args, kwargs or {}, returned))
            self._bytes += sum(value.nbytes for value in _tensors([returned]) if not _aliases(kernel))
            self.trouble = self._judge(kernel, args)
        if self.trouble:
            self.calls.clear()
        return returned

    def _judge(self, kernel: Any, args: Any) -> str:
        """Say why a kernel cannot be replayed; empty if it can."""
        if depends(kernel, args) or kernel.name().partition("::")[2] in READS:
            return f"it depends on the values of a batch ({kernel.name()})"
        if self._bytes > self.most:
            return "it is bound by arithmetic, not by what surrounds it"
        return ""


def depends(kernel: Any, args: Any) -> bool:
    """Say whether what a kernel returns, or its shape, depends on values, so that the host has to wait for them."""
    if kernel in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):  # only where one is a mask
        return any(value.dtype in (torch.bool, torch.uint8) for value in _tensors(args[1:2]))
    return bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(kernel.tags))


def compile_calls(calls: Sequence[Call], inputs: Sequence[Tensor], results: Sequence[Tensor | None]) -> Program:
    """Turn a recording into a function of its inputs that returns its results.

    Tensors that are neither inputs nor made by the recording are constants: weights, buffers, running sums. They are
    read, and written, where they are.

    Args:
        calls: Of a :class:`Recorder`.
        inputs: What changes from call to call.
        results: What is to be returned.
    """
    writer = _Writer(inputs)
    for call in calls:
        writer.add(*call)
    return writer.function(results)


class Graph:
    """A program whose kernels a GPU starts by itself: one call of the host instead of one for each kernel.

    Args:
        program: Only kernels of the current CUDA device, and no wait of the host.
        inputs: Of the shapes that it will be called with.
        pool: Of memory, that it shares with other graphs; one of its own if None.

    Raises:
        RuntimeError: If CUDA cannot capture it.

    Source: PyTorch documentation, CUDA semantics, CUDA graphs.
    """

    def __init__(self, program: Program, inputs: Sequence[Tensor], pool: Any = None) -> None:
        self.inputs = [value.clone() for value in inputs]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            self.results = program(*self.inputs)
        self.pool = self.graph.pool()

    def __call__(self, *inputs: Tensor) -> list[Any]:
        """Return the results; the next call overwrites them."""
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return list(self.results)


class _Writer:
    """Writes a function's source: one line for each kernel, names made of letters and numbers only."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.arguments = [f"input{index}" for index in range(len(inputs))]
        self.names = {id(tensor): name for tensor, name in zip(inputs, self.arguments, strict=True)}
        self.constants: dict[str, Any] = {}
        self.lines: list[tuple[str, set[str], bool]] = []  # source, the values that it names, and if it is a view
        self.flipped: dict[str, str] = {}  # a transposed value, and of which

    def add(self, kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any], returned: Any) -> None:
        """Add a kernel's line."""
        used: set[str] = set()
        if kernel in SAME:
            self.names[id(returned)] = self._name(args[0], used)
            return
        words = [self._name(value, used) for value in args]
        words += [f"{key}={self._name(value, used)}" for key, value in kwargs.items()]
        if kernel in VIEWS and not used:
            self.names[id(returned)] = self._constant(returned)
            return
        if kernel is aten.t.default and (back := self.flipped.get(words[0])):
            self.names[id(returned)] = back
            return
        call = f"{self._constant(kernel._op)}({', '.join(words)})"
        several = isinstance(returned, tuple | list)
        targets = [self._target(value, used) for value in (returned if several else [returned])]
        line = call if set(targets) <= {"_"} else f"{', '.join(targets)}{',' * several} = {call}"
        if kernel is aten.t.default:
            self.flipped[targets[0]] = words[0]
        self.lines.append((line, used, kernel in VIEWS))

    def function(self, results: Sequence[Tensor | None]) -> Program:
        """Compile the lines; a value is dropped after its last use, as it would be in Python."""
        returned: set[str] = set()
        words = [self._name(value, returned) for value in results]
        source = [f"def program({', '.join(self.arguments)}):"]
        alive: set[str] = set(returned)
        kept: list[str] = []
        for line, used, view in reversed(self.lines):
            ended = used - alive
            if view and line.partition(" = ")[0] in ended:  # nobody looks
                continue
            kept.append(f"    {line}" + (f"; del {', '.join(sorted(ended))}" if ended else ""))
            alive |= used
        source += reversed(kept)
        source.append(f"    return [{', '.join(words)}]")
        exec(compile("\n".join(source), "<recorded step>", "exec"), self.constants)  # noqa: S102 - our own lines
        program: Program = self.constants["program"]

        def replay(*values: Tensor) -> list[Any]:
            with torch._C._AutoDispatchBelowAutograd():  # where the kernels ran when they were written down
                return program(*values)

        return replay

    def _name(self, value: Any, used: set[str]) -> str:
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._name(entry, used) for entry in value)}]"
        if not isinstance(value, Tensor):
            return self._constant(value)
        name = self.names.get(id(value))
        if name is None:
            name = self.names[id(value)] = self._constant(value)
        if not name.startswith("constant"):
            used.add(name)
        return name

    def _target(self, value: Any, used: set[str]) -> str:
        if not isinstance(value, Tensor) or id(value) in self.names:  # changed in place: it has its name
            return "_"
        name = self.names[id(value)] = f"value{len(self.names)}"
        used.add(name)
        return name

    def _constant(self, value: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = value
        return name


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among values, those in lists too."""
    flat = [entry for value in values for entry in (value if isinstance(value, list | tuple) else [value])]
    return [value for value in flat if isinstance(value, Tensor)]


def _aliases(kernel: Any) -> bool:
    """Say whether a kernel returns memory that it was given."""
    return any(argument.alias_info is not None for argument in kernel._schema.arguments)
