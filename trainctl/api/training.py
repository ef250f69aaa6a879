"""Train a run from Python, and list runs."""

import os
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.api.table import Table
from trainctl.api.turn import TURN
from trainctl.api.words import is_data, texts
from trainctl.errors import Advice, ConfigError
from trainctl.finished.record import Record, read
from trainctl.machine import environment
from trainctl.settings import compose, from_file, hydra_tree
from trainctl.settings.spelling import spell
from trainctl.store.finding import all_runs

if TYPE_CHECKING:  # it imports torch
    from trainctl.api.opened import Run


def train(
    *words: Any,
    target: Any = None,
    settings: Mapping[str, object] | None = None,
    quiet: bool = False,
    config_dir: str | Path | None = None,
) -> "Run":
    """Train a run, as ``trainctl WORD...`` does on the command line.

    In a notebook and on a terminal, a live view shows it; elsewhere, one line for each evaluation. The process stays as it
    was: its signal handlers, number of threads and random generators. An interrupt (Ctrl-C, or the button of a notebook)
    ends the step, saves the run and raises ``Interrupted``.

    Args:
        words: Settings and choices of components: ``"optimizer=adam"``, ``"optimizer.lr=0.1"``; the first may be a file or
            directory of data, or a file of settings, as a text or a path; or data in memory: a data frame of pandas or
            polars, a mapping from names of columns to their values, a list of records, or an array. They are written to
            ``runs/data``, where the run reads them again when it is resumed or verified.
        target: What is to be predicted: the name of a column, a list of names, or the values themselves; None: guessed.
        settings: Further settings, by their keys, as values of Python: ``{"optimizer.lr": 0.1}``.
        quiet: Whether nothing is shown.
        config_dir: Your directory of configuration files, in addition to ``./conf``.

    Returns:
        The run, opened with its best weights.

    Raises:
        TrainctlError: If settings or data are wrong, or training fails: of the subclass that says what is wrong.
    """
    given, words = (words[0], words[1:]) if words and is_data(words[0]) else (None, words)
    typed = texts(words, "train")
    if flags := [word for word in typed if word.startswith("-")]:
        raise ConfigError(
            f"{flags[0]}: flags are for the command line; train() takes settings such as 'optimizer=adam'"
        )
    settings = settings or {}
    if given is not None:
        typed = [*_in_files(given, target, [*typed, *(f"{key}={value}" for key, value in settings.items())]), *typed]
    elif target is not None:
        typed.append(f"dataset.target={spell(target)}")
    with TURN:
        return _train(typed, settings, quiet=quiet, config_dir=None if config_dir is None else str(config_dir))


def _train(words: Sequence[str], settings: Mapping[str, object], *, quiet: bool, config_dir: str | None) -> "Run":
    hydra_tree.forget()
    typed, reasons = _expanded([*words, *(f"{key}={spell(value)}" for key, value in settings.items())])
    config = compose.compose(typed, config_dir)
    if config.processes not in (1, "auto") and environment.read() is None:
        raise ConfigError(
            f"processes={config.processes}: train() uses this process alone: run trainctl processes={config.processes} in"
            " a shell; to compute a batch in as many parts, set loop.micro_batches"
        )
    from trainctl.api.opened import ALLOWED, Run
    from trainctl.api.surroundings import as_before
    from trainctl.finished.open import open as open_run
    from trainctl.report import reporters
    from trainctl.train import session

    chosen = reporters.records if quiet else reporters.in_python(reasons)
    directories = []

    def begun(run: Any, directory: Any) -> Any:
        directories.append(directory)
        return chosen(run, directory)

    with as_before():
        session.begin(config, typed, reporters=begun)
        return Run(open_run(directories[0], config.components, (), ALLOWED, payloads=["best"]), "best")


def _in_files(given: Any, target: Any, typed: Sequence[str]) -> list[str]:
    """Write data in memory to a file; return the words that train on it."""
    from trainctl.api.given import words_of

    roots = [word.partition("=")[2] for word in typed if word.startswith("output.root=")]
    return words_of(given, target, Path(roots[-1] if roots else "runs"))


def resume(run: "Run", words: Sequence[str], *, quiet: bool) -> None:
    """Continue the training of a run, see :meth:`trainctl.Run.resume`."""
    with TURN:
        from trainctl.api.surroundings import as_before
        from trainctl.finished import resume as resuming
        from trainctl.report import reporters
        from trainctl.train import session

        config = resuming.settings(run.path, run.components, list(words))
        if config.processes not in (1, "auto") and environment.read() is None:
            raise ConfigError(
                f"processes={config.processes}: resume() uses this process alone, with the same result: add processes=1"
            )
        with as_before():
            chosen = reporters.records if quiet else reporters.in_python()
            summary = session.resume(config, list(words), run.path, reporters=chosen)
    if note := resuming.note(summary, run.name):
        warnings.warn(note, Advice, stacklevel=3)


def _expanded(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Replace a file or directory in front by the settings that it stands for; return them with the reasons for each."""
    first = words[0] if words else ""
    if not first or not os.path.lexists(first):
        from_file.require_no_data(first)
        return list(words), ()
    others = from_file.in_full(first, words[1:])
    found = from_file.expanded(first, others)
    return [*found.words, *others], tuple(f"{first}: {reason}" for reason in found.reasons)


def runs(root: str | Path = "runs") -> Table:
    """Return the runs below a directory, the newest first, as ``trainctl runs`` shows them.

    Each row has the run's name, path, outcome, settings and metrics by ``split/name``; trials of sweeps are among them.

    Args:
        root: The directory of the runs.

    Raises:
        CheckpointError: If it cannot be read.
    """
    troubles: list[str] = []
    found = [read(path, Path(root)) for path in all_runs(Path(root), troubles)]
    for trouble in dict.fromkeys(troubles):
        warnings.warn(trouble, Advice, stacklevel=2)
    found.sort(key=lambda record: (record.created, record.name), reverse=True)
    return Table([_row(record) for record in found])


def _row(record: Record) -> dict[str, Any]:
    return {
        "run": record.name,
        "path": str(record.path),
        "outcome": record.outcome,
        "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
        **{group: record.member(group) for group in ("dataset", "model", "optimizer")},
        "lr": record.lr,
        "steps": record.steps,
        "epochs": record.epochs,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "monitor": record.monitor,
        "best": record.best,
        **record.metrics,
    }
