"""Open a run from Python: predict with it, look at its records, take its model."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from trainctl.api.predictions import Predictions
from trainctl.api.surroundings import as_before
from trainctl.api.table import Table
from trainctl.api.training import resume
from trainctl.api.turn import TURN
from trainctl.api.whole import Whole
from trainctl.api.words import texts
from trainctl.errors import CheckpointError, ConfigError
from trainctl.fileformat.pattern import files_of
from trainctl.finished import evaluate as measuring
from trainctl.finished.in_memory import notes_of, paths_in, read_given
from trainctl.finished.inputs import Label, batches, expand
from trainctl.finished.open import Finished
from trainctl.finished.open import open as open_run
from trainctl.finished.predictor import Answers, Predictor, predictor
from trainctl.finished.source import Source, distinct
from trainctl.store import records, rundir
from trainctl.store.finding import find

Which = Literal["best", "last"]
SplitName = Literal["train", "val", "test", "all"]
ALLOWED = ("device", "threads", "loop.eval_batch_size", "dataset.")


class Run:
    """A run on disk, opened; :func:`train` and :func:`load` return it.

    Args:
        opened: Its configuration, schema and newest undamaged checkpoint.
        which: The weights: ``best`` or ``last``.
    """

    def __init__(self, opened: Finished, which: Which) -> None:
        self._opened, self.which = opened, which

    def __repr__(self) -> str:
        model = self._opened.config.parts["model"]["name"]
        return f"<trainctl run {self.path}: {model}, {self.summary.get('outcome') or 'without a summary'}>"

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self._opened.directory.path

    @property
    def name(self) -> str:
        """The name of the run's directory."""
        return self._opened.directory.name

    @property
    def components(self) -> tuple[str, ...]:
        """The packages with components of yours that the run uses."""
        return tuple(self._opened.config.components)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration: every setting, as in ``config.yaml``; a copy."""
        return copy.deepcopy(self._opened.config.tree)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``: outcome, metrics, time; empty if the run has none."""
        return records.read_json(self._opened.directory / "summary.json")

    @property
    def metrics(self) -> Table:
        """The evaluations, one row each: step, epoch, seconds, learning rate, and metrics by ``split/name``."""
        with suppress(CheckpointError):
            return Table(rundir.read_metrics(self._opened.directory))
        return Table([])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of probabilities; empty unless the data have classes."""
        return self._opened.schema.class_names

    @cached_property
    def _predictor(self) -> Predictor:
        return self._with(())

    def _with(self, quantiles: Sequence[float]) -> Predictor:
        with as_before():
            return predictor(self._opened, self._opened.weights(self.which), quantiles=quantiles)

    @cached_property
    def model(self) -> nn.Module:
        """The model with its cleaning and scalings: raw rows in, probabilities or values in their units out.

        It is in evaluation mode. ``model.model`` is the network alone.
        """
        found = self._predictor
        return Whole(copy.deepcopy(found.model), found.task, found.fitted, found.schema).eval()

    def predict(self, rows: Any, *, quantiles: Sequence[float] = ()) -> Predictions:
        """Predict rows.

        Args:
            rows: An array ``(N, *shape)`` of NumPy or PyTorch, or nested lists; a data frame of pandas or polars; a list of
                records, each a dict; a list of texts for a run on texts; an image of Pillow or its bytes, or a list of them; or the
                path of a file or directory, a pattern such as ``photos/*.jpg``, or a list of these.
            quantiles: Of what the parts of an ensemble predict, each in [0, 1].

        Returns:
            The predictions, in the order of the rows.

        Raises:
            DataError: If the rows do not have the shape and columns that the run was trained with.
            ConfigError: If quantiles are wanted of a run that is no ensemble.
        """
        if wrong := [each for each in quantiles if not 0 <= each <= 1]:
            raise ConfigError(f"quantiles={list(quantiles)}: expected numbers in [0, 1], found {wrong[0]}")
        found = self._with(quantiles) if quantiles else self._predictor
        paths = paths_in(rows, self._opened.schema)
        with as_before():
            return self._of_files(found, paths) if paths else self._of_rows(found, rows)

    def _of_rows(self, found: Predictor, rows: Any) -> Predictions:
        read = read_given(self._opened, found.fitted, rows, keep="ids")
        names = distinct(read.names, frozenset({"row", *found.columns}))
        size = self._opened.config.loop.eval_batch_size
        labels: list[Label] = [
            {"row": number} | (dict(zip(names, read.cells[number], strict=True)) if names else {})
            for number in range(len(read.rows))
        ]
        return Predictions(
            found, [found(portion) for portion in read.rows.split(size)], labels, notes_of(read, found.schema)
        )

    def _of_files(self, found: Predictor, given: Sequence[Path]) -> Predictions:
        paths = files_of(map(str, given))
        files, notes = expand(paths, found.schema)
        several = len(paths) > 1 or paths[0].is_dir()
        source = Source(self._opened, found.fitted, files, (), several=several, notes=notes, keep="ids")
        labels: list[Label] = []
        answers: list[Answers] = []
        portion: Tensor
        for named, portion in batches(source.parts(), self._opened.config.loop.eval_batch_size):
            labels += named
            answers.append(found(portion))
        source.require_rows()
        notes += [f"not predicted: {error}" for error in source.failed]
        notes += source.coverage.notes(found.schema.input_shape[0])
        return Predictions(found, answers, labels, notes)

    def resume(self, *words: str, quiet: bool = False) -> "Run":
        """Continue the training from the latest checkpoint, as ``trainctl resume RUN WORD...`` does on the command line.

        A finished run continues if its budget is raised, as by ``run.resume("loop.epochs=50")``; otherwise nothing happens,
        and a warning of the category ``Advice`` says so. What is shown, and what stays as it was, is as for ``train``.

        Args:
            words: Settings that change; `trainctl help resume` lists those that may.
            quiet: Whether nothing is shown.

        Returns:
            The run, opened anew with the same choice of weights; this object keeps those that it has.

        Raises:
            ConfigError: If a setting may not change.
            CheckpointError: If no checkpoint is intact, or the run was not trained.
            StorageError: If another process trains it.
        """
        resume(self, texts(words, "resume"), quiet=quiet)
        with TURN:
            return Run(open_run(self.path, self.components, (), ALLOWED, payloads=[self.which]), self.which)

    def evaluate(self, split: SplitName = "test") -> dict[str, float]:
        """Return the metrics of a split of the run's data, by ``split/name``; read again from where they were.

        Raises:
            DataError: If the data cannot be read, or have changed.
            ConfigError: If there is no such split, or it has no rows.
        """
        if split not in get_args(SplitName):
            raise ConfigError(f"split={split}: no such split (choose from: {', '.join(get_args(SplitName))})")
        with as_before():
            return dict(measuring.evaluate(self._opened, split, self.which).metrics)


def load(
    run: str | Path = "last",
    *words: str,
    root: str | Path = "runs",
    which: Which = "best",
    components: Sequence[str] = (),
) -> Run:
    """Open a run.

    Args:
        run: Its directory, its name below the root, a part of the name, or ``last``.
        words: Settings that are different here, such as ``device=cpu`` or ``dataset.path=moved.csv``.
        root: The directory of the runs.
        which: The weights: ``best`` by the monitored metric, or ``last``.
        components: Packages with components of yours that the run uses; user code is loaded only from these.

    Raises:
        CheckpointError: If there is no such run, or its checkpoints are damaged.
        ConfigError: If a word is no setting that may be different, or the run uses other packages.
    """
    if which not in ("best", "last"):
        raise ConfigError(f"which={which}: expected best or last")
    directory = find(str(run), Path(root))
    with TURN:  # an old configuration is completed with the help of Hydra
        return Run(open_run(directory, list(components), texts(words, "load"), ALLOWED, payloads=[which]), which)
