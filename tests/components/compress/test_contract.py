"""What every member of compress does: it keeps its state and its promises, and a run can be stopped at any step."""

from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from tests import soak
from tests.train.test_exact import bits, settings, until
from trainctl.errors import ConfigError, Interrupted
from trainctl.finished.open import open as open_run
from trainctl.finished.reproduce import reproduce
from trainctl.finished.verify import verify
from trainctl.run import assemble
from trainctl.store import restore
from trainctl.train import session

CONF = Path(__file__).parents[3] / "conf" / "compress"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
# With everything that would move a weight which is 0: decay, momentum, penalties, projections, averages.
HARD = (
    "model.hidden=[16,8]", "model.norm=batch", "model.dropout=0.2", "optimizer=adamw", "optimizer.weight_decay=0.1",
    "regularizer=[l1,max_norm]", "average=ema", "loop.micro_batches=2", "loop.clip_norm=1.0", "schedule=cosine",
)  # fmt: skip
PRUNED = ("compress=[prune]", "compress.prune.every_steps=2", "compress.prune.sparsity=0.7")
WAYS = {
    "prune": (*HARD, *PRUNED),
    "prune-once-sgd-swa": (
        "model.hidden=[16]", "optimizer=sgd", "optimizer.momentum=0.9", "optimizer.weight_decay=0.01", "average=swa",
        "average.start_fraction=0.2", "average.every_steps=1", "compress=[prune]", "compress.prune.end=0",
        "compress.prune.scope=layer",
    ),
    "prune-muon": ("model.hidden=[16]", "optimizer=muon", *PRUNED, "compress.prune.begin=0.3"),
    "prune-lion-rewind": ("model.hidden=[16]", "optimizer=lion", *PRUNED, "loop.on_nonfinite=rewind"),
    "rigl": (*HARD, "compress=[rigl]", "compress.rigl.every_steps=2", "compress.rigl.sparsity=0.6"),
    "int8": (*HARD, "compress=[int8]"),
    "int8-late": (*HARD[:3], "compress=[int8]", "compress.int8.begin=0.5"),
    "prune-int8": (*HARD, *PRUNED, "compress=[prune,int8]"),
}  # fmt: skip


def test_there_are_members_and_each_is_tried():
    assert MEMBERS == ["int8", "none", "prune", "rigl"]
    assert {name for name in MEMBERS if any(way.startswith(name) for way in WAYS)} == set(MEMBERS) - {"none"}
    assert all(yaml.safe_load((CONF / f"{name}.yaml").read_text())["name"] == name for name in MEMBERS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains in a way, once for all tests; nothing writes into what it returns."""

    @cache
    def train(way):
        directory = tmp_path_factory.mktemp("whole") / "whole"
        session.begin(settings(*WAYS[way]), [], directory)
        return directory

    return train


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
def test_a_stop_at_any_step_changes_no_bit(tmp_path, trained, way):
    chosen = settings(*WAYS[way])
    for cut in soak.some(way, range(1, 9), 1):
        with pytest.raises(Interrupted):
            session.begin(until(chosen, cut), [], tmp_path / str(cut))
        session.resume(chosen, [], tmp_path / str(cut))
        assert bits(tmp_path / str(cut)) == bits(trained(way)), cut


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_stop_at_every_step_changes_no_bit_and_recorded_steps_are_eager_ones(tmp_path, way):
    chosen = settings(*way)
    session.begin(settings(*way, "loop.record=never"), [], tmp_path / "whole")
    with pytest.raises(Interrupted):
        session.begin(until(chosen, 1), [], tmp_path / "cut")
    for cut in range(2, 9):
        with pytest.raises(Interrupted):
            session.resume(until(chosen, cut), [], tmp_path / "cut")
    session.resume(chosen, [], tmp_path / "cut")
    assert bits(tmp_path / "cut") == bits(tmp_path / "whole")


@pytest.mark.parametrize("way", ["prune", "rigl", "int8", "prune-int8"])
def test_it_is_verified_and_reproduced(tmp_path, trained, way):
    run = open_run(trained(way), [], [], ())
    assert verify(run, "start", None).difference == ""
    assert reproduce(run, tmp_path / "again").difference == ""


@pytest.mark.parametrize("way", [way for way in WAYS if "int8" not in way])
def test_what_is_0_is_0_in_the_trained_the_averaged_and_the_best_weights(trained, way):
    saved = restore.newest(trained(way))
    last, best = saved.tensors("last"), saved.tensors("best")
    masks = {key.removeprefix("compress.0."): value for key, value in last.items() if key.startswith("compress.0.")}
    assert all(mask.dtype == torch.bool for mask in masks.values())
    total = sum(mask.numel() for mask in masks.values())
    off = sum(int((~mask).sum()) for mask in masks.values())
    wanted = {"rigl": 0.6, "prune-once-sgd-swa": 0.9}.get(way, 0.7)
    assert off == pytest.approx(wanted * total, abs=len(masks) + 1)
    for name, mask in masks.items():
        for part in (last[f"model.{name}"], last.get(f"average.{name}")):
            assert part is None or not part[~mask].any()
        kept = best[f"model.{name}"]  # with rigl, perhaps of a step when the connections were elsewhere
        assert int((kept == 0).sum()) == int((~mask).sum()) if way == "rigl" else not kept[~mask].any()


def test_weights_before_the_sparsity_is_reached_are_never_the_best(tmp_path):
    session.begin(
        settings(*PRUNED, "compress.prune.end=0.99", "loop.eval_every_steps=1", "optimizer.lr=0.5", "early_stopping=patience",
                 "early_stopping.patience=1"),
        [], tmp_path / "run",
    )  # fmt: skip
    saved = restore.newest(tmp_path / "run")
    assert saved.manifest.step == 9  # nor do they stop the run
    assert saved.manifest.state["best"]["step"] == 9
    assert not saved.manifest.state["best_uncompressed"]


def test_only_one_member_decides_which_weights_are_0():
    with pytest.raises(ConfigError, match=r"compress=\[prune,rigl\]: each of them decides"):
        assemble.assemble(settings("compress=[prune,rigl]"))


def test_a_checkpoint_with_masks_of_another_compression_is_refused(tmp_path):
    session.begin(settings(*PRUNED), [], tmp_path / "run")
    run = assemble.assemble(settings())
    saved = restore.newest(tmp_path / "run")
    with pytest.raises(Exception, match="belongs to another run"):
        restore.restore(run, saved)
    with pytest.raises(Exception, match=r"belongs to another compression: compress\.0\.1\.weight has shape"):
        restore._restore_constraints(run, saved.tensors("last"), saved.path)
