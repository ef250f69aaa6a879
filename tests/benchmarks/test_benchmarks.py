"""The benchmarks' own arithmetic and definitions; no peer is installed for these."""

import math

import numpy as np
import pytest

from benchmarks import data, report, run, start
from benchmarks.peers import common
from benchmarks.report import Measurement
from trainctl.run import assemble
from trainctl.settings import compose


def measured(turn, seconds, score=0.9, epochs=2):
    return Measurement(turn, epochs, 2 * seconds, seconds, wall=9.0, memory=10**9, score=score, parameters=10)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Write stand-ins of 1,000 rows."""
    root = tmp_path_factory.mktemp("bench") / "data"
    made = {kind: data.make(root, kind, None, 1000) for kind in common.MOST_ROWS}
    assert all(one["real"] is False and (one["rows"], one["test_rows"]) == (1000, 166) for one in made.values())
    return root


@pytest.mark.parametrize("name", common.WORKLOADS)
def test_trainctl_assembles_each_workload_with_its_peers_rows_and_parameters(name, small):
    workload = common.WORKLOADS[name]
    words = [*workload.overrides, f"dataset.root={small}", "dataset.download=false"]
    made = assemble.assemble(compose.compose(words))
    assert made.parameters == workload.parameters
    assert made.config.loop.batch_size == workload.batch
    assert made.config.loop.clip_norm == workload.clip_norm
    assert made.config.parts["optimizer"] | {"lr": common.LEARNING_RATE, "eps": 1e-8} == made.config.parts["optimizer"]
    assert len(made.data.splits["val"]) == common.held_out(1000)


def test_a_peer_reads_what_was_written(small):
    images, labels, test, test_labels = common.read(small, "mnist")
    assert images.shape == (1000, 28, 28)
    assert test.shape == (166, 28, 28)
    assert set(labels) == set(test_labels) == set(range(10))
    images, labels, test, test_labels = common.read(small, "cifar")
    assert images.shape == (1000, 32, 32, 3)
    assert len(labels) == 1000


def test_real_files_are_cut_to_the_rows_asked_for(small, tmp_path):
    made = data.make(tmp_path / "cut", "mnist", small, 600)
    assert made == {"real": True, "rows": 600, "test_rows": 100, "bytes": 700 * 784}
    assert np.array_equal(common.read(tmp_path / "cut", "mnist")[0], common.read(small, "mnist")[0][:600])


def test_ratios_are_taken_within_a_round():
    ours = [measured(0, 1.0), measured(1, 2.0), measured(1, 7.0, epochs=5)]
    theirs = [measured(1, 6.0), measured(0, 2.0), measured(2, 9.0)]
    assert report.ratios(theirs, ours, 2) == [3.0, 2.0]


@pytest.mark.parametrize(
    ("theirs", "score", "expected"),
    [
        ([0.90, 0.91, 0.92], "accuracy", False),
        ([0.95, 0.951, 0.952], "accuracy", True),
        ([0.912, 0.912, 0.912], "accuracy", False),  # less than 0.3 points
        ([0.85, 0.90, 0.95], "accuracy", False),  # noise
        ([0.5], "accuracy", False),  # one seed shows no noise
        ([0.95, 0.951, 0.952], "mse", True),
        ([0.92, 0.92, 0.92], "mse", False),  # less than 3 %
    ],
)
def test_scores_differ_by_more_than_noise(theirs, score, expected):
    assert report.differ(theirs, [0.910, 0.911, 0.912], score) is expected


def test_a_table_marks_scores_that_differ_and_leaves_out_what_was_not_run():
    ours = [measured(turn, 2.0, 0.95 + turn / 1000) for turn in range(3)]
    worse = [measured(turn, 3.0 + turn, 0.90 + turn / 1000) for turn in range(3)]
    text = report.table({"trainctl": ours, "lightning": worse}, run.LABELS, common.WORKLOADS["mlp"], 2)
    _, _, mine, theirs = text.splitlines()
    assert mine == "| trainctl | 2.00 (2.00..2.00) |  | 4.00 (4.00..4.00) |  |  | 1,000 | 95.10 ± 0.06 | 10 |"
    assert "| 4.00 (3.00..5.00) | 2.00 (1.50..2.50) |" in theirs
    assert "90.10 ± 0.06 **differs**" in theirs


def test_memory_and_growth_are_judged():
    assert "1,000 MB, is below the data set's 55 MB" in report.memory_line({"trainctl": [measured(0, 1.0)]}, 55 * 10**6)
    lines = report.scaling({(1, 1000): [2.0], (4, 1000): [7.0], (2, 500): [2.5]}).splitlines()
    assert lines[3:] == ["| 4 | 1,000 | 7.00 | 3.50 | 4.00 |", "| 2 | 500 | 2.50 | 1.25 | 1.00 |"]
    assert math.isclose(measured(0, 2.0, epochs=5).training, 12.0)


def test_each_round_runs_every_entry_and_the_options_choose_them():
    given = run.options(["--precision=bf16", "--peers=handwritten,keras_jax", "--workloads=all"])
    assert run.entries("cnn", given) == ["trainctl", "trainctl_bf16", "handwritten", "keras_jax"]
    assert run.entries("mlp", given) == ["trainctl", "handwritten", "keras_jax"]
    assert run.plan("mlp", 0, given) == [1, 3, 5]
    assert run.plan("mlp", 1, given) == [3]
    assert given.workloads == list(common.WORKLOADS)
    assert set(run.MODULES) | {run.OURS, run.BF16, run.BEFORE} == set(run.LABELS)
    assert run.entries("mlp", run.options(["--before=v1", "--peers="])) == ["trainctl", "trainctl_before"]


def test_the_tree_of_a_commit_is_written_or_the_commit_named(tmp_path):
    with pytest.raises(SystemExit, match="--before no_such_commit: "):
        run.check_out("no_such_commit", tmp_path / "before")


@pytest.mark.parametrize("word", ["--workloads=vit", "--peers=caffe", "--runs=0", "--rows=10", "/nowhere"])
def test_a_wrong_option_is_refused(word, capsys):
    with pytest.raises(SystemExit):
        run.options([word])
    assert "make bench: error:" in capsys.readouterr().err


def test_a_network_of_another_size_ends_the_comparison():
    with pytest.raises(SystemExit, match=r"mlp: Keras on JAX has 10 parameters instead of 101,770"):
        run.check_parameters("mlp", "keras_jax", measured(0, 1.0))


def test_a_commands_memory_is_its_own():
    output, wall, memory = run.execute(
        [run.sys.executable, "-c", "block = bytearray(300 << 20); print('done')"], {}, None
    )
    assert output == "done\n"
    assert wall > 0
    assert memory > 300 << 20


def test_a_start_that_ends_otherwise_than_expected_is_no_measurement(tmp_path):
    assert start.wall(["-c", "pass"], str(tmp_path)) > 0
    assert start.wall(["-c", "raise SystemExit(2)", "optimizer=adm"], str(tmp_path)) > 0
    for row in (["-c", "raise SystemExit(3)"], ["-c", "pass", "optimizer=adm"]):
        with pytest.raises(SystemExit, match="ended with"):
            start.wall(row, str(tmp_path))
