"""TensorBoard event files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from trainctl.components.logger.base import Logger
from trainctl.errors import UnavailableError


def tensorboard(*, directory: Path, flush_seconds: Annotated[int, "[1, inf)"]) -> Logger:
    """Write metrics as TensorBoard events to ``<run>/tensorboard/``; needs the extra ``trainctl[tensorboard]``.

    Args:
        directory: The run's directory. Supplied by ``assemble``.
        flush_seconds: How often events are flushed to disk [s].

    Raises:
        UnavailableError: If the package ``tensorboard`` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UnavailableError(
            "logger=tensorboard needs an optional package: pip install 'trainctl[tensorboard]'"
        ) from error
    events = Events(directory / "tensorboard", partial(SummaryWriter, flush_secs=flush_seconds))
    return Logger(events.log, events.close, events.restart)


class Events:
    """The event files of a run, which hold each evaluation once.

    Args:
        folder: Where they are.
        open_writer: Opens a writer of a new event file in a folder.
    """

    def __init__(self, folder: Path, open_writer: Callable[[str], Any]) -> None:
        self.folder, self.open_writer = folder, open_writer
        self.writer: Any = None

    def log(
        self, step: int, metrics: Mapping[str, float], times: Mapping[tuple[str, int], float] | None = None
    ) -> None:
        """Write the metrics of an evaluation; ``times`` are those at which they were first written."""
        self.writer = self.writer or self.open_writer(str(self.folder))
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step, walltime=(times or {}).get((name, step)))

    def restart(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Write anew the evaluations that still count, and remove the files with others."""
        self.close()
        self.writer = None
        old = [] if self.folder.is_symlink() else sorted(self.folder.glob("events.out.tfevents.*"))
        times = recorded_times(self.folder) if old else {}
        for step, metrics in rows:
            self.log(step, metrics, times)
        for path in old:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the newest file."""
        if self.writer is not None:
            self.writer.close()


def recorded_times(folder: Path) -> dict[tuple[str, int], float]:
    """Return when each metric of each step was written; nothing if the files are damaged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    try:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        names = events.Tags()["scalars"]
        return {(name, event.step): event.wall_time for name in names for event in events.Scalars(name)}
    except Exception:  # noqa: BLE001 - whatever TensorBoard raises for a damaged file: only the times are lost
        return {}
