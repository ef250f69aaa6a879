"""A computation recorded as a list of kernels: what an eager step runs below modules, autograd and dispatch.

Small steps are bound by what surrounds the arithmetic. A recording keeps the arithmetic, and its numbers do not change,
as the kernels are those that ran.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Reads values of its input that a recording would take for constants.
READS = {"_pack_padded_sequence", "_pad_packed_sequence"}
# Bytes of a recording's tensors, all held while it is made; a step with more is bound by arithmetic.
MOST_BYTES = {"cpu": 1 << 29, "cuda": 1 << 33}


class Call(NamedTuple):
    """A kernel that ran: what it was given, and what it returned."""

    kernel: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    returned: Any


@dataclass(frozen=True)
class Recording:
    """A computation that was recorded.

    Args:
        compute: The computation: takes the inputs, returns the results.
        inputs: What changes from call to call.
        results: What it returned.
        calls: The kernels that ran, in order; empty if they were only looked at.
    """

    compute: Callable[..., list[Any]]
    inputs: Sequence[Tensor]
    results: Sequence[Tensor | None]
    calls: Sequence[Call]


Program = Callable[..., list[Any]]  # computes what was recorded from other inputs of the same shapes
Build = Callable[[Recording], Program]


class Unsupported(Exception):
    """A recording cannot be repeated; the message says why."""


class Recorder(TorchDispatchMode):
    """Notes every kernel that runs inside it, in order.

    All tensors are held until the recording is dropped, as they are told apart by identity.

    Args:
        device: Type of the device that computes.
        keep: Whether to keep the calls; else they are only judged.
    """

    def __init__(self, device: str = "cpu", *, keep: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: float = MOST_BYTES[device]
        if device == "cuda":
            self.most = min(self.most, torch.cuda.mem_get_info()[0] / 2)  # what the graph will hold
        self.calls: list[Call] = []
        self.trouble = ""  # why the computation cannot be repeated
        self._keep, self._bytes = keep, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of PyTorch's compiler, which would only be asked to leave this class alone."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and note it unless one before it cannot be repeated."""
        returned = kernel(*args, **(kwargs or {}))
        if not self.trouble:
            self.trouble = self._judge(kernel, args, returned)
            if self._keep:
                self.calls.append(Call(kernel, args, kwargs or {}, returned))
        if self.trouble:
            self.calls.clear()
        return returned

    def _judge(self, kernel: Any, args: Any, returned: Any) -> str:
        """Return why a kernel cannot be repeated; empty if it can."""
        if depends(kernel, args) or kernel.name().partition("::")[2] in READS:
            return f"it depends on the values of a batch ({kernel.name()})"
        if not kernel.is_view:
            given = {id(value) for value in tensors(args)}  # what a kernel changes in place takes no more memory
            self._bytes += sum(value.nbytes for value in tensors([returned]) if id(value) not in given)
        return "it is bound by arithmetic, not by what surrounds it" if self._bytes > self.most else ""


def depends(kernel: Any, args: Any) -> bool:
    """Return whether a kernel's results, or their shapes, depend on values, so that the host has to wait for them."""
    if kernel in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):  # only where one is a mask
        return any(value.dtype in (torch.bool, torch.uint8) for value in tensors(args[1:2]))
    return bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(kernel.tags))


def tensors(values: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among values, those in lists too."""
    flat = [entry for value in values for entry in (value if isinstance(value, list | tuple) else [value])]
    return [value for value in flat if isinstance(value, Tensor)]
