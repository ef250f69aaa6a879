"""The end of a sweep: a table of what varies, what follows and what does not, why trials failed, and the next command."""

import csv
import io
import math
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sweep.trials import sweep, trial
from trainctl.sweep import results, results_csv
from trainctl.sweep.ranked_table import ranked_table
from trainctl.sweep.ranking import find_answer

HOME = Path("runs/sweep")
EQUAL = {"0.1": [0.90, 0.92, 0.91, 0.93], "0.2": [0.91, 0.92, 0.92, 0.93], "0.3": [0.5, 0.6, 0.55, 0.5]}


class Stream(io.StringIO):
    encoding = "utf-8"


def answer(trials, monitors=()):
    return find_answer(trials, "val/accuracy", monitors)


def table(trials, **more):
    shown = ranked_table(answer(trials, more.get("monitors", ())).rankings[0], "val/accuracy", **more)
    return [dict(zip(shown.headers, row, strict=True)) for row in shown.rows]


def printed(trials, fixed=(), monitors=()):
    stream = Stream()
    results.show(answer(trials, monitors), HOME, fixed, stream)
    return stream.getvalue()


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_is_a_point_with_mean_interval_seeds_and_cost():
    first, second, third = table(sweep(EQUAL))
    assert first == {
        "rank": "1", "optimizer.lr": "0.2", "val/accuracy": "0.9200 ± 0.0130", "seeds": "4", "time": "10 s",
        "verdict": "best, cheapest of these",
    }  # fmt: skip
    assert (second["val/accuracy"], second["verdict"]) == ("0.9150 ± 0.0205", "not distinguishable from the best")
    assert (third["val/accuracy"], third["verdict"]) == ("0.5375 ± 0.0762", "worse")


def test_only_what_varies_has_a_column():
    trials = [replace(each, words=(*each.words, "model=mlp")) for each in sweep(EQUAL)]
    assert "model" not in table(trials)[0]
    trials[-1] = replace(trials[-1], parameters=99, status="failed", reason="x")
    assert list(table(trials)[0]) == ["rank", "optimizer.lr", "val/accuracy", "seeds", "trials", "time", "verdict"]
    assert table(trials)[2]["trials"] == "3 finished, 1 failed"


def test_one_seed_has_neither_intervals_nor_verdicts():
    assert table(sweep({"0.1": [0.9], "0.2": [0.8]})) == [
        {"rank": "1", "optimizer.lr": "0.1", "val/accuracy": "0.9000", "time": "10 s", "verdict": "best"},
        {"rank": "2", "optimizer.lr": "0.2", "val/accuracy": "0.8000", "time": "10 s", "verdict": ""},
    ]
    assert "With one seed no difference can be claimed" in printed(sweep({"0.1": [0.9], "0.2": [0.8]}))


def test_a_point_that_was_pruned_shows_how_far_it_came():
    trials = [*sweep({"0.1": [0.9]}), trial(1, ["optimizer.lr=0.2"], status="pruned", value=0.3, epoch=3.0)]
    row = table(trials)[1]
    assert (row["rank"], row["val/accuracy"], row["epochs"], row["verdict"]) == ("-", "(0.3000)", "3", "pruned")


def test_a_terminal_without_the_sign_gets_another():
    assert table(sweep(EQUAL), encoding="ascii")[0]["val/accuracy"] == "0.9200 +- 0.0130"


def test_a_setting_that_does_not_apply_is_a_dash():
    trials = [trial(0, ["optimizer=adam"]), trial(1, ["optimizer=sgd", "optimizer.momentum=0.9"])]
    assert [row["optimizer.momentum"] for row in table(trials)] == ["-", "0.9"]


def test_the_pareto_front_is_marked():
    trials = [
        trial(0, ["a=1"], value=0.9, values={"val/accuracy": 0.9, "val/loss": 1.0}),
        trial(1, ["a=2"], value=0.8, values={"val/accuracy": 0.8, "val/loss": 0.5}),
        trial(2, ["a=3"], value=0.7, values={"val/accuracy": 0.7, "val/loss": 0.6}),
    ]
    rows = table(trials, monitors=("val/accuracy", "val/loss"))
    assert [row["verdict"] for row in rows] == ["best, Pareto front", "Pareto front", ""]
    assert [row["val/loss"] for row in rows] == ["1.0000", "0.5000", "0.6000"]


@pytest.mark.parametrize(
    ("values", "sentences"),
    [
        (EQUAL, ["1 other point cannot be distinguished from the best (paired by seed, 5 % for all comparisons).",
                 "The cheapest of these: optimizer.lr=0.2 (10 s per trial)"]),
        ({"1": [0.9, 0.91, 0.92], "2": [0.1, 0.13, 0.11]},
         ["The best point is better than every other one (paired by seed, 5 % for all comparisons)."]),
        ({"1": [0.9], "2": [0.8]}, ["With one seed no difference can be claimed; add sweep.seeds=5 to compare the points."]),
        ({"1": [0.9]}, []),
        ({"1": [None], "2": [None]}, ["No trial was trained in full, so there is no best point."]),
        ({"1": [0.9, 0.91, 0.92], "2": [0.1, None, None]},
         ["Too few trials with the same seeds were trained in full, so no difference can be claimed."]),
    ],
    ids=["tied", "clear", "one seed", "one point", "none", "unknown"],
)  # fmt: skip
def test_what_follows_is_said_and_nothing_else(values, sentences):
    ranking = answer(sweep(values)).rankings[0]
    assert results.conclusions(ranking, "val/accuracy") == sentences


def test_fresh_seeds_are_quoted():
    trials = sweep(EQUAL)
    trials += [
        replace(trials[4 * point], confirms=True, replicate=(f"seed={9 + n}",), value=0.8 + point / 10 + n / 100 * n)
        for point in (0, 1)
        for n in range(3)
    ]
    lines = results.conclusions(answer(trials).rankings[0], "val/accuracy")
    assert lines[2:] == [
        "The numbers to quote, from fresh seeds (with its own seeds, the best of many was also lucky):",
        "  optimizer.lr=0.2: val/accuracy 0.9167 ± 0.0517 (3 seeds)",
        "  optimizer.lr=0.1: val/accuracy 0.8167 ± 0.0517 (3 seeds)",
        "  Fresh seeds do not tell them apart either.",
    ]


def test_fresh_seeds_that_do_not_tell_apart_what_the_others_did_say_only_that():
    trials = sweep({"0.1": [0.9, 0.91, 0.92], "0.2": [0.1, 0.13, 0.11]})
    trials += [
        replace(trials[3 * point], confirms=True, replicate=(f"seed={9 + n}",), value=0.8 + n / 10)
        for point in (0, 1)
        for n in range(3)
    ]
    assert (
        results.conclusions(answer(trials).rankings[0], "val/accuracy")[-1] == "  Fresh seeds do not tell them apart."
    )


def test_failures_are_grouped_by_reason_with_a_log():
    trials = sweep({"0.1": [0.9, None, None], "0.2": [None, None, None]})
    trials = [
        replace(each, log=HOME / f"{n}.log") if each.status == "failed" else each for n, each in enumerate(trials)
    ]
    trials[-1] = replace(trials[-1], reason="killed by signal 9")
    trials[-2] = replace(trials[-2], reason="the loss is nan at step 9; try a smaller optimizer.lr")
    trials[-3] = replace(trials[-3], reason="the loss is nan at step 12; the gradient of 1.weight is not finite")
    text = printed(trials)
    assert text[text.index("5 trials failed:") :].splitlines()[:4] == [
        "5 trials failed:",
        "  2 x the loss is nan (log: runs/sweep/1.log)",
        "  2 x the loss is nan at step 12 (log: runs/sweep/3.log)",
        "  1 x killed by signal 9 (log: runs/sweep/5.log)",
    ]


def test_the_command_that_trains_the_winner_can_be_pasted():
    trials = [replace(each, words=(*each.words, "model.hidden=[8, 8]")) for each in sweep(EQUAL)]
    line = next(line for line in printed(trials, ["dataset=iris", "threads=1"]).splitlines() if line.startswith("next"))
    assert shlex.split(line) == [
        "next", "trainctl", "dataset=iris", "threads=1", "optimizer.lr=0.2", "model.hidden=[8, 8]",
    ]  # fmt: skip


def test_the_best_run_is_one_that_finished():
    text = printed(sweep({"0.1": [None, 0.9, 0.91]}))
    assert "best run  runs/sweep/0-1\n" in text


def test_a_long_table_is_cut():
    text = printed(sweep({str(number): [number / 1000] for number in range(80)}))
    assert "30 more points: see results.csv" in text


def test_several_data_sets_have_a_table_each_and_one_of_mean_ranks():
    trials = [
        trial(2 * d + o, [f"dataset={name}", f"optimizer={opt}"], value=0.1 * d + 0.2 * o)
        for d, name in enumerate(("iris", "wine"))
        for o, opt in enumerate(("adam", "sgd"))
    ]
    text = printed(trials)
    assert "dataset=iris: 2 points, 2 trials, by val/accuracy" in text
    assert "dataset=wine: 2 points, 2 trials, by val/accuracy" in text
    assert text[text.index("Over all data sets") :].split("\n")[1:4] == [
        "mean rank  dataset=iris  dataset=wine  settings",
        "        1           1.0           1.0  optimizer=sgd",
        "        2           2.0           2.0  optimizer=adam",
    ]


def test_nothing_that_a_trial_is_called_controls_the_terminal():
    trials = [trial(0, ["x=\x1b[31m"], status="failed", reason="\x1b]0;title\x07"), trial(1, ["x=\n"], value=0.1)]
    assert "\x1b" not in printed(trials) + results_csv.as_csv(trials, "val/accuracy", HOME)


def test_a_sweep_without_trials_is_printed():
    assert "sweep    runs/sweep" in printed([])


HARD = [
    trial(
        0, ["optimizer=adam", "optimizer.lr=1e-3", "model.hidden=[8,8]"], 3, value=0.1 + 0.2, epoch=2.5, seconds=1e-9,
        metrics={"val/loss": 1 / 3, "test/loss": math.nan}, values={"val/r2": -math.inf}, rungs={1: 0.1, 9: 0.3},
        log=HOME / "0.log", attempts=2,
    ),
    trial(1, ["optimizer=sgd", 'name="a, b"'], 4, status="failed", value=None, reason='said "no",\nand left', confirms=True),
]  # fmt: skip


def test_the_csv_has_everything_and_is_read_back_the_same():
    text = results_csv.as_csv(HARD, "val/loss", HOME)
    first, second = read(text)
    assert {float(first["value"]), float(first["val/loss"])} == {0.1 + 0.2, 1 / 3}
    assert {name: first[name] for name in first if name not in ("value", "val/loss")} == {
        "trial": "0", "point": "0", "optimizer": "adam", "optimizer.lr": "1e-3", "model.hidden": "[8,8]", "name": "",
        "seed": "3", "confirms": "false", "status": "finished", "reason": "", "monitor": "val/loss", "val/r2": "-inf",
        "test/loss": "nan", "rung_1": "0.1", "rung_9": "0.3", "step": "100", "epoch": "2.5", "seconds": "1e-09",
        "parameters": "1000", "attempts": "2", "directory": "runs/sweep/0-3".removeprefix("runs/sweep/"), "log": "0.log",
    }  # fmt: skip
    assert (second["name"], second["reason"], second["status"], second["value"]) == (
        '"a, b"',
        'said "no", and left',
        "failed",
        "",
    )
    assert second["confirms"] == "true"
    assert text.count("\n") == 3


@pytest.mark.parametrize("value", ["=cmd()", "@x", "+x"])
def test_no_cell_is_a_formula(value):
    assert read(results_csv.as_csv([trial(0, [f"a={value}"])], "val/loss", HOME))[0]["a"] == f"'{value}"


def test_the_csv_is_written(tmp_path):
    path = results_csv.write_csv(HARD, "val/loss", tmp_path)
    assert path.path == tmp_path / "results.csv"
    assert len(read(path.path.read_text())) == 2
