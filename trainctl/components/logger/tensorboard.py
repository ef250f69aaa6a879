"""TensorBoard event files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

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
    writer = SummaryWriter(str(directory / "tensorboard"), flush_secs=flush_seconds)

    def log(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return Logger(log, writer.close)
