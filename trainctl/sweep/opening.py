"""Open a sweep: create its directory, or compare the one that exists with the command that continues it. Imports no torch."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, ConfigError
from trainctl.machine import memory
from trainctl.machine.system import require_fork
from trainctl.settings.code_digest import own_code
from trainctl.settings.points import Composer, Point, distinct_points, read_sweep
from trainctl.settings.space import key_of
from trainctl.settings.spelling import spell
from trainctl.settings.sweep import Sweep, is_ours, load
from trainctl.store import journal, rundir, runpath
from trainctl.store.journal_base import Journal
from trainctl.store.runpath import RunPath
from trainctl.sweep import named_again, shared
from trainctl.sweep.first_points import check_extremes, first_points
from trainctl.sweep.study import Study
from trainctl.sweep.sweep_json import check_record, new_record, require

CREATION = 2.0  # seconds within which a new sweep says in its directory what it is
# Settings of a sweep that decide which trials there are and how they are judged: the same for all that join it.
LASTING = ("sampler", "seed", "prune", "rungs", "monitors", "points")


@memory.without_collections()  # there may be 10,000 points
def begin(words: Sequence[str], config_dir: str | None = None) -> Study:
    """Check all points of a sweep, then create its directory, or open the one that its name leads to.

    Raises:
        ConfigError: With one line for each thing that is wrong at any point.
        CheckpointError: If a sweep of that name is another one.
    """
    require_fork()
    settings, composer = _read(words, config_dir)
    check_extremes(composer, settings)
    points = distinct_points(composer, first_points(composer.space, settings))
    base = points[0].config
    home = Path(base.output.root) / settings.name if settings.name else None
    if home is not None and _is_begun(home):
        study = _join(home, settings, composer, words)
    else:
        try:
            study = _create(home, settings, composer, words, points)
        except FileExistsError:  # another process has begun it in this moment
            if home is None or not _is_begun(home):
                raise ConfigError(
                    f"{home}: exists, and is not a sweep; remove it, or give another sweep.name"
                ) from None
            study = _join(home, settings, composer, words)
    _grow(study, points)
    return study


def _is_begun(home: Path) -> bool:
    """Return whether a directory is that of a sweep; one that is being created is waited for."""
    end = time.monotonic() + CREATION
    while home.is_dir() and not (home / "sweep.json").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return (home / "sweep.json").exists()


def _join(home: Path, settings: Sweep, composer: Composer, words: Sequence[str]) -> Study:
    """Open a sweep that the words belong to."""
    held, about_runs = runpath.hold(home), [word for word in words if not is_ours(word)]
    study = _open(held, settings, composer, about_runs, *shared.open_journal(held, settings, require(held)))
    check_same(study, words)
    return study


def _create(
    home: Path | None, settings: Sweep, composer: Composer, words: Sequence[str], points: Sequence[Point]
) -> Study:
    base = points[0].config
    database = shared.connect(settings)
    if home is None:
        names = {point.config.output.name for point in points}
        home = rundir.create(base.output.root, (names.pop() if len(names) == 1 else None) or "sweep")
    elif database is None:
        rundir.make(home)
    about_runs, record = [word for word in words if not is_ours(word)], new_record(settings, composer, words, points)
    if database is None:
        held = runpath.hold(home)
        journal.prepare(held)
        rundir.write_json(held / "sweep.json", record)
        return _open(held, settings, composer, about_runs, *shared.open_journal(held, settings, record))
    opened, agreed, local = shared.found(database, home, record)
    check_record(agreed, f"{database.shown}: {home.name}")
    if settings.name is not None:
        rundir.make(home)
    held = runpath.hold(home)
    rundir.write_json(held / "sweep.json", local)
    study = _open(held, settings, composer, about_runs, opened, agreed)
    try:
        check_same(study, words)
    except CheckpointError:
        rundir.remove(home)  # there is nothing in it yet
        raise
    return study


def _open(
    held: RunPath,
    settings: Sweep,
    composer: Composer,
    about_runs: Sequence[str],
    opened: Journal,
    record: dict[str, Any],
) -> Study:
    shared.prepare(held)
    study = Study(held, settings, composer, opened, record, tuple(about_runs))
    study.ledger.update()
    return study


def check_same(study: Study, words: Sequence[str]) -> None:
    """Check that a command belongs to an existing sweep: it may have more values or seeds, and run elsewhere.

    Raises:
        CheckpointError: With one line for each thing that differs.
    """
    record = study.record
    before = load([word for word in record["words"] if is_ours(word)]).tree
    wrong = [
        f"sweep.{key}={spell(study.settings.tree[key])}, but was {spell(before[key])}"
        for key in LASTING
        if study.settings.tree[key] != before[key]
    ]
    old = {key_of(word): word for word in record["words"] if not is_ours(word)}
    new = {key_of(word): word for word in words if not is_ours(word)}
    fixed = {key_of(word) for word in study.composer.space.fixed}
    may_differ = ("output.plots", "threads", "components", *(shared.LOCAL if study.settings.storage else ()))
    wrong += [
        f"{new.get(key, key + ' is missing')}, but was {old.get(key, 'not given')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and (key in fixed or key not in new) and key not in may_differ
    ]
    if record.get("own_code") != own_code(tuple(study.base.components)):
        wrong.append("the code of your components has changed")
    if record.get("trainctl") != rundir.version():
        wrong.append(f"trainctl {rundir.version()}, but was {record.get('trainctl')}")
    if wrong:
        name = study.settings.name or study.home.name
        lines = [f"{study.home}: finished trials had other settings: {line}" for line in wrong]
        raise CheckpointError(*lines, f"give the new sweep another name than sweep.name={name}")


def _grow(study: Study, points: Sequence[Point]) -> None:
    """Add the points and repetitions of this command that the sweep does not have yet."""
    own = {f"seed={study.base.seed}", f"split.seed={study.base.split.seed}"}
    while True:
        study.ledger.update()
        known, repeated = set(study.ledger.points), set(study.ledger.replicates)
        replicates = [  # without words, a repetition has the seeds of the configuration
            words for words in study.composer.space.replicates if not (() in repeated and set(words) <= own)
        ]
        entries: list[dict[str, Any]] = [{"repeat": list(words)} for words in replicates if words not in repeated]
        entries += [{"point": list(point.words)} for point in points if point.words not in known]
        if not entries:
            return
        study.journal.add_list(study.ledger.next_list, entries)


@memory.without_collections()
def reopen(home: Path, words: Sequence[str] = (), packages: Sequence[str] = ()) -> Study:
    """Open a sweep to continue it, with the words that it was begun with.

    Args:
        home: Its directory.
        words: Settings of the sweep that differ this time, such as ``sweep.workers=4``.
        packages: The packages of the user's components: those that a sweep names are not trusted.

    Raises:
        ConfigError: If a word is not about the sweep.
        CheckpointError: If it cannot be continued.
    """
    require_fork()
    held = runpath.hold(home.absolute())
    record = require(held)
    if foreign := [word for word in words if not is_ours(word)]:
        raise ConfigError(f"{foreign[0]}: a sweep is continued with its own settings; only sweep.* may change")
    kept = named_again.kept(record["words"], words, packages, home.name)
    with suppress(
        OSError, ValueError
    ):  # ValueError: a NUL character; without it, paths that cannot be found are errors
        os.chdir(Path(record["directory"]))  # paths in the words are relative to it
    settings, composer = _read([*kept, *words], next(iter(record["config_dir"]), None))
    about_runs = [word for word in kept if not is_ours(word)]
    study = _open(held, settings, composer, about_runs, *shared.open_journal(held, settings, record))
    named_again.require(study.base.components, packages, home.name)
    check_same(study, [*kept, *words])
    if words or not study.ledger.complete:  # else it has all of its points: to compose 10,000 takes a second
        points = distinct_points(composer, first_points(composer.space, settings))
        _grow(study, points)  # none, unless it was killed while it was created
    return study


def _read(words: Sequence[str], config_dir: str | None) -> tuple[Sweep, Composer]:
    """Read the words of a sweep; its runs draw no plots, which take a second each, unless the words say so."""
    settings, composer = read_sweep(words, config_dir)
    if not any(key_of(word) == "output.plots" for word in words):
        composer.space = replace(composer.space, fixed=(*composer.space.fixed, "output.plots=false"))
    return settings, composer
