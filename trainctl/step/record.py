"""A computation recorded as a list of kernels: what an eager step executes below modules, autograd and dispatch.

The time of a small step is mostly Python overhead. A recording avoids it and gives the same results, because it contains
the kernels that ran.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trainctl.errors import format_bytes

aten = torch.ops.aten
# Kernels that read values of their inputs on the host; a recording would treat these as constants.
READS = {"_pack_padded_sequence", "_pad_packed_sequence"}
# Limit of the total size of a recording's tensors [bytes], all of which are kept until it is built. A larger step would
# gain little, because its time is mostly arithmetic.
MOST_BYTES = {"cpu": 1 << 29, "cuda": 1 << 33}


class Call(NamedTuple):
    """A kernel that ran, with its arguments and return value."""

    kernel: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    returned: Any


@dataclass(frozen=True)
class Recording:
    """A recorded computation.

    Args:
        compute: The computation, a function of the inputs that returns the results.
        inputs: The tensors that differ from call to call.
        results: The values that it returned.
        calls: The kernels that ran, in order; empty if they were only checked.
    """

    compute: Callable[..., list[Any]]
    inputs: Sequence[Tensor]
    results: Sequence[Tensor | None]
    calls: Sequence[Call]


Program = Callable[..., list[Any]]  # repeats the recorded computation for other inputs of the same shapes
Build = Callable[[Recording], Program]


class Unsupported(Exception):
    """A recording cannot be repeated; the message says why."""


class Recorder(TorchDispatchMode):
    """Records every kernel that runs inside it, in order.

    All tensors are kept until the recording is deleted, since they are distinguished by ``id``.

    Args:
        device: Type of the device on which the kernels run.
        keep: Whether to keep the calls; if not, they are only checked.
    """

    def __init__(self, device: str = "cpu", *, keep: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: float = MOST_BYTES[device]
        if device == "cuda":
            self.most = min(self.most, torch.cuda.mem_get_info()[0] / 2)  # the graph needs the same memory again
        self.calls: list[Call] = []
        self.trouble = ""  # why the computation cannot be repeated
        self._keep, self._bytes = keep, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Avoid an import of PyTorch's compiler, which would only be used to exclude this class."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and record it unless an earlier one cannot be repeated."""
        returned = kernel(*args, **(kwargs or {}))
        if not self.trouble:
            self.trouble = self._why_unrepeatable(kernel, args, returned)
            if self._keep:
                self.calls.append(Call(kernel, args, kwargs or {}, returned))
        if self.trouble:
            self.calls.clear()
        return returned

    def _why_unrepeatable(self, kernel: Any, args: Any, returned: Any) -> str:
        """Return why a kernel cannot be repeated; empty if it can."""
        if depends(kernel, args) or kernel.name().partition("::")[2] in READS:
            return f"a step depends on the values in a batch ({kernel.name()})"
        if not kernel.is_view:
            arguments = {id(value) for value in tensors(args)}  # changing these in place takes no additional memory
            self._bytes += sum(value.nbytes for value in tensors([returned]) if id(value) not in arguments)
        if self._bytes <= self.most:
            return ""
        limit = format_bytes(self.most)
        return f"a step uses too much memory to be recorded (more than {limit}), and would gain little"


def depends(kernel: Any, args: Any) -> bool:
    """Return whether the host must wait for a kernel: its result is read on the host, or its shape depends on values."""
    if kernel in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):  # only if an index is a mask
        return any(value.dtype in (torch.bool, torch.uint8) for value in tensors(args[1:2]))
    return bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(kernel.tags))


def tensors(values: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among values and in lists among them."""
    flat = [entry for value in values for entry in (value if isinstance(value, list | tuple) else [value])]
    return [value for value in flat if isinstance(value, Tensor)]
