"""The training loss is reported before the first evaluation, and nothing that is recorded changes by that."""

import io
import itertools

import pytest
import torch

from trainctl.report import plain
from trainctl.report.plain import Plain
from trainctl.run.assemble import assemble
from trainctl.run.reporter import Reporter
from trainctl.settings.compose import compose
from trainctl.train import heartbeat, loop
from trainctl.train.checkpoint_writer import NullWriter


@pytest.fixture
def make_run():
    """Return a function that assembles a small run."""
    return lambda *words: assemble(compose(["dataset=iris", "model.hidden=[8]", "threads=1", *words]))


class Recorder(Reporter):
    def __init__(self):
        self.beats, self.rows = [], []

    def heartbeat(self, row):
        self.beats.append(row)

    def evaluation(self, row):
        self.rows.append({key: value for key, value in row.items() if key not in ("seconds", "samples_per_second")})


def trained(make_run, tmp_path, every, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY", every)
    run, recorder = make_run("loop.epochs=2", "model=mlp", "loop.batch_size=16"), Recorder()
    loop.train(run, tmp_path, recorder, NullWriter(run, tmp_path, recorder))
    return run, recorder


def test_the_loss_comes_before_the_first_evaluation_and_changes_no_bit(make_run, tmp_path, monkeypatch):
    whole, silent = trained(make_run, tmp_path, 1e9, monkeypatch)
    run, often = trained(make_run, tmp_path, 0.0, monkeypatch)
    assert silent.beats == []
    assert len(often.beats) == run.state.step  # after every step
    assert often.beats[0]["step"] == 1 < run.plan.eval_every
    assert all(beat["train/loss"] > 0 for beat in often.beats)
    assert often.rows == silent.rows
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), run.model.parameters(), strict=True))


def test_the_reported_loss_is_the_mean_since_the_evaluation(make_run, tmp_path, monkeypatch):
    run, recorder = trained(make_run, tmp_path, 0.0, monkeypatch)
    last = next(beat for beat in recorder.beats if beat["step"] == run.plan.eval_every)
    assert last["train/loss"] == recorder.rows[0]["train/loss"]


def test_plain_lines_come_by_time_and_become_rarer(make_run, tmp_path, monkeypatch):
    clock = itertools.count()  # a reading every second
    monkeypatch.setattr(plain.time, "monotonic", lambda: float(next(clock)))
    run, stream = make_run(), io.StringIO()
    reporter = Plain(stream)
    reporter.start(run, tmp_path, [])
    row = {"step": 3, "epoch": 0.1, "seconds": 10.0, "lr": 0.1, "samples_per_second": 5.0, "train/loss": 1.5}
    begin, written = stream.tell(), []
    for _ in range(200):
        before = stream.tell()
        reporter.heartbeat(row)
        if stream.tell() > before:
            written.append(next(clock))
    assert len(written) in (4, 5)  # after 10, 20, 40 and 80 seconds
    assert [round((b - a) / 10) for a, b in itertools.pairwise(written)][:3] == [2, 4, 8]
    assert "train/loss 1.5000" in stream.getvalue()[begin:]
    assert "*" not in stream.getvalue()[begin:]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", None)
    monkeypatch.setattr(heartbeat, "EVERY", 0.0)
    run, recorder = make_run("device=cuda", "loop.epochs=2"), Recorder()
    loop.train(run, tmp_path, recorder, NullWriter(run, tmp_path, recorder))
    assert recorder.beats
