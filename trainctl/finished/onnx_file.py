"""Write modules as ONNX files, and compute with such files in ONNX Runtime."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trainctl.errors import ConfigError
from trainctl.finished.portable import Stage

LARGEST = 2_000_000_000  # bytes; a file of Protocol Buffers has less than 2 GiB
# PyTorch's two exporters, see docs/decisions.md: what they can write, in versions of the ONNX operators.
TRACED, PROGRAMS = range(13, 21), range(18, 24)
BATCH = "batch"  # name of the first dimension
# Without it, ONNX Runtime sends statistics of use to its maker and keeps a number of this machine in the home directory.
NO_STATISTICS = ("ORT_DISABLE_TELEMETRY", "1")

Convert = Callable[[Stage, int], bytes]


def exporters(opset: int) -> Iterator[Convert]:
    """Yield the functions that can convert a stage to this version of the operators, the faster one first."""
    if opset in TRACED:
        yield traced
    if opset in PROGRAMS:
        yield program


def traced(stage: Stage, opset: int) -> bytes:
    """Convert a stage by running it once; takes tenths of a second."""
    content = io.BytesIO()
    names = [*stage.inputs, *stage.outputs]
    with quiet():
        torch.onnx.export(
            stage.module,
            stage.example,
            content,  # type: ignore[arg-type] # this exporter also takes an open file
            dynamo=False,
            opset_version=opset,
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            dynamic_axes={name: {0: BATCH} for name in names},
        )
    return content.getvalue()


def program(stage: Stage, opset: int) -> bytes:
    """Convert a stage by way of ``torch.export``; takes seconds, and knows more operators."""
    batch = torch.export.Dim(BATCH)
    with quiet():
        found = torch.onnx.export(
            stage.module,
            stage.example,
            dynamo=True,
            opset_version=opset,
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            dynamic_shapes=(tuple({0: batch} for _ in stage.example),),
            verbose=False,
        )
        assert found is not None
        content: bytes = found.model_proto.SerializeToString()
    return content


def with_metadata(content: bytes, metadata: Mapping[str, str], opset: int) -> bytes:
    """Return a file with its metadata, and without what the exporter noted about the source code on this machine.

    Raises:
        ConfigError: If the file has another version of the operators than requested.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    found = {entry.domain: entry.version for entry in model.opset_import}.get("", 0)
    if found != opset:
        raise ConfigError(f"opset={opset}: this model needs opset {found}: use opset={found}")
    model.producer_name, model.doc_string = "trainctl", ""
    del model.metadata_props[:]
    for part in (model.graph, *model.functions):
        for owner in (part, *part.node, *part.value_info, *getattr(part, "initializer", ())):
            owner.doc_string = ""
            del owner.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


class Session:
    """Files that are computed one after the other in ONNX Runtime, on the CPU.

    Args:
        contents: The files, the first stage first.
    """

    def __init__(self, contents: Sequence[bytes]) -> None:
        os.environ.setdefault(*NO_STATISTICS)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # only what is fatal; errors are raised, too
        options.intra_op_num_threads = 1
        self.sessions = [
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]) for content in contents
        ]

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of the last file for raw rows; each file receives the outputs of the one before by name."""
        feeds: dict[str, Any] = {self.sessions[0].get_inputs()[0].name: rows}
        for session in self.sessions:
            names = [output.name for output in session.get_outputs()]
            given = {value.name: feeds[value.name] for value in session.get_inputs()}
            feeds = dict(zip(names, session.run(names, given), strict=True))
        return feeds


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what an exporter prints, logs and warns of: what it returns is compared instead, and what it raises is reported."""
    level = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)
