"""The profile as a command: its table, its advice, its trace, and that it leaves nothing else behind."""

import json
import re
from dataclasses import replace

import pytest

from trainctl import cli
from trainctl.command import profile
from trainctl.errors import ConfigError, StorageError
from trainctl.measure import flops
from trainctl.measure.marks import PARTS
from trainctl.measure.profile import Profile
from trainctl.measure.trials import Trial

QUICK = ("device=cpu", "dataset=wine", "model=linear", "steps=5")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(flops, "SECONDS", 0.001)


@pytest.fixture
def found(capsys):
    def run(*words):
        assert profile.main([*QUICK, *words]) == 0
        return capsys.readouterr().out

    return run


def row(text, first, second):
    return re.search(rf"^{first} +{second} +(.*)$", text, re.MULTILINE)[1].split()


def test_the_table_has_every_part_and_the_trace_stands_beside_it(found, tmp_path):
    text = found("augment=[noise]", "loop.clip_norm=1", "loop.record=always")
    for part in PARTS:
        assert row(text, "in parts", part)
    assert row(text, "in parts", "penalty") == ["-", "-"]
    assert row(text, "in parts", "all")[1:3] == ["100", "%"]
    shares = [float(row(text, "in training", part)[0]) for part in ("step", "evaluation", "reporting", "checkpoint")]
    assert min(shares) >= 0  # a quick part is 0.000 ms
    assert shares[0] > 0
    assert sum(shares) == pytest.approx(float(row(text, "in training", "all")[0]), abs=0.01)
    parts = [row(text, "in parts", part)[0] for part in PARTS]
    total = float(row(text, "in parts", "all")[0])
    assert sum(float(value) for value in parts if value != "-") == pytest.approx(total, abs=0.01)
    for label in ("speed", "engine", "arithmetic", "memory"):
        assert re.search(rf"^{label} ", text, re.MULTILINE)
    assert "\x1b" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["trainctl-profile.json"]
    assert json.loads((tmp_path / "trainctl-profile.json").read_text())["traceEvents"]


def test_the_trace_goes_where_it_is_asked_for(found, tmp_path):
    assert "trace: traces/one.json" in found("output=traces/one.json")
    assert json.loads((tmp_path / "traces" / "one.json").read_text())["traceEvents"]
    assert [path.name for path in tmp_path.iterdir()] == ["traces"]
    with pytest.raises(ConfigError, match=r"traces/one\.json: file already exists"):
        profile.main([*QUICK, "output=traces/one.json"])
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file: cannot create directory"):
        profile.write(tmp_path / "file" / "one.json", b"")


def test_without_an_output_nothing_is_left(found, tmp_path):
    assert "trace:" not in found("output=")
    assert not list(tmp_path.iterdir())


def test_the_trace_of_before_is_replaced(found, tmp_path):
    (tmp_path / "trainctl-profile.json").write_text("{}")
    found()
    assert json.loads((tmp_path / "trainctl-profile.json").read_text())["traceEvents"]


@pytest.mark.parametrize(
    "words",
    [
        ("loop.batch_size=full",),
        ("model=mlp", "loop.micro_batches=3", "augment=[mixup]", "schedule=one_cycle", "loop.max_steps=7"),
        ("dataset=diabetes", "optimizer=asgd", "early_stopping=patience", "precision=bf16"),
        ("optimizer=lion", "loop.max_time=1s", "schedule=plateau", "loop.eval_every_steps=3"),
    ],
    ids=" ".join,
)
def test_it_composes_with_what_training_takes(found, words):
    assert "What to change" in found("output=", *words)


def test_a_component_of_ones_own_is_measured(found, tmp_path):
    for folder in ("mine/augment", "conf/augment"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mine" / "augment" / "halve.py").write_text(
        "def halve(*, input_shape):\n    return lambda inputs, generator: inputs / 2\n"
    )
    (tmp_path / "conf" / "augment" / "halve.yaml").write_text("# @package augment.halve\nname: halve\n")
    text = found("output=", "components=[mine]", "augment=[halve]")
    assert float(row(text, "in parts", "augmentation")[0]) > 0


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps=4", r"steps=4: expected a whole number in \[5, inf\)"),
        ("steps=x", "steps=x: expected a whole number"),
        ("optimizer.lrr=1", r"did you mean optimizer\.lr=1"),
        ("lr", "lr: unexpected argument"),
        ("seed=1,2", "several values make a sweep"),
        ("--trace", "no flags other than --help"),
    ],
)
def test_wrong_words_are_answered_before_anything_is_built(word, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        profile.main([*QUICK, word])
    assert not list(tmp_path.iterdir())


def test_the_command_answers(command, tmp_path):
    done = command("profile", "steps=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "trainctl: steps=0: expected a whole number in [5, inf)\n"
    done = command("profile", *QUICK, "loop.batch_size=full")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("trace: trainctl-profile.json, for chrome://tracing or https://ui.perfetto.dev\n")
    assert [path.name for path in tmp_path.iterdir()] == ["trainctl-profile.json"]


def test_the_verb_is_known(capsys):
    assert cli.dispatch(["profile", "--help"]) == 0
    assert "trainctl profile recipe=mnist_cnn" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="did you mean profile"):
        cli.dispatch(["profil"])


# Advice, on measurements that are made up: 1 ms/step, nothing to gain.

QUIET = Profile(
    rows=32,
    steps_per_epoch=40,
    eval_every=40,
    parts={"data": 1e-4, "augmentation:crop": 1e-4, "forward": 5e-4, "backward": 3e-4},
    whole=1e-3,
    recorded=False,
    engine="eager: loop.record=never",
    evaluation=1e-3,
    reporting=1e-4,
    checkpoint=1e-4,
    flops={"forward": 1e6, "backward": 2e6},
    uncounted=(),
    peak=1e10,
    peak_size=1024,
    footprints=[],
    memory={"weights": 1e3},
    trials=(Trial("threads=1", 100.0, 109.0), Trial("precision=bf16", 100.0, 50.0)),
)


def test_where_nothing_is_to_be_gained_nothing_is_advised():
    assert profile.advise(QUIET) == []


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (Trial("threads=1", 100.0, 125.0), "threads=1: 1.25 times as fast (100 to 125 samples/s)"),
        (Trial("precision=bf16", 100.0, 300.0), "3.00 times as fast (100 to 300 samples/s); results change"),
        (Trial("loop.clip_norm=null", 100.0, 120.0), "if the training is stable without clipping"),
        (Trial("loop.eval_batch_size=4096", 100.0, 200.0), "samples/s) in evaluation"),
        (Trial("loop.record=always", 100.0, 200.0), "results stay the same"),
        (Trial("loop.batch_size=128", 100.0, 200.0), "this changes training: see trainctl find-batch-size and find-lr"),
    ],
    ids=lambda value: getattr(value, "word", ""),
)
def test_what_was_measured_to_be_faster_is_advised(trial, expected):
    (advice,) = profile.advise(replace(QUIET, trials=[*QUIET.trials, trial]))
    assert advice.startswith(f"{trial.word}: ")
    assert expected in advice


def test_the_largest_gain_comes_first():
    trials = [Trial("threads=1", 1.0, 1.2), Trial("precision=bf16", 1.0, 2.0)]
    assert [text[:9] for text in profile.advise(replace(QUIET, trials=trials))] == ["precision", "threads=1"]


def test_a_larger_batch_is_explained_by_an_idle_processor():
    larger = replace(QUIET, trials=[Trial("loop.batch_size=128", 1.0, 2.0)])
    assert "of the peak" not in profile.advise(larger)[0]  # 3 GFLOP/s of 10
    assert "a batch of 32 reaches 3 % of the peak" in profile.advise(replace(larger, peak=1e11))[0]
    assert "of the peak" not in profile.advise(replace(larger, peak=1e11, uncounted=["_lstm_mps"]))[0]


def test_large_parts_are_named_with_what_they_take():
    (advice,) = profile.advise(replace(QUIET, parts=QUIET.parts | {"data": 4e-4}))
    assert "gathering rows takes 31 % of an eager step (0.4 ms)" in advice
    parts = QUIET.parts | {"augmentation:crop": 3e-4, "augmentation:rotate": 6e-4}
    (advice,) = profile.advise(replace(QUIET, parts=parts))
    assert advice.startswith("remove or replace augmentation rotate: augmentation takes 50 %")
    assert advice.endswith("rotate 67 % of that")


def test_a_long_evaluation_is_to_come_more_rarely():
    (advice,) = profile.advise(replace(QUIET, evaluation=20e-3))
    assert advice.startswith("loop.eval_every_steps=200: evaluation takes 33 % of the time, 20 ms each")


@pytest.mark.parametrize(("part", "word"), [("checkpoint", "checkpoint.every_seconds"), ("reporting", "fewer loggers")])
def test_what_else_takes_long_is_named(part, word):
    (advice,) = profile.advise(replace(QUIET, **{part: 20e-3}))
    assert word in advice
    assert f"{part} takes 33 % of the time" in advice


def test_what_is_not_counted_is_said_so():
    unknown = replace(QUIET, uncounted=["_lstm_mps"])
    cells = {(first, part): rest for first, part, *rest in profile.rows(unknown)}
    assert cells["in parts", "forward"][-1] == cells["in training", "step"][-1] == "not counted"
    assert "not counted: there is no formula for _lstm_mps" in dict(profile.facts(unknown))["arithmetic"]
    assert "3 MFLOP per step: 3 GFLOP/s, 30 % of peak (10 GFLOP/s" in dict(profile.facts(QUIET))["arithmetic"]


def test_what_recording_saves_is_said():
    recorded = replace(QUIET, recorded=True, engine="recorded")
    saved = replace(recorded, trials=[Trial("loop.record=never", 100.0, 60.0)])
    assert dict(profile.facts(saved))["engine"] == "recorded, which saves 40 % of an eager step"
    lost = replace(recorded, trials=[Trial("loop.record=never", 100.0, 120.0)])
    assert dict(profile.facts(lost))["engine"] == "recorded, which costs 20 % of an eager step"
    assert profile.advise(lost)[0].startswith("loop.record=never: 1.20 times as fast")
    assert dict(profile.facts(QUIET))["engine"] == "eager: loop.record=never"
