"""Points that are chosen while a sweep runs: the same for the same command, none twice, none that failed for unseen."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from trainctl.store.journal_base import Event
from trainctl.sweep import opening, run, study
from trainctl.sweep.sampler import Sampler
from trainctl.sweep.trial import Trial

RATES = "optimizer.lr=tag(log,interval(1e-4,1))"
Ends = Callable[[Trial], Event]


def rate(trial: Trial) -> float:
    return float(trial.words[0].partition("=")[2])


def trained(
    *words: str, name: str = "s", ends: Ends = lambda trial: {"status": "finished", "value": rate(trial)}
) -> study.Study:
    """Run a sweep whose trials end at once, in the working directory; nothing is trained."""
    opened = opening.begin(["dataset=iris", "output.plots=false", f"sweep.name={name}", *words])
    writer, more = opened.journal.writer(), Sampler(opened).more
    while waiting := [key for key, trial in opened.ledger.trials.items() if trial.status == "waiting"] or more():
        for key in waiting if isinstance(waiting, list) else ():
            assert opened.journal.claim(key, 0, writer)
            end = {"values": {}, **ends(opened.ledger.trials[key])}
            writer.append({"event": "end", "trial": key, "segment": 0, "reason": "", **end}, sync=False)
        opened.ledger.update()
    writer.close()
    return opened


def points(opened: study.Study) -> Sequence[tuple[str, ...]]:
    return opened.ledger.points


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_command_gives_the_same_points_and_another_seed_others(sampler: str) -> None:
    words = (RATES, f"sweep={sampler}", "sweep.trials=12")
    one, same = trained(*words), trained(*words, name="again")
    other = trained(*words, "sweep.seed=1", name="other")
    assert len(set(points(one))) == 12
    assert points(one) == points(same)
    assert not set(points(one)) & set(points(other))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_point_is_repeated_and_a_space_that_is_used_up_ends_the_sweep(sampler: str) -> None:
    opened = trained("optimizer.lr=0.1,0.2,0.3", "optimizer=adam,sgd", f"sweep={sampler}", "sweep.trials=50")
    assert len(points(opened)) == len(set(points(opened))) == 6


def test_tpe_looks_where_the_best_points_are() -> None:
    opened = trained(RATES, "sweep=tpe", "sweep.trials=30")
    rates = [rate(trial) for trial in opened.ledger.trials.values()]
    assert sum(each < 1e-3 for each in rates[15:]) > 10  # a quarter of the space


def test_tpe_takes_a_failed_trial_for_the_worst_and_not_for_unseen() -> None:
    def ends(trial: Trial) -> Event:
        failed = rate(trial) > 1e-2  # half of the space
        return {"status": "failed"} if failed else {"status": "finished", "value": 0.5}

    opened = trained(RATES, "sweep=tpe", "sweep.trials=30", ends=ends)
    late = list(opened.ledger.trials.values())[15:]
    assert sum(trial.status == "failed" for trial in late) <= 3


def test_tpe_optimizes_several_metrics() -> None:
    def ends(trial: Trial) -> Event:
        values = {"val/loss": rate(trial), "val/accuracy": rate(trial)}
        return {"status": "finished", "value": rate(trial), "values": values}

    opened = trained(RATES, "sweep=tpe", "sweep.trials=12", "sweep.monitors=[val/loss,val/accuracy]", ends=ends)
    assert len(set(points(opened))) == 12


def test_the_best_two_points_are_confirmed_once_with_seeds_that_nobody_typed(tmp_path: Path) -> None:
    opened = trained("optimizer.lr=0.3,0.1,0.2", "sweep.seeds=2", "sweep.confirm=3")
    assert run.confirm(opened)
    fresh = [trial for trial in opened.ledger.trials.values() if trial.confirms]
    assert {rate(trial) for trial in fresh} == {0.1, 0.2}
    seeds = {trial.replicate for trial in fresh}
    assert len(fresh) == 6
    assert not seeds & set(opened.ledger.replicates)
    assert not run.confirm(opened)
    assert (tmp_path / "runs" / "s").is_dir()
