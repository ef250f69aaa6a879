"""An eager computation captured as a CUDA graph: a single call from the host launches all of its kernels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainctl.machine.device import end_capture
from trainctl.step.record import Program, Recording, Unsupported

WARM_UP = 3  # runs before a capture, as PyTorch's documentation recommends: lazy initialization must not be captured


class Graphs:
    """Captures computations as graphs that share one memory pool, since no two of them run at the same time.

    Args:
        keep: Whether to copy the results, which the next call of a graph would overwrite.
    """

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.pool: Any = None

    def build(self, recording: Recording) -> Program:
        """Capture a computation; the caller must restore what it changes in place (buffers, sums, random states).

        Raises:
            Unsupported: If CUDA cannot capture it.
        """
        try:
            graph = Graph(recording.compute, recording.inputs, self.pool)
        except RuntimeError as error:
            end_capture(recording.inputs[0].device)
            reason = str(error).partition("\n")[0]
            raise Unsupported(f"CUDA cannot capture it ({reason})") from error
        self.pool = graph.pool
        if not self.keep:
            return graph
        return lambda *inputs: [None if value is None else value.clone() for value in graph(*inputs)]


class Graph:
    """A computation whose kernels are launched together as a CUDA graph.

    Args:
        compute: A computation that only uses kernels of the current CUDA device and never makes the host wait.
        inputs: Inputs with the shapes of later calls.
        pool: Memory pool shared with other graphs; None for its own.

    Raises:
        RuntimeError: If CUDA cannot capture it.

    Source: PyTorch documentation, CUDA semantics, CUDA graphs: whole-network capture.
    """

    def __init__(self, compute: Callable[..., list[Any]], inputs: Sequence[Tensor], pool: Any = None) -> None:
        self.inputs = [value.clone() for value in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                compute(*self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            self.results = compute(*self.inputs)
        self.pool = self.graph.pool()

    def __call__(self, *inputs: Tensor) -> list[Any]:
        """Return the results; the next call overwrites them."""
        for own, new in zip(self.inputs, inputs, strict=True):
            own.copy_(new)
        self.graph.replay()
        return list(self.results)
