"""Runs in MLflow."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainctl.components.logger.base import Folder, Logger, Record, Session, Steps, numbers
from trainctl.errors import UnavailableError

RUN_ID = "run_id"  # the file with the run's identifier in MLflow
MOST_PARAMETERS, MOST_METRICS = 100, 1000  # in one request to a server
LONGEST_VALUE = 500  # characters of a parameter; the limit of MLflow 1 and of many servers
STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
# Without these, a server that does not answer would hold up training for minutes at each evaluation.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}


def mlflow(*, directory: Path, folder: Callable[[str], Folder], uri: str | None, experiment: str) -> Logger:
    """Record the run in MLflow: settings, metrics by step, plots, and how it ended; needs the extra ``trainctl[mlflow]``.

    A resumed run continues its run in MLflow, and each evaluation is there once. MLflow takes nothing back: if the run
    went back to a checkpoint and evaluations came out differently, it becomes a new run there, and the old one is deleted
    (it stays in MLflow's trash).

    MLflow's own statistics of use are switched off. A server that does not answer is tried twice for 10 s; the variables
    ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` and ``MLFLOW_HTTP_REQUEST_TIMEOUT`` change that.

    Args:
        directory: The run's directory. Supplied by ``assemble``.
        folder: Returns a folder of the run's directory. Supplied by ``assemble``.
        uri: Of the tracking server or database, such as ``http://localhost:5000``; null: the variable
            ``MLFLOW_TRACKING_URI``, or the database ``mlflow.db`` next to the runs, with plots in ``mlflow`` next to it.
        experiment: Name of the experiment, which is created if necessary.

    Raises:
        UnavailableError: If the package ``mlflow`` is not installed.
    """
    for name, value in (PATIENCE | QUIET).items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UnavailableError("logger=mlflow needs an optional package: pip install 'trainctl[mlflow]'") from error
    where = uri or os.environ.get("MLFLOW_TRACKING_URI")
    # Otherwise MLflow puts plots into ./mlruns of whatever directory the command is started in.
    plots = None if where else (directory.parent / "mlflow").absolute().as_uri()
    where = where or f"sqlite:///{directory.parent / 'mlflow.db'}"
    tracked = Tracked(lambda: MlflowClient(tracking_uri=where), folder("mlflow"), experiment, directory, plots)
    return Logger(tracked.log, tracked.close, tracked.restart, tracked.start, tracked.picture, tracked.finish)


class Tracked:
    """A run's counterpart in MLflow.

    Args:
        connect: Returns a client of MLflow.
        folder: The folder with the run's identifier.
        experiment: Name of the experiment.
        directory: The run's directory.
        plots: Where a new experiment keeps plots, as a URI; None: where the server does.
    """

    def __init__(
        self, connect: Callable[[], Any], folder: Folder, experiment: str, directory: Path, plots: str | None
    ) -> None:
        self.connect, self.folder, self.experiment, self.directory = connect, folder, experiment, directory
        self.plots = plots
        self.client: Any = None
        self.session = Session(directory.name, {})
        self.id, self.record = "", Record()

    def start(self, session: Session) -> None:
        """Find the run in MLflow, or create it."""
        self.session = session
        self.client = self.client or self.connect()
        self.id = self._find()
        if not self.id:
            self._create()
            return
        self.client.update_run(self.id, status="RUNNING")
        run = self.client.get_run(self.id)
        self.record = Record(self._received(run))
        for key, value in _parameters(session.settings).items():
            if run.data.params.get(key) != value:  # a parameter of MLflow cannot change
                self.client.set_tag(self.id, f"resumed.{key}", value)

    def restart(self, rows: Steps) -> None:
        """Send the evaluations that still count, if they were not sent before."""
        self.record.restart(rows)
        self._send()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send an evaluation."""
        self.record.add(step, metrics)
        self._send()

    def picture(self, name: str, content: bytes) -> None:
        """Send a plot."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            self.client.log_artifact(self.id, str(path), "plots")

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Send how the run ended."""
        if self.record.outdated and summary.get("outcome") == "finished":
            self._create()  # it ended before evaluations that had been sent
            self._send()
        outcome = str(summary.get("outcome"))
        self.client.set_tag(self.id, "outcome", outcome)
        for name, value in numbers(summary).items():
            self.client.set_tag(self.id, f"final.{name}", f"{value:g}")
        self.client.set_terminated(self.id, STATUS.get(outcome, "KILLED"))

    def close(self) -> None:
        """Do nothing: every request is complete."""

    def _find(self) -> str:
        """Return the identifier of the run in MLflow; empty if it has none yet, or it was deleted there."""
        from mlflow.exceptions import MlflowException

        known = self.folder.read(RUN_ID).decode(errors="replace").strip()
        try:
            return known if known and self.client.get_run(known).info.lifecycle_stage == "active" else ""
        except MlflowException:
            return ""

    def _create(self) -> None:
        """Create a run in MLflow in place of the one that there was."""
        found = self.client.get_experiment_by_name(self.experiment)
        number = found.experiment_id if found else self.client.create_experiment(self.experiment, self.plots)
        old, tags = self.id, {"trainctl.directory": str(self.directory)}
        self.id = self.client.create_run(number, run_name=self.session.name, tags=tags).info.run_id
        self.record.sent.clear()
        if RUN_ID in self.folder.names():
            self.folder.remove(RUN_ID)
        with self.folder.create(RUN_ID) as file:
            file.write(self.id.encode())
        self._batches("params", _parameters(self.session.settings), MOST_PARAMETERS)
        if old:
            self.client.delete_run(old)

    def _send(self) -> None:
        """Send what MLflow lacks; start anew if it has something that is no longer true."""
        from mlflow.entities import Metric

        if self.record.contradicted:
            self._create()
        now, missing = time.time_ns() // 1_000_000, self.record.missing()
        metrics = [Metric(name, value, now, step) for step, row in missing.items() for name, value in row.items()]
        for first in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(self.id, metrics=metrics[first : first + MOST_METRICS])
        self.record.sent |= {(metric.step, metric.key): metric.value for metric in metrics}

    def _received(self, run: Any) -> dict[tuple[int, str], float]:
        """Return the metrics that MLflow has."""
        histories = (self.client.get_metric_history(self.id, name) for name in run.data.metrics)
        return {(metric.step, metric.key): metric.value for history in histories for metric in history}

    def _batches(self, kind: str, values: Mapping[str, str], most: int) -> None:
        from mlflow.entities import Param

        entries = [Param(key, value) for key, value in values.items()]
        for first in range(0, len(entries), most):
            self.client.log_batch(self.id, **{kind: entries[first : first + most]})


def _parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value)[:LONGEST_VALUE] for key, value in settings.items()}
