"""An eager computation captured as a CUDA graph: one call of the host starts all of its kernels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainctl.machine.device import end_capture
from trainctl.step.record import Program, Recording, Unsupported

WARM_UP = 3  # runs before a capture, as PyTorch's documentation has them: libraries set up what a capture must not


class Graphs:
    """Captures computations as graphs that share one pool of memory: each is done with before the next one starts.

    Args:
        keep: Whether results outlive the next call of the same graph, which overwrites them; they are copied then.
    """

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.pool: Any = None

    def build(self, recording: Recording) -> Program:
        """Capture a computation; what it changes in place (buffers, sums, random states) the caller puts back.

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
    """A computation whose kernels a GPU starts by itself.

    Args:
        compute: Only kernels of the current CUDA device, and no wait of the host.
        inputs: Of the shapes that it will be called with.
        pool: Of memory, that it shares with other graphs; one of its own if None.

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
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return list(self.results)
