"""TensorBoard event files."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, BinaryIO

from trainctl.components.logger.base import Logger
from trainctl.errors import UnavailableError


def tensorboard(*, new_file: Callable[[str, str], BinaryIO], flush_seconds: Annotated[int, "[1, inf)"]) -> Logger:
    """Write metrics as TensorBoard events to ``<run>/tensorboard/``; needs the extra ``trainctl[tensorboard]``.

    Args:
        new_file: Creates a file in a directory of the run. Supplied by ``assemble``.
        flush_seconds: How often events are flushed to disk [s].

    Raises:
        UnavailableError: If the package ``tensorboard`` is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise UnavailableError(
            "logger=tensorboard needs an optional package: pip install 'trainctl[tensorboard]'"
        ) from error
    # TensorBoard's own writer would open the file by its path, and follow any link on it.
    name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}.{time.monotonic_ns()}"
    writer = RecordWriter(new_file("tensorboard", name.replace("/", "_")))
    flushed = 0.0

    def write(**content: Any) -> None:
        nonlocal flushed
        writer.write(Event(wall_time=time.time(), **content).SerializeToString())
        if time.monotonic() - flushed >= flush_seconds:
            flushed = time.monotonic()
            writer.flush()

    def log(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            write(step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]))

    write(file_version="brain.Event:2")
    return Logger(log, writer.close)
