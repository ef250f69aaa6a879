"""TensorBoard event files."""

import os
import platform
import struct
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from trainctl.components.logger.base import Folder, Logger, Session, Steps, numbers
from trainctl.errors import UnavailableError

PREFIX = "events.out.tfevents."


def tensorboard(*, folder: Callable[[str], Folder], flush_seconds: Annotated[int, "[1, inf)"]) -> Logger:
    """Write settings, metrics and plots as TensorBoard events to ``<run>/tensorboard/``; needs the extra ``trainctl[tensorboard]``.

    Args:
        folder: Returns a folder of the run's directory. Supplied by ``assemble``.
        flush_seconds: How often events are flushed to disk [s].

    Raises:
        UnavailableError: If the package ``tensorboard`` is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "logger=tensorboard needs an optional package: pip install 'trainctl[tensorboard]'"
        ) from error
    events = Events(folder("tensorboard"), flush_seconds)
    return Logger(events.log, events.close, events.restart, events.start, events.picture, events.finish)


class Events:
    """The event files of a run, which hold each evaluation once.

    TensorBoard's own writer would open files by their path, and follow any link on it.

    Args:
        folder: The folder in which they are.
        flush_seconds: How often events are flushed to disk [s].
    """

    def __init__(self, folder: Folder, flush_seconds: float) -> None:
        self.folder, self.flush_seconds, self.flushed = folder, flush_seconds, 0.0
        self.writer: Any = None
        self.settings: Mapping[str, Any] = {}
        self.last = 0  # the newest step

    def log(
        self, step: int, metrics: Mapping[str, float], times: Mapping[tuple[str, int], float] | None = None
    ) -> None:
        """Write the metrics of an evaluation; ``times`` are those at which they were first written."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.last = max(self.last, step)
        for name, value in metrics.items():
            written = (times or {}).get((name, step), time.time())
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
            self._write(wall_time=written, step=step, summary=summary)

    def start(self, session: Session) -> None:
        """Note the settings, which every new file repeats."""
        self.settings = session.settings

    def restart(self, rows: Steps) -> None:
        """Write anew the evaluations that still count, and remove the files with others."""
        self.close()
        self.writer, self.last = None, 0
        old = [name for name in self.folder.names() if name.startswith(PREFIX)]
        times = {key: written for name in old for key, written in recorded_times(self.folder.read(name)).items()}
        if self.settings:
            self._write(wall_time=time.time(), step=0, summary=text_summary("settings", markdown(self.settings)))
        for step, metrics in rows:
            self.log(step, metrics, times)
        for name in old:
            self.folder.remove(name)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        ending = {"outcome": summary.get("outcome"), **numbers(summary)}
        self._write(wall_time=time.time(), step=self.last, summary=text_summary("summary", markdown(ending)))

    def picture(self, name: str, content: bytes) -> None:
        """Write a plot."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack_from(">II", content, 16)  # of the header of a PNG
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=content)
        tag = f"plots/{name.rpartition('.')[0] or name}"
        self._write(wall_time=time.time(), step=self.last, summary=Summary(value=[Summary.Value(tag=tag, image=image)]))

    def close(self) -> None:
        """Close the newest file."""
        if self.writer is not None:
            self.writer.close()

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self.writer is None:
            host = platform.node().replace("/", "_")
            name = f"{PREFIX}{time.time():.0f}.{host}.{os.getpid()}.{time.monotonic_ns()}"
            self.writer = RecordWriter(self.folder.create(name))
            self.writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        self.writer.write(Event(**content).SerializeToString())
        if time.monotonic() - self.flushed >= self.flush_seconds:
            self.flushed = time.monotonic()
            self.writer.flush()


def recorded_times(content: bytes) -> dict[tuple[str, int], float]:
    """Return when each metric of each step was written, from the content of an event file, up to where it is damaged.

    A record is its length [8 bytes], a checksum [4], the event, and another checksum [4] (TensorFlow, TFRecord).
    """
    from tensorboard.compat.proto.event_pb2 import Event

    times: dict[tuple[str, int], float] = {}
    start = 0
    while start + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        record = content[start + 12 : start + 12 + length]
        if len(record) < length:
            break
        try:
            event = Event.FromString(record)
        except Exception:  # noqa: BLE001 - whatever protobuf raises for a damaged record: only the times are lost
            break
        times |= {(value.tag, event.step): event.wall_time for value in event.summary.value}
        start += 16 + length
    return times


def markdown(entries: Mapping[str, Any]) -> str:
    r"""Return a table of names and values, as TensorBoard shows it.

    >>> markdown({"a|b": 1})
    '| | |\n|---|---|\n| `a\\|b` | `1` |'
    """
    rows = (tuple(str(item).replace("|", "\\|").replace("`", "'") for item in pair) for pair in entries.items())
    return "\n".join(["| | |", "|---|---|", *(f"| `{name}` | `{value}` |" for name, value in rows)])


def text_summary(tag: str, text: str) -> Any:
    """Return a summary for TensorBoard's page of texts."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
