"""Counts of floating-point operations, and how many a second a device can do."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from trainctl.machine.device import synchronize

aten = torch.ops.aten

SIZES = {"cpu": 1024, "mps": 2048, "cuda": 8192}  # most rows and columns of the matrices that are multiplied
SECONDS = 0.2  # for products of one size


def counter() -> FlopCounterMode:
    """Return a counter of the operations of matrix products and convolutions, recurrent layers among them."""
    return FlopCounterMode(display=False, custom_mapping=FORMULAS)


def _recurrent(positions: float, matrices: Sequence[Sequence[int]]) -> int:
    """Return the operations of recurrent layers: each matrix is multiplied by each position of each row."""
    return int(2 * positions * sum(shape[0] * shape[1] for shape in matrices if len(shape) == 2))


def _positions(shape: Sequence[int]) -> int:
    """Return how many positions an input ``(..., F)`` has."""
    return int(torch.Size(shape[:-1]).numel())


def _mkldnn(given: Sequence[int], *weights: Any, **_: Any) -> int:
    return _recurrent(_positions(given), weights[:2])


def _cudnn(given: Sequence[int], weights: Sequence[Sequence[int]], *_: Any, **__: Any) -> int:
    return _recurrent(_positions(given), weights)


# Formulas that torch does not have, on shapes. A backward pass makes the gradients of weights and of inputs.
FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mkldnn_rnn_layer: _mkldnn,
    aten.mkldnn_rnn_layer_backward: lambda *shapes, **_: 2 * _mkldnn(*shapes),
    aten._cudnn_rnn: _cudnn,
    aten._cudnn_rnn_backward: lambda *shapes, **_: 2 * _cudnn(*shapes),
    aten.mv: lambda matrix, *_, **__: 2 * matrix[0] * matrix[1],
    aten.addmv: lambda _, matrix, *__, **___: 2 * matrix[0] * matrix[1],
    aten.dot: lambda vector, *_, **__: 2 * vector[0],
}
# Names of operations that hold products of matrices: without a formula, a count would leave them out.
PRODUCTS = re.compile(
    r"(?<!fused_)(rnn|lstm|gru)(?!_cell)|convolution|conv_depthwise|attention|fft|linalg_(?!vector_norm|check)|linear"
    r"|^_?(sparse_|int_|scaled_|grouped_)*(add|b|badd)?mm$|^_?(add)?mv|^_?v?dot$"
)


class Uncounted(TorchDispatchMode):
    """Collects the names of operations that multiply matrices and that no formula counts."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and note its name."""
        packet = kernel._overloadpacket
        name = kernel.name().partition("::")[2].partition(".")[0]
        if packet not in flop_registry and packet not in FORMULAS and PRODUCTS.search(name):
            self.names.add(name)
        return kernel(*args, **(kwargs or {}))


def peak(dtype: torch.dtype, place: torch.device) -> tuple[float, int]:
    """Return the operations a second in a product of square matrices, the best of several, and their rows.

    Matrices grow until a product takes long, as it does where a CPU has no instructions for a type.
    """
    size, found = 256, (0.0, 0)
    while size <= SIZES.get(place.type, 1024):
        seconds = _time_product(size, dtype, place)
        found = max(found, (2 * size**3 / seconds, size))
        if 8 * seconds > SECONDS:
            break
        size *= 2
    return found


def _time_product(size: int, dtype: torch.dtype, place: torch.device) -> float:
    one, other = (torch.randn(size, size, device=place).to(dtype) for _ in range(2))
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < SECONDS / 2:  # the first one warms up
        synchronize(place)
        start = time.perf_counter()
        one @ other
        synchronize(place)
        times.append(time.perf_counter() - start)
    return min(times)
