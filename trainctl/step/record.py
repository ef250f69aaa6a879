"""A computation recorded once as a list of kernels, and replayed by an interpreter: without autograd and Python.

Small steps on a CPU are bound by what surrounds the arithmetic: module calls, autograd's graph, dispatch. A recording
keeps what was computed and drops the rest. Numbers do not change, as the kernels are those that ran.
"""

import re
from collections.abc import Callable, Iterable, Sequence
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
    aten.view.dtype,
    aten.select.int,
    aten.slice.Tensor,
    aten.transpose.int,
    aten.permute.default,
}
# Their numbers in TorchScript.
MEMORY_FORMATS = {
    torch.contiguous_format: 0,
    torch.preserve_format: 1,
    torch.channels_last: 2,
    torch.channels_last_3d: 3,
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

    Raises:
        RuntimeError: If TorchScript does not know a kernel, or not with its arguments. What else its graph may raise is
            promised nowhere.
    """
    script = _Script(inputs)
    for call in calls:
        script.add(*call)
    return script.function(results)


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


class _Script:
    """Writes a TorchScript graph: one node for each kernel, called one after the other without Python between them.

    Values are told apart by identity, as in a :class:`Recorder`, which has to hold them meanwhile.

    Source: PyTorch documentation, TorchScript; PyTorch source, torch/csrc/jit/OVERVIEW.md.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.graph: Any = torch._C.Graph()
        self.values: dict[int, Any] = {}
        self.constants: list[Tensor] = []  # what outlives the recording, and views of it
        self.fixed: set[int] = set()  # those, and other handles on them
        self.views: list[Any] = []
        self.flipped: dict[int, int] = {}  # a transposed tensor, and of which
        for tensor in inputs:
            self._input(tensor)

    def add(self, kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any], returned: Any) -> None:
        """Add a kernel's node.

        Raises:
            RuntimeError: If TorchScript does not know the kernel, or not with such arguments.
        """
        if kernel in SAME:
            self.values[id(returned)] = self._value(args[0], None)
            self.fixed |= {id(returned)} if id(args[0]) in self.fixed else set()
            return
        if kernel in VIEWS and (id(args[0]) in self.fixed or id(args[0]) not in self.values):
            self._value(returned, None)
            return
        if kernel is aten.t.default and (back := self.flipped.get(id(args[0]))):
            self.values[id(returned)] = self.values[back]
            return
        schema = kernel._schema
        left = [kwargs.get(argument.name, argument.default_value) for argument in schema.arguments[len(args) :]]
        given = [self._value(value, part.type) for value, part in zip([*args, *left], schema.arguments, strict=True)]
        node = self._node(schema.name, given, [result.type for result in schema.returns])
        scalar = kernel.name().replace(".Tensor", ".Scalar")  # a number in the place of a tensor
        if node.schema() != str(schema) and node.schema().partition("(")[0] != scalar:
            raise RuntimeError(f"TorchScript does not know {kernel.name()} with these arguments")
        several = returned if len(schema.returns) > 1 else [returned] if schema.returns else []
        for output, result in zip(node.outputs(), several, strict=True):
            if isinstance(result, list | tuple):
                parts = self._node("prim::ListUnpack", [output], [output.type().getElementType()] * len(result))
                self._outputs(parts.outputs(), result)
            else:
                self._outputs([output], [result])
        if kernel in VIEWS:
            self.views.append(node)
        if kernel is aten.t.default:
            self.flipped[id(returned)] = id(args[0])

    def function(self, results: Sequence[Tensor | None]) -> Program:
        """Compile the nodes; a value is dropped after its last use."""
        found = [self._value(result, None) for result in results]
        types = torch._C.TupleType([value.type() for value in found])
        self.graph.registerOutput(self._node("prim::TupleConstruct", found, [types]).output())
        for view in reversed(self.views):
            if not view.hasUses():  # nobody looks
                view.destroy()
        compiled = torch._C._create_function_from_graph("step", self.graph)
        optimizes, let_optimize = torch._C._get_graph_executor_optimize, torch._C._set_graph_executor_optimize
        below_autograd, constants = torch._C._AutoDispatchBelowAutograd, self.constants

        def replay(*values: Tensor) -> list[Any]:
            before = optimizes()
            try:
                let_optimize(False)  # these kernels, and no others
                with below_autograd():  # where they ran when they were written down
                    return list(compiled(*values, *constants))
            finally:
                let_optimize(before)

        return replay

    def _node(self, name: str, given: Sequence[Any], types: Sequence[Any]) -> Any:
        node = self.graph.create(name, list(given), len(types))
        for output, kind in zip(node.outputs(), types, strict=True):
            output.setType(kind)
        return self.graph.appendNode(node)

    def _value(self, given: Any, kind: Any) -> Any:
        """Return an argument's value in the graph, of the type that a kernel declares."""
        if isinstance(given, Tensor):
            if id(given) not in self.values:
                self.constants.append(given)
                self.fixed.add(id(given))
                self._input(given)
            return self.values[id(given)]
        while kind and kind.kind() == "OptionalType":
            kind = kind.getElementType()
        if isinstance(given, list | tuple):
            if given and {type(entry) for entry in given} in ({int}, {bool}) and kind.str() in ("int[]", "bool[]"):
                return self.graph.insertConstant(list(given))
            entries = [self._value(entry, kind.getElementType()) for entry in given]
            return self._node("prim::ListConstruct", entries, [kind]).output()
        if isinstance(given, torch.memory_format):
            given = MEMORY_FORMATS[given]
        if kind and kind.kind() == "FloatType" and given is not None:
            given = float(given)
        return self.graph.insertConstant(given)

    def _input(self, tensor: Tensor) -> None:
        value = self.values[id(tensor)] = self.graph.addInput()
        value.setType(torch._C.TensorType.get())

    def _outputs(self, outputs: Iterable[Any], tensors: Iterable[Any]) -> None:
        for output, tensor in zip(outputs, tensors, strict=True):
            if isinstance(tensor, Tensor):
                self.values.setdefault(id(tensor), output)  # changed in place: it has its value


def reason(error: BaseException) -> str:
    r"""Return what went wrong in one line; TorchScript puts a heading and where it happened before it.

    >>> reason(RuntimeError("The following operation failed.\nTraceback of it:\n  line 1\nRuntimeError: no room\n"))
    'no room'
    """
    told = re.findall(r"^\w*Error: (.*)", str(error), re.MULTILINE)
    return told[-1] if told else str(error).partition("\n")[0]


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among values, those in lists too."""
    flat = [entry for value in values for entry in (value if isinstance(value, list | tuple) else [value])]
    return [value for value in flat if isinstance(value, Tensor)]


def _aliases(kernel: Any) -> bool:
    """Say whether a kernel returns memory that it was given."""
    return any(argument.alias_info is not None for argument in kernel._schema.arguments)
