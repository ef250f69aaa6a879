"""What a worker takes next follows from the ledger alone, so a sweep that was killed decides like one that was not."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak import cases, seed
from trainctl.settings import sweep as settings_of
from trainctl.store import journal, runpath
from trainctl.sweep.ledger import Ledger, key_of
from trainctl.sweep.policy import Policy, Task
from trainctl.sweep.trial import INTERRUPTED


def policy(*words: str, maximize: bool = False) -> Policy:
    return Policy(settings_of.load(words), maximize)


class Fake:
    """A sweep without training: a journal whose events are written by hand.

    Args:
        home: An empty directory.
        points: How many points it has.
        replicates: The words of its repetitions.
    """

    def __init__(self, home: Path, points: int, replicates: tuple[tuple[str, ...], ...] = ((),)) -> None:
        self.home = home = runpath.hold(home)
        journal.prepare(home)
        entries = [{"repeat": list(words)} for words in replicates]
        journal.add_list(home, 0, [*entries, *({"point": [f"optimizer.lr={number}"]} for number in range(points))])
        self.writer = journal.Writer(home, 60)
        self.ledger = Ledger(home, journal.DirectoryJournal(home, 60), 1)
        self.ledger.update()

    def claim(self, key: str) -> None:
        assert journal.claim(self.home, key, self.ledger.segments.get(key, -1) + 1, self.writer)
        self.ledger.update()

    def tell(self, key: str, **event: object) -> None:
        self.writer.append({"trial": key, "segment": self.ledger.segments[key], **event}, sync=False)
        self.ledger.update()

    def rung(self, key: str, epochs: int, value: float) -> None:
        self.tell(key, event="rung", rung=epochs, value=value, epoch=epochs)

    def end(self, key: str, status: str, reason: str = "", value: float | None = None) -> None:
        self.tell(key, event="end", status=status, reason=reason, **({} if value is None else {"value": value}))


@pytest.fixture
def fake(tmp_path: Path):
    made: list[Fake] = []

    def build(points: int, replicates: tuple[tuple[str, ...], ...] = ((),)) -> Fake:
        made.append(Fake(tmp_path / str(len(made)), points, replicates)) if (
            tmp_path / str(len(made))
        ).mkdir() is None else None
        return made[-1]

    yield build
    for each in made:
        each.writer.close()


def test_all_points_run_with_the_first_seeds_before_any_runs_with_the_next(fake) -> None:
    sweep, rules, order = fake(3, (("seed=0",), ("seed=1",))), policy(), []
    while task := rules.next_task(sweep.ledger):
        order.append(task.key)
        sweep.claim(task.key)
        sweep.end(task.key, "finished", value=1.0)
    assert order == ["0-seed0", "1-seed0", "2-seed0", "0-seed1", "1-seed1", "2-seed1"]


def test_what_was_interrupted_continues_first_and_what_failed_is_tried_again_as_often_as_allowed(fake) -> None:
    sweep, rules = fake(3), policy("sweep.retries=1")
    for key in ("0", "1"):
        sweep.claim(key)
    sweep.end("0", "failed", "a bug")
    sweep.end("1", "paused", INTERRUPTED)
    assert rules.next_task(sweep.ledger) == Task("0", full=False)
    sweep.claim("0")
    sweep.end("0", "failed", "a bug")
    assert rules.next_task(sweep.ledger) == Task("1", full=False)
    sweep.claim("1")
    assert rules.next_task(sweep.ledger) == Task("2", full=False)


def test_the_trial_of_a_dead_process_is_taken_over_and_its_late_words_do_not_count(fake) -> None:
    sweep, rules = fake(1), policy()
    sweep.claim("0")
    assert rules.next_task(sweep.ledger) is None
    sweep.ledger.journal.liveness._gone.add(sweep.writer.name)
    sweep.ledger.update()
    assert rules.next_task(sweep.ledger) == Task("0", full=False)
    other = journal.Writer(sweep.home, 60)
    assert journal.claim(sweep.home, "0", 1, other)
    sweep.writer.append({"event": "end", "trial": "0", "segment": 0, "status": "finished", "value": 0.0})
    sweep.ledger.update()
    assert sweep.ledger.trials["0"].status == "running"
    other.close()


def test_asha_pauses_at_a_rung_and_continues_the_best_of_the_top_third(fake) -> None:
    sweep, rules = fake(7), policy("sweep.prune=asha", "sweep.rungs=[1,3]")
    for number, value in enumerate((0.5, 0.3, 0.4)):
        key = str(number)
        sweep.claim(key)
        sweep.rung(key, 1, value)
        verdict = rules.at_rung(sweep.ledger, key, 1)
        assert verdict == "pause"  # the third is the first that has a third below it, and is not the best
        sweep.end(key, "paused", "paused after 1 epoch")
    assert rules.next_task(sweep.ledger) == Task("1", full=False)
    sweep.claim("1")
    sweep.rung("1", 3, 0.2)
    assert rules.at_rung(sweep.ledger, "1", 3) == "pause"
    sweep.end("1", "paused", "paused after 3 epochs")
    assert rules.next_task(sweep.ledger) == Task("3", full=False)
    sweep.claim("3")
    sweep.rung("3", 1, 0.1)
    assert rules.at_rung(sweep.ledger, "3", 1) == "continue"  # at once, without a pause


def test_asha_trains_the_finalists_in_full_at_the_end_and_then_their_seeds(fake) -> None:
    sweep = fake(4, (("seed=0",), ("seed=1",)))
    rules = policy("sweep.prune=asha", "sweep.rungs=[1]", "sweep.finalists=1")
    for number, value in enumerate((0.5, 0.3, 0.4, 0.6)):
        key = f"{number}-seed0"
        sweep.claim(key)
        sweep.rung(key, 1, value)
        sweep.end(key, "paused", "paused after 1 epoch", value)
    assert rules.next_task(sweep.ledger) == Task("1-seed0", full=False)  # in the top third, and no rung above
    sweep.claim("1-seed0")
    sweep.end("1-seed0", "finished", value=0.2)
    assert rules.next_task(sweep.ledger) == Task("1-seed1", full=True)
    sweep.claim("1-seed1")
    sweep.end("1-seed1", "finished", value=0.2)
    assert rules.next_task(sweep.ledger) is None
    assert rules.last_task(sweep.ledger) is None

    more = Policy(replace(rules.settings, finalists=2), maximize=False)
    assert more.last_task(sweep.ledger) == Task("2-seed0", full=True)


@pytest.mark.parametrize("maximize", [False, True])
def test_median_prunes_what_is_worse_than_the_median_of_at_least_four_others(fake, maximize: bool) -> None:
    sweep, rules, sign = (
        fake(6),
        policy("sweep.prune=median", "sweep.rungs=[2]", maximize=maximize),
        -1 if maximize else 1,
    )
    verdicts = []
    for number, value in enumerate((0.1, 0.2, 0.3, 0.4, 0.5, 0.15)):
        sweep.claim(str(number))
        sweep.rung(str(number), 2, sign * value)
        verdicts.append(rules.at_rung(sweep.ledger, str(number), 2))
    assert verdicts == ["continue"] * 4 + ["prune", "continue"]


def test_median_prunes_a_trial_whose_metric_was_never_finite(fake) -> None:
    sweep, rules = fake(1), policy("sweep.prune=median", "sweep.rungs=[2]")
    sweep.claim("0")
    sweep.tell("0", event="rung", rung=2, epoch=2)
    assert rules.at_rung(sweep.ledger, "0", 2) == "prune"


@pytest.mark.soak
def test_a_ledger_read_anew_at_any_moment_decides_like_one_that_was_kept(fake) -> None:
    source = seed("schedule")
    for number in range(cases(6)):
        sweep = fake(8)
        rules = policy("sweep.prune=asha", "sweep.rungs=[1,2,4]", "sweep.finalists=2")
        losses = [[source.random() for _ in range(4)] for _ in range(8)]
        for _ in range(40):
            task = rules.next_task(sweep.ledger) or rules.last_task(sweep.ledger)
            anew = Ledger(sweep.home, journal.DirectoryJournal(sweep.home, 60), 1)
            anew.update()
            assert task == (rules.next_task(anew) or rules.last_task(anew))
            if task is None:
                break
            train(sweep, rules, task, losses, source)
        done = [trial for trial in sweep.ledger.trials.values() if trial.status == "finished"]
        assert len(done) >= 2, number
        best = min(sweep.ledger.trials.values(), key=lambda trial: trial.value)
        assert best.status == "finished"


def train(sweep: Fake, rules: Policy, task: Task, losses: list[list[float]], source: random.Random) -> None:
    """Go through the rungs of a trial, with an interruption now and then."""
    sweep.claim(task.key)
    trial = sweep.ledger.trials[task.key]
    for index, rung in enumerate(rules.rungs(task.full)):
        if rung in trial.rungs:
            continue
        value = min(losses[trial.point][: index + 1])
        sweep.rung(task.key, rung, value)
        if rules.at_rung(sweep.ledger, task.key, rung) == "pause":
            sweep.end(task.key, "paused", f"paused after {rung}", value)
            return
        if source.random() < 0.2:
            sweep.end(task.key, "paused", INTERRUPTED, value)
            return
    sweep.end(task.key, "finished", value=min(losses[trial.point]))


def test_a_rung_is_before_the_last_epoch_of_a_trial() -> None:
    rules = policy("sweep.prune=asha", "sweep.rungs=[3,9]")
    assert rules.rungs(full=False) == [3, 9]
    assert [rules.rungs(full=False, epochs=epochs) for epochs in (10.0, 9.0, 3.0)] == [[3, 9], [3], []]
    assert rules.rungs(full=True, epochs=10.0) == []


def test_the_key_of_a_trial_names_its_seeds() -> None:
    assert key_of(2, ()) == "2"
    assert key_of(2, ("seed=3",)) != key_of(23, ())


def test_a_paused_trial_is_left_to_the_machine_that_has_its_checkpoint_while_it_lives(fake) -> None:
    sweep, asha = fake(3), policy("sweep.prune=asha", "sweep.rungs=[1]")
    for number, value in enumerate((0.1, 0.2, 0.3)):
        sweep.claim(str(number))
        sweep.rung(str(number), 1, value)
        sweep.end(str(number), "paused")
    assert asha.next_task(sweep.ledger) == Task("0", full=False)
    assert asha.left_to_others(sweep.ledger) == ""
    sweep.ledger.elsewhere = {"0"}
    assert asha.next_task(sweep.ledger) is None  # the best is promoted there
    assert asha.left_to_others(sweep.ledger) == "0"
    sweep.ledger.elsewhere = {"1", "2"}  # seen from there: it has something to do, and waits for nobody
    assert asha.next_task(sweep.ledger) == Task("0", full=False)
    assert asha.left_to_others(sweep.ledger) == ""


def test_what_was_interrupted_or_failed_is_left_to_the_machine_that_has_its_checkpoint(fake) -> None:
    sweep, plain = fake(2), policy("sweep.retries=1")
    for key, status, reason in (("0", "paused", INTERRUPTED), ("1", "failed", "a bug")):
        sweep.claim(key)
        sweep.end(key, status, reason)
    sweep.ledger.elsewhere = {"0", "1"}
    assert plain.next_task(sweep.ledger) is None
    assert plain.left_to_others(sweep.ledger) == "0"
    sweep.ledger.elsewhere = {"0"}
    assert plain.next_task(sweep.ledger) == Task("1", full=False)


def test_the_last_trial_is_left_to_the_machine_that_has_its_checkpoint(fake) -> None:
    sweep, asha = fake(2), policy("sweep.prune=asha", "sweep.rungs=[1]")
    for number, value in enumerate((0.1, 0.2)):
        sweep.claim(str(number))
        sweep.rung(str(number), 1, value)
        sweep.end(str(number), "paused", value=value)
    assert asha.last_task(sweep.ledger) == Task("0", full=True)
    sweep.ledger.elsewhere = {"0"}
    assert asha.left_to_others(sweep.ledger) == "0"
    sweep.ledger.elsewhere = {"1"}
    assert asha.left_to_others(sweep.ledger) == ""
