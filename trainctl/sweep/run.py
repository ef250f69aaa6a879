"""A sweep from its first trial to its answer. No torch."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from trainctl.errors import Interrupted, StorageError, SweepError
from trainctl.fileformat.boundary import reason
from trainctl.machine import memory
from trainctl.report import table
from trainctl.settings.config import seconds
from trainctl.settings.space import Words, key_of
from trainctl.store import runfile, runpath
from trainctl.store.journal_base import AwayError
from trainctl.sweep import results, results_csv
from trainctl.sweep.answer import Answer
from trainctl.sweep.complete import NOTHING_LEFT
from trainctl.sweep.jobs import epochs_of
from trainctl.sweep.live import watch
from trainctl.sweep.pool import Pool
from trainctl.sweep.ranking import contenders, find_answer
from trainctl.sweep.sampler import Sampler
from trainctl.sweep.study import Study
from trainctl.sweep.trial import Trial
from trainctl.sweep.view import Limits
from trainctl.wording import amount

MOST_LOOKED_AT = 100  # trials whose length is looked at
PAUSE = 2.0  # seconds between two writes of results.csv
FRESH = 1_000_000  # the first seed of trials that confirm a result; nobody types it


def run(study: Study) -> int:
    """Run the trials of a sweep, here and together with other processes; show the answer, and return the exit code.

    Raises:
        Interrupted, Terminated: If a signal stopped it; it can be continued.
        SweepError: At the end, if a trial failed.
    """
    trials = Results(study)
    monitor, larger = study.base.monitor, study.policy.maximize
    watcher = watch(sys.stdout, study.home, monitor, trials.all, maximize=larger, limits=limits_of(study))
    study.journal.say = watcher.note
    watcher.note(f"{amount(len(study.ledger.points), 'point')}, {amount(len(trials.all), 'trial')} in {study.home}")
    if trials.unchanged:
        watcher.note(NOTHING_LEFT)
    if without_effect := rungs_without_effect(study):
        watcher.note(without_effect)
    pool = Pool(study, watcher, Sampler(study).more, lambda: confirm(study), trials.update, lambda: prepare(study))
    over = False
    try:
        stopped = pool.run()
        over = not stopped
    finally:
        watcher.close()
        trials.update(last=True, over=over)
        complete = trials.unchanged and study.ledger.complete
        study.journal.close()
        draw = not complete and (over or not study.settings.requeue)
        conclude(study, trials.all, draw=draw, trouble=trials.trouble)
    if stopped:
        table.line(f"the sweep stopped: {stopped}; continue it with: {study.resume}")
    if failed := [trial for trial in trials.all if trial.status == "failed"]:
        raise SweepError(
            f"{len(failed)} of {amount(len(trials.all), 'trial')} failed; see {study.home / 'results.csv'}"
        )
    if trials.all and all(trial.status == "stopped" for trial in trials.all):
        raise Interrupted(f"all {len(trials.all)} trials stopped at loop.stop_at_step; each can be resumed")
    return 0


def limits_of(study: Study) -> Limits:
    """Return what ends a sweep: its time, and the number of its trials, which tpe adds one by one."""
    settings = study.settings
    until = None if settings.max_time is None else seconds(settings.max_time)
    if settings.sampler == "grid":
        return Limits(until)
    count = None if settings.trials is None else settings.trials * len(study.ledger.replicates)
    space = study.composer.space
    return Limits(until, count if count is None else int(min(count, space.size * len(space.replicates))))


class Results:
    """The trials of a sweep as a list that grows, and `results.csv` as they end.

    Args:
        study: The sweep.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.all, self.written = study, list(study.ledger.trials.values()), 0.0
        self.trouble = ""  # why the newest results are not in the table
        # At least until something happens; what others wrote into a database is not in the table here.
        self.unchanged = study.ledger.complete and study.settings.storage is None

    def update(self, *, last: bool = False, over: bool = False) -> None:
        """Add new trials, and write the results, at most every other second.

        Args:
            last: Whether this is the last time.
            over: Whether the sweep is complete: no decision can continue what is paused, or begin what waits.
        """
        with suppress(AwayError):  # the user stopped the sweep while its database was away
            self.study.ledger.update()
        known = set(map(id, self.all))
        self.all += [trial for trial in self.study.ledger.trials.values() if id(trial) not in known]
        for trial in self.all if over else ():
            if trial.status in ("paused", "waiting"):
                trial.status = "pruned"
        if self.unchanged and self.study.ledger.complete and runpath.kind(self.study.held / "results.csv"):
            return
        if last or time.monotonic() - self.written > PAUSE:
            self.written = time.monotonic()
            self.trouble = ""
            try:
                results_csv.write_csv(self.all, self.study.base.monitor, self.study.held)
            except StorageError as error:  # no table is worth a training; the last one is reported
                self.trouble = str(error)


def rungs_without_effect(study: Study) -> str:
    """Return a line that says that nothing can be pruned, since all trials end before they would be compared; else ""."""
    settings, first = study.settings, study.settings.rungs[0]
    if settings.prune == "none":
        return ""
    epochs = [epochs_of(study.config(trial)) for trial in list(study.ledger.trials.values())[:MOST_LOOKED_AT]]
    known = [each for each in epochs if each is not None]
    if len(known) < len(epochs) or any(each > first for each in known) or not known:
        return ""
    return (
        f"note: sweep.prune={settings.prune} has no effect: it compares trials after {amount(first, 'epoch')} first, and none is longer"
        f" than {max(known):g}; choose smaller sweep.rungs, or a larger loop.epochs"
    )


def prepare(study: Study) -> None:
    """Import what the plots need, while the workers import PyTorch; whatever is wrong with it is noted when they are drawn."""
    if study.draws:
        with suppress(Exception):
            from trainctl.report import canvas
            from trainctl.sweep import plots  # noqa: F401

            canvas.load()


@memory.without_collections()  # there may be 10,000 points
def conclude(study: Study, trials: Sequence[Trial], *, draw: bool = True, trouble: str = "") -> None:
    """Print the answer of a sweep, then draw its plots; what cannot be drawn or written is a note.

    Args:
        study: The sweep.
        trials: Its trials.
        draw: Whether there may be something new to draw; plots that are missing are drawn in any case.
        trouble: Why `results.csv` could not be written.
    """
    answer = find_answer(trials, study.base.monitor, study.settings.monitors, study.maximized)
    typed = [word for word in study.composer.space.fixed if word in study.words and key_of(word) != "threads"]
    try:
        results.show(answer, study.home, [*typed, f"threads={study.threads}"])
        table.flush()
    finally:  # also if nobody reads the answer any more
        notes = draw_plots(study, answer) if draw or not runfile.names(study.held / "plots") else []
    if trouble:
        notes.append(f"the newest results are not in results.csv: {trouble}")
    for note in notes:
        table.line(f"note: {note}", stream=sys.stderr)


def draw_plots(study: Study, answer: Answer) -> list[str]:
    """Draw the plots of a sweep unless its words say that there are none; return a line for each that is missing."""
    if not study.draws:
        return []
    try:
        from trainctl.sweep import plots

        _, notes = plots.draw(answer, study.held)
    except Exception as error:  # noqa: BLE001 - whatever a library raises
        return [f"the plots are incomplete: {reason(error)}"]
    return notes


def confirm(study: Study) -> bool:
    """Add trials of the two best points with fresh seeds, once; return whether there are new ones."""
    count = study.settings.confirm
    if not count or any(trial.confirms for trial in study.ledger.trials.values()):
        return False
    entries = [
        {"confirm": list(words), "of": point} for point in best_points(study) for words in fresh_seeds(study, count)
    ]
    if entries:
        study.journal.add_list(study.ledger.next_list, entries)
        study.ledger.update()
    return bool(entries)


def best_points(study: Study) -> list[int]:
    """Return the winner and the runner-up of each data set."""
    trials = list(study.ledger.trials.values())
    answer = find_answer(trials, study.base.monitor, study.settings.monitors, study.maximized)
    return [standing.point for ranking in answer.rankings for standing in contenders(ranking)[:2]]


def fresh_seeds(study: Study, count: int) -> list[Words]:
    """Return the words of repetitions that no ranked trial has."""
    split = any(word.startswith("split.seed=") for words in study.ledger.replicates for word in words)
    return [(f"seed={FRESH + number}", *([f"split.seed={FRESH + number}"] if split else ())) for number in range(count)]


def try_again(study: Study) -> Sequence[Trial]:
    """Let the trials that failed be tried again, since the user resumes the sweep; return them."""
    failed = {key: study.ledger.segments[key] for key, trial in study.ledger.trials.items() if trial.status == "failed"}
    if failed:
        writer = study.journal.writer()
        writer.append({"event": "again", "trials": failed})
        writer.close()
        study.ledger.update()
    return [study.ledger.trials[key] for key in failed]
