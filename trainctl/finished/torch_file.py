"""Write modules as PyTorch programs (.pt2); they are never read here, because PyTorch's loader executes pickles."""

import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.export import ExportedProgram

from trainctl.finished.onnx_file import BATCH, quiet
from trainctl.finished.portable import Stage

METADATA = "metadata.json"  # name of the metadata in the file


def program(stage: Stage) -> ExportedProgram:
    """Return a stage as a program for any batch size, without what torch noted about the source code on this machine."""
    batch = torch.export.Dim(BATCH)
    with quiet():
        found = torch.export.export(
            stage.module, stage.example, dynamic_shapes=(tuple({0: batch} for _ in stage.example),)
        )
    for module in found.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return found


def content(found: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """Return the file of a program."""
    file = io.BytesIO()
    with quiet():
        torch.export.save(found, file, extra_files={METADATA: json.dumps(dict(metadata), ensure_ascii=False)})
    return file.getvalue()


class Programs:
    """Programs that are computed one after the other.

    Args:
        programs: The programs, the first stage first.
        outputs: Names of the outputs of the last one.
    """

    def __init__(self, programs: Sequence[ExportedProgram], outputs: Sequence[str]) -> None:
        self.modules = [program.module() for program in programs]
        self.outputs = outputs

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the answers for raw rows."""
        values = (torch.from_numpy(rows),)
        with torch.no_grad():
            for module in self.modules:
                values = module(*values)
        return {name: value.numpy() for name, value in zip(self.outputs, values, strict=True)}
