"""A sweep from its first trial to its answer. No torch."""

import shlex
from collections.abc import Sequence
from statistics import fmean

from trainctl.errors import Interrupted, SweepError
from trainctl.report import table
from trainctl.settings.space import Words
from trainctl.store import journal
from trainctl.sweep.pool import Pool
from trainctl.sweep.sampler import Sampler
from trainctl.sweep.study import Study
from trainctl.sweep.trial import Trial

FRESH = 1_000_000  # the first seed of trials that confirm a result; nobody types it


def run(study: Study) -> int:
    """Run the trials of a sweep, here and together with other processes; show the answer, and return the exit code.

    Raises:
        Interrupted, Terminated: If a signal stopped it; it can be continued.
        SweepError: At the end, if a trial failed.
    """
    from trainctl.sweep import results
    from trainctl.sweep.live import display

    shown = display(study)
    pool = Pool(study, shown, Sampler(study).more, lambda: confirm(study))
    try:
        stopped = pool.run()
    finally:
        shown.close()
        study.ledger.update()
        results.finish(study)
    trials = list(study.ledger.trials.values())
    if stopped:
        table.line(f"the sweep stopped: {stopped}; continue it with: trainctl resume {shlex.quote(str(study.home))}")
    if failed := [trial for trial in trials if trial.status == "failed"]:
        raise SweepError(f"{len(failed)} of {len(trials)} trials failed; see {study.home / 'results.csv'}")
    if trials and all(trial.status == "stopped" for trial in trials):
        raise Interrupted(f"all {len(trials)} trials stopped at loop.stop_at_step; each can be resumed")
    return 0


def confirm(study: Study) -> bool:
    """Add trials of the two best points with fresh seeds, once; return whether there are new ones."""
    count = study.settings.confirm
    if not count or any(trial.confirms for trial in study.ledger.trials.values()):
        return False
    entries = [
        {"confirm": list(words), "of": point} for point in best_points(study)[:2] for words in fresh_seeds(study, count)
    ]
    if entries:
        journal.add_list(study.home, study.ledger.next_list, entries)
        study.ledger.update()
    return bool(entries)


def best_points(study: Study) -> list[int]:
    """Return the points that were trained in full, the best mean of the monitored metric first."""
    values: dict[int, list[float]] = {}
    for trial in study.ledger.trials.values():
        if trial.status in ("finished", "stopped") and trial.value is not None and not trial.confirms:
            values.setdefault(trial.point, []).append(trial.value)
    most = max(map(len, values.values()), default=0)
    sign = -1 if study.policy.maximize else 1
    complete = {point: fmean(row) for point, row in values.items() if len(row) == most}
    return sorted(complete, key=lambda point: sign * complete[point])


def fresh_seeds(study: Study, count: int) -> list[Words]:
    """Return the words of repetitions that no ranked trial has."""
    split = any(word.startswith("split.seed=") for words in study.ledger.replicates for word in words)
    return [(f"seed={FRESH + number}", *([f"split.seed={FRESH + number}"] if split else ())) for number in range(count)]


def try_again(study: Study) -> Sequence[Trial]:
    """Let the trials that failed be tried again, since the user resumes the sweep; return them."""
    failed = {key: study.ledger.segments[key] for key, trial in study.ledger.trials.items() if trial.status == "failed"}
    if failed:
        writer = journal.Writer(study.home, 60)
        writer.append({"event": "again", "trials": failed})
        writer.close()
        study.ledger.update()
    return [study.ledger.trials[key] for key in failed]
