"""Count floating-point operations, and measure how many a device does per second."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from trainctl.machine.device import synchronize

aten = torch.ops.aten

SIZES = {"cpu": 1024, "mps": 2048, "cuda": 8192}  # largest number of rows and columns of the multiplied matrices
SECONDS = 0.2  # time limit for the products of one size [s]


def counter() -> FlopCounterMode:
    """Return a counter of the operations of matrix products, convolutions and recurrent layers."""
    return FlopCounterMode(display=False, custom_mapping=FORMULAS)


def _recurrent(positions: float, matrices: Sequence[Sequence[int]]) -> int:
    """Return the operations of recurrent layers, which multiply each matrix by each position of each row."""
    return int(2 * positions * sum(shape[0] * shape[1] for shape in matrices if len(shape) == 2))


def _positions(shape: Sequence[int]) -> int:
    """Return the number of positions of an input ``(..., F)``."""
    return int(torch.Size(shape[:-1]).numel())


def _mkldnn(inputs: Sequence[int], *weights: Any, **_: Any) -> int:
    return _recurrent(_positions(inputs), weights[:2])


def _cudnn(inputs: Sequence[int], weights: Sequence[Sequence[int]], *_: Any, **__: Any) -> int:
    return _recurrent(_positions(inputs), weights)


# Formulas that torch lacks: functions of the arguments' shapes. A backward pass computes the gradients of weights and
# of inputs.
FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mkldnn_rnn_layer: _mkldnn,
    aten.mkldnn_rnn_layer_backward: lambda *shapes, **_: 2 * _mkldnn(*shapes),
    aten._cudnn_rnn: _cudnn,
    aten._cudnn_rnn_backward: lambda *shapes, **_: 2 * _cudnn(*shapes),
    aten.mv: lambda matrix, *_, **__: 2 * matrix[0] * matrix[1],
    aten.addmv: lambda _, matrix, *__, **___: 2 * matrix[0] * matrix[1],
    aten.dot: lambda vector, *_, **__: 2 * vector[0],
}
# Names of operations that contain matrix products; without a formula, the count would be too low.
PRODUCTS = re.compile(
    r"(?<!fused_)(rnn|lstm|gru)(?!_cell)|convolution|conv_depthwise|attention|fft|linalg_(?!vector_norm|check)|linear"
    r"|^_?(sparse_|int_|scaled_|grouped_)*(add|b|badd)?mm$|^_?(add)?mv|^_?v?dot$"
)


class Uncounted(TorchDispatchMode):
    """Collects the names of operations that multiply matrices but have no formula."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and record its name if it has no formula."""
        packet = kernel._overloadpacket
        name = kernel.name().partition("::")[2].partition(".")[0]
        if packet not in flop_registry and packet not in FORMULAS and PRODUCTS.search(name):
            self.names.add(name)
        return kernel(*args, **(kwargs or {}))


def peak(dtype: torch.dtype, device: torch.device) -> tuple[float, int]:
    """Return the highest number of operations per second in a product of square matrices, and their number of rows.

    The matrices grow until a product takes too long, e.g. because a CPU has no instructions for a type.
    """
    size, best = 256, (0.0, 0)
    while size <= SIZES.get(device.type, 1024):
        seconds = _time_product(size, dtype, device)
        best = max(best, (2 * size**3 / seconds, size))
        if 8 * seconds > SECONDS:
            break
        size *= 2
    return best


def _time_product(size: int, dtype: torch.dtype, device: torch.device) -> float:
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < SECONDS / 2:  # the first one warms up
        synchronize(device)
        start = time.perf_counter()
        one @ other
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
