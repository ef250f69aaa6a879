"""What commands say about a sweep is what its journal says, also while it runs, and whatever is damaged."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.sweep import many
from trainctl import cli
from trainctl.errors import CheckpointError
from trainctl.machine import identity, threads
from trainctl.settings import points
from trainctl.store import journal
from trainctl.sweep import opening, page, record, study, sweep_json


def opened(*words: str) -> study.Study:
    return opening.begin(["dataset=iris", "sweep.name=s", *words])


def write(home: study.Study, *events: dict, claims: int | None = None, writer: str = f"host-1-{0:08x}") -> None:
    """Add events to the journal of a sweep, and claim their trials."""
    for event in events:
        if "trial" in event:
            (home.home / "claims" / f"{event['trial']}.{event.get('segment', 0)}").write_text(writer)
    with (home.home / "journal" / f"{writer}.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def end(trial: str, value: float | None, status: str = "finished", **more: object) -> dict:
    numbers = {"value": value, "metrics": {"val/loss": value, "test/loss": 2 * value}} if value is not None else {}
    return {"event": "end", "trial": trial, "segment": 0, "status": status, "seconds": 2.0, **numbers, **more}


def read(home: study.Study) -> record.SweepRecord:
    return record.read(home.home, Path("runs"))


def test_a_complete_sweep_is_finished_and_its_best_point_is_the_best_mean() -> None:
    home = opened("optimizer.lr=0.1,0.2,0.3", "sweep.seeds=2")
    values = {"0": (0.1, 0.9), "1": (0.3, 0.4), "2": (0.2, 0.6)}  # the luckiest seed belongs to the worst point
    write(home, *(end(f"{key}-seed{n}", value) for key, pair in values.items() for n, value in enumerate(pair)))
    assert read(home).outcome == "interrupted"
    write(home, {"event": "over", "trials": 6})
    sweep = read(home)
    assert (sweep.outcome, sweep.points, len(sweep.trials), sweep.seconds) == ("finished", 3, 6, 12.0)
    assert sweep.best is not None
    assert sweep.best.trials[0].words == ("optimizer.lr=0.2",)
    assert sweep.best.value == pytest.approx(0.35)
    assert sweep.best.metrics == {"val/loss": pytest.approx(0.35), "test/loss": pytest.approx(0.7)}
    assert sweep.fixed[0] == "dataset=iris"
    assert [word.split("=")[0] for word in sweep.fixed] == ["dataset", "threads"]


PROFIT = '''"""A metric of the user's own."""
from trainctl.components.metric.base import Metric


def profit(*, maximize: bool) -> Metric:
    """Return what hits earn."""
    return Metric(("profit",), lambda scores: [100.0 * (scores.targets == scores.predicted).mean()], ("classification",))
'''
OWN = ("components=[shop]", "metric=[profit]", "monitor=val/profit")


@pytest.fixture
def shop(tmp_path: Path) -> None:
    """Write a metric of which larger values are better."""
    for path, text in (
        ("shop/metric/profit.py", PROFIT),
        ("conf/metric/profit.yaml", "# @package metric.profit\nname: profit\nmaximize: true\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)


@pytest.mark.usefixtures("shop")
def test_a_sweep_knows_that_more_of_a_users_own_metric_is_better() -> None:
    home = opened(*OWN, "optimizer.lr=0.1,0.2,0.3", "sweep.monitors=[val/profit,val/loss]")
    for key, value in enumerate((20.0, 90.0, 50.0)):
        values = {"val/profit": value, "val/loss": 1.0}
        write(home, end(str(key), value, metrics=values, values=values))
    assert home.policy.maximize
    content = json.loads((home.home / "sweep.json").read_text())
    assert content["maximize"] == ["profit"]
    sweep = read(home)
    assert sweep.best is not None
    assert sweep.best.value == 90.0
    ranking = sweep.answer.rankings[0]
    document, _ = page.gather(home.home, Path("runs"))
    assert document.top[0].items[0][::2] == ("best val/profit", "optimizer.lr=0.2")
    assert [standing.point for standing in ranking.standings] == [1, 2, 0]
    assert [standing.front for standing in ranking.standings] == [True, False, False]
    (home.home / "sweep.json").write_text(json.dumps(content | {"maximize": "profit"}))
    assert read(home).trouble.endswith("sweep.json: damaged: maximize is not a list of metrics")


@pytest.mark.slow
@pytest.mark.usefixtures("shop")
def test_runs_and_sweeps_of_a_users_own_metric_are_ranked_to_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["trainctl", *words])
        assert cli.main() == 0
        return capsys.readouterr().out

    tiny = ("dataset=iris", "model=linear", "loop.epochs=6", "loop.batch_size=40", "sweep.workers=1", "threads=1")
    out = said("-m", *tiny, *OWN, "optimizer.lr=1e-5,0.1", "sweep.name=s", "output.plots=false")
    assert re.search(r"trainctl .*optimizer.lr=0.1", out.split("\n\n")[-1]), out  # the command that trains the winner
    both = {run["path"]: run["metrics"] for run in json.loads(said("runs", "trials=true", "format=json"))}
    better = max(both, key=lambda path: both[path]["val/profit"])
    assert "optimizer.lr=0.1" in better
    (listed,) = json.loads(said("sweeps", "format=json"))
    assert (listed["best_settings"], listed["best"]) == ("optimizer.lr=0.1", both[better]["val/profit"])
    first = json.loads(said("runs", "trials=true", "sort=val/profit", "format=json"))[0]
    assert first["path"] == better
    assert " *" in next(line for line in said("compare", *both).splitlines() if "val/profit" in line)
    assert "optimizer.lr=0.1" in said("compare", "s").split("\n\n")[-1]


def test_a_larger_metric_may_be_the_better_one() -> None:
    home = opened("optimizer.lr=0.1,0.2", "monitor=val/accuracy")
    write(home, end("0", 0.9), end("1", 0.8))
    assert read(home).best.value == 0.9


def test_a_point_with_few_of_the_seeds_is_not_the_best() -> None:
    home = opened("optimizer.lr=0.1,0.2", "sweep.seeds=3")
    write(home, end("0-seed0", 0.1), *(end(f"1-seed{seed}", 0.5) for seed in range(3)))
    assert read(home).best.trials[0].point == 1


def test_after_more_points_or_a_second_try_it_is_not_complete_any_more() -> None:
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.1), end("1", None, "failed"), {"event": "over", "trials": 2})
    assert read(home).outcome == "finished"
    write(home, {"event": "again", "trials": {"1": 0}})
    assert read(home).outcome == "interrupted"
    write(home, end("1", 0.2, segment=1))
    assert read(home).outcome == "finished"
    opened("optimizer.lr=0.1,0.2,0.3")
    assert (read(home).outcome, read(home).counts["waiting"]) == ("interrupted", 1)


@pytest.mark.parametrize("second", [{"reason": "interrupted", "status": "paused"}, None], ids=["ctrl-c", "kill -9"])
def test_a_second_try_that_was_interrupted_or_killed_is_not_complete_and_not_pruned(second: dict | None) -> None:
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.1), end("1", None, "failed"), {"event": "over", "trials": 2})
    write(home, {"event": "again", "trials": {"1": 0}})
    if second is None:
        (home.home / "claims" / "1.1").write_text("host-1-11111111")
        write(home, {"event": "bye"}, writer="host-1-11111111")
    else:
        write(home, end("1", 0.3, segment=1) | second)
    assert (read(home).outcome, read(home).counts) == ("interrupted", {"finished": 1, "paused": 1})
    again = opening.reopen(home.home)
    assert not again.ledger.complete
    assert again.policy.next_task(again.ledger).key == "1"


def test_a_damaged_line_leaves_its_trial_to_be_continued() -> None:
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.1), end("1", 0.2), {"event": "over", "trials": 2}, {"event": "bye"})
    assert read(home).outcome == "finished"
    (path,) = (home.home / "journal").glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:20] + b"\xff\x00\n" + b"".join(lines[2:]))
    assert (read(home).outcome, read(home).counts) == ("interrupted", {"finished": 1, "paused": 1})


def test_what_is_paused_when_the_sweep_is_over_is_pruned_and_all_failed_is_failed() -> None:
    home = opened("optimizer.lr=0.1,0.2", "sweep.prune=asha")
    write(home, end("0", 0.1, "paused"), end("1", None, "failed"))
    assert read(home).counts == {"paused": 1, "failed": 1}
    write(home, {"event": "over", "trials": 2})
    assert read(home).counts == {"pruned": 1, "failed": 1}
    write(home, end("0", None, "failed"))
    assert read(home).outcome == "failed"
    assert read(home).best is None


def test_a_sweep_runs_as_long_as_a_process_with_a_running_trial_is_alive() -> None:
    home = opened("optimizer.lr=0.1,0.2")
    writer = journal.Writer(home.held, 60)
    assert journal.claim(home.held, "0", 0, writer)
    assert (read(home).outcome, read(home).counts["running"]) == ("running", 1)
    writer.close()
    assert (read(home).outcome, read(home).counts["paused"]) == ("interrupted", 1)


@pytest.mark.parametrize(("age", "outcome"), [(0, "running"), (1000, "interrupted")])
def test_a_process_elsewhere_is_alive_while_its_sign_of_life_is_fresh(age: float, outcome: str) -> None:
    home = opened("optimizer.lr=0.1,0.2")
    write(home, {"event": "hello", "identity": "another machine 1 2"})
    (home.home / "claims" / "0.0").write_text(f"host-1-{0:08x}")
    beat = home.home / "journal" / f"host-1-{0:08x}.beat"
    beat.write_text("7")
    os.utime(beat, (time.time() - age, time.time() - age))
    assert identity.of(os.getpid()) != "another machine 1 2"
    assert read(home).outcome == outcome


def test_nothing_is_written() -> None:
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.1))
    shutil.rmtree(home.home / "logs")
    before = sorted((path, path.stat().st_mtime_ns) for path in home.home.rglob("*"))
    read(home)
    assert sorted((path, path.stat().st_mtime_ns) for path in home.home.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a sweep that can be continued"),
        ("[]", "is not a sweep that can be continued"),
        ({"format": 99}, "has format 99, this trainctl reads"),
        ({"monitor": 7}, "monitor is not a metric"),
        ({"words": [1]}, "words is not a list"),
        ({"words": ["sweep.rungs=x"]}, "sweep.rungs=x"),
        ({"digits": -1}, "digits is not a whole number"),
    ],
)
def test_a_damaged_sweep_is_named_with_the_reason(content: str | dict, message: str) -> None:
    home = opened("optimizer.lr=0.1,0.2")
    path = home.home / "sweep.json"
    path.write_text(content if isinstance(content, str) else json.dumps(json.loads(path.read_text()) | content))
    sweep = read(home)
    assert (sweep.outcome, sweep.trials, sweep.best) == ("damaged", (), None)
    assert message in sweep.trouble
    assert abs(sweep.created - time.time()) < 1000


def test_a_damaged_list_of_points_is_an_error() -> None:
    home = opened("optimizer.lr=0.1,0.2")
    (home.home / "lists" / "000000.json").write_text("[")
    with pytest.raises(CheckpointError):
        record.require_readable(home.home, Path("runs"))
    assert read(home).outcome == "damaged"


def test_as_a_run_it_has_the_numbers_of_its_best_point_even_if_the_run_is_gone() -> None:
    home = opened("optimizer.lr=0.1,0.2")
    write(home, end("0", 0.1, step=30, epoch=3.0, parameters=7), end("1", 0.2))
    run = record.as_run(read(home), Path("runs"))
    assert (run.name, run.best, run.steps, run.epochs, run.parameters) == ("s", 0.1, 30, 3.0, 7)
    assert (run.trials, run.seconds, run.member("optimizer")) == (2, 4.0, None)


@pytest.mark.slow
def test_ten_thousand_trials_are_read_in_a_second_or_two() -> None:
    sweep = many.write("big", 10_000)
    began = time.process_time()
    found = record.read(sweep, Path("runs"))
    assert (found.outcome, len(found.trials)) == ("finished", 10_000)
    assert found.best is not None
    assert time.process_time() - began < 2  # 0.5 s on an idle machine


def test_a_sweep_has_the_name_of_its_runs_if_all_have_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, name in ((["output.name=mine"], "-mine-"), (["output.name=a,b"], "-sweep-"), ([], "-sweep-")):
        assert name in opening.begin(["dataset=iris", "seed=0,1", *words]).home.name


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        (("sweep.workers=2",), "", 4),
        (("sweep.workers=2",), "3", 3),
        (("sweep.workers=2",), "6", 4),  # the workers share the cores
        (("sweep.workers=2",), "x", 4),
        (("sweep.workers=2", "sweep.threads=8"), "1", 8),
        (("sweep.workers=2", "threads=5"), "1", 5),
        (("sweep.workers=2", "sweep.slurm=2", "sweep.slurm_options=[--cpus-per-task=6]"), "1", 3),  # of the login node
    ],
)
def test_no_trial_has_more_threads_than_its_share_of_the_cores_or_omp_num_threads(
    words: tuple[str, ...], variable: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "allowed", lambda: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    settings, composer = points.read_sweep(["dataset=iris", *words])
    assert sweep_json.fixed_threads(settings, composer.compose(()).config) == expected
