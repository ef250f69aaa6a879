"""Runs in Weights & Biases."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from trainctl.components.logger.base import Folder, Logger, Record, Session, Steps, numbers
from trainctl.errors import UnavailableError

SENT = "sent-"  # files with what was sent in a session
RUN_ID = "run_id"
# What the library would do in addition: report its own errors, and read the code and the output of the terminal.
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}


def wandb(
    *,
    directory: Path,
    folder: Callable[[str], Folder],
    mode: Literal["offline", "online"],
    project: str,
    entity: str | None,
) -> Logger:
    """Record the run in Weights and Biases: settings, metrics by step, plots, and how it ended; needs ``trainctl[wandb]``.

    ``offline`` writes files to ``<run>/wandb`` and uses no network; ``wandb sync <run>/wandb/offline-run-*`` sends them
    later. A resumed run writes all evaluations that still count to new files in place of the old ones, so each of them is
    there once. ``online`` sends them while training, to ``WANDB_BASE_URL`` or wandb.ai, with the key of ``wandb login`` or
    ``WANDB_API_KEY``. A resumed run continues there; what was sent before is not sent again. If the run went back to a
    checkpoint and evaluations came out differently, it becomes a new run there.

    Metrics are plotted over ``step``. Code and the output of the terminal are not recorded; the library itself records the
    machine, its load and the installed packages.

    Args:
        directory: The run's directory. Supplied by ``assemble``.
        folder: Returns a folder of the run's directory. Supplied by ``assemble``.
        mode: Whether anything is sent while training.
        project: Name of the project, which is created if necessary.
        entity: The user or team; null: your own.

    Raises:
        UnavailableError: If the package ``wandb`` is not installed, or there is no key for ``online``.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import wandb as library
    except ImportError as error:
        raise UnavailableError("logger=wandb needs an optional package: pip install 'trainctl[wandb]'") from error
    if mode == "online" and not library.api.api_key:
        raise UnavailableError(
            "logger.wandb.mode=online needs a key: run `wandb login`, set WANDB_API_KEY, or use logger.wandb.mode=offline"
        )
    place = {"project": project, "entity": entity, "mode": mode}
    tracked = Tracked(library, folder("wandb"), directory / "wandb", place)
    return Logger(tracked.log, tracked.close, tracked.restart, tracked.start, tracked.picture, tracked.finish)


class Tracked:
    """A run's counterpart in Weights & Biases.

    Args:
        library: The package.
        folder: The folder with the run's identifier, and with what was sent.
        path: Its path, in which the library writes its own files.
        place: Project, entity and mode.
    """

    def __init__(self, library: Any, folder: Folder, path: Path, place: Mapping[str, Any]) -> None:
        self.library, self.folder, self.path, self.place = library, folder, path, place
        self.session = Session(path.parent.name, {})
        self.run: Any = None
        self.record = Record()
        self.sent: BinaryIO | None = None
        self.code = 0

    @property
    def offline(self) -> bool:
        """Whether nothing is sent."""
        return bool(self.place["mode"] == "offline")

    def start(self, session: Session) -> None:
        """Note name and settings; the run itself starts with :meth:`restart`."""
        self.session = session
        self.record = Record({} if self.offline else self._sent_before())

    def restart(self, rows: Steps) -> None:
        """Let the run hold the evaluations that still count, and no others."""
        self.record.restart(rows)
        if self.offline or self.run is None:
            self._begin()
        self._send()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log an evaluation."""
        self.record.add(step, metrics)
        self._send()

    def picture(self, name: str, content: bytes) -> None:
        """Log a plot."""
        import io

        from PIL import Image

        key = name.rpartition(".")[0] or name
        with Image.open(io.BytesIO(content)) as image:
            self.run.log({f"plots/{key}": self.library.Image(image)})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Log how the run ended."""
        outcome = str(summary.get("outcome"))
        self.code = int(outcome == "failed")
        self.run.summary.update(
            {"outcome": outcome, **{f"final/{key}": value for key, value in numbers(summary).items()}}
        )

    def close(self) -> None:
        """End the run, which waits until its files are complete."""
        if self.run is not None:
            self.run.finish(exit_code=self.code)
            self.library.teardown()  # its process may lose what a later run of the same identifier logs
            self.run = None
        if self.sent is not None:
            self.sent.close()
            self.sent = None

    def _begin(self, *, anew: bool = False) -> None:
        """Start a run in place of the one that there was.

        Args:
            anew: Whether it gets a new identifier, and nothing of what was sent counts.
        """
        self.close()
        if self.offline:
            for old in self.path.glob("offline-run-*"):
                shutil.rmtree(old)
        if anew or self.offline:
            self.record.sent.clear()
        settings = self.library.Settings(
            console="off", silent=True, quiet=True, save_code=False, disable_code=True, disable_git=True
        )
        self.run = self.library.init(
            **self.place, id=self._id(anew=anew), name=self.session.name, dir=str(self.path.parent),
            config=dict(self.session.settings), resume=None if self.offline else "allow", settings=settings,
        )  # fmt: skip
        self.run.define_metric("step", hidden=True)
        self.run.define_metric("*", step_metric="step")
        if not self.offline:
            self.run.config.update(dict(self.session.settings), allow_val_change=True)
            self.sent = self.folder.create(f"{SENT}{secrets.token_hex(8)}")

    def _send(self) -> None:
        """Log what the run lacks; start anew if it has something that is no longer true."""
        if self.record.contradicted:
            self._begin(anew=True)
        for step, metrics in sorted(self.record.missing().items()):
            self.run.log({"step": step, **metrics})
            self.record.sent |= {(step, name): value for name, value in metrics.items()}
            if self.sent is not None:
                self.sent.write(f"{json.dumps([step, metrics])}\n".encode())
                self.sent.flush()

    def _id(self, *, anew: bool) -> str:
        """Return the run's identifier in Weights & Biases, the same in all sessions unless it is to be a new one."""
        known = self.folder.read(RUN_ID).decode(errors="replace").strip()
        if known.isalnum() and not anew:
            return known
        for name in self.folder.names():
            if name == RUN_ID or name.startswith(SENT):
                self.folder.remove(name)
        fresh = secrets.token_hex(4)
        with self.folder.create(RUN_ID) as file:
            file.write(fresh.encode())
        return fresh

    def _sent_before(self) -> dict[tuple[int, str], float]:
        """Return what earlier sessions have sent; lines that are incomplete are left out."""
        found: dict[tuple[int, str], float] = {}
        for name in self.folder.names():
            for line in self.folder.read(name).splitlines() if name.startswith(SENT) else ():
                try:
                    step, metrics = json.loads(line)
                    found |= {(int(step), str(key)): float(value) for key, value in metrics.items()}
                except (ValueError, TypeError, AttributeError):
                    continue
        return found
