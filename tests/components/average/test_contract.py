"""What every averaging does: it is what is evaluated, kept and saved; and a stopped run goes on with it exactly."""

import copy

import pytest
import torch

from tests.conftest import HARD
from trainctl.data.order import fixed_order
from trainctl.errors import Interrupted
from trainctl.run import assemble
from trainctl.run.reporter import MultiReporter
from trainctl.settings import component, compose
from trainctl.store import restore
from trainctl.train import evaluation, loop, session

MEMBERS = component.names("average")
SHORT = ("loop.epochs=4", "model.norm=batch", "early_stopping=none")


def chosen(name, *overrides):
    return compose.compose([*HARD, *SHORT, *OVERRIDES.get(name, ()), f"average={name}", *overrides])


OVERRIDES = {
    "swa": ("average.start_fraction=0.3",),
    "polyak": ("optimizer=asgd", "optimizer.start_steps=4"),
}


def test_there_are_members():
    assert len(MEMBERS) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_a_run_resumed_three_times_ends_like_an_uninterrupted_one(tmp_path, name):
    whole = session.begin(chosen(name), [], tmp_path / "whole")
    with pytest.raises(Interrupted):
        session.begin(chosen(name, "loop.stop_at_step=6"), [], tmp_path / "cut")
    for cut in (10, 14):
        with pytest.raises(Interrupted):
            session.resume(chosen(name, f"loop.stop_at_step={cut}"), [], tmp_path / "cut")
    resumed = session.resume(chosen(name), [], tmp_path / "cut")

    first, second = (restore.newest(path) for path in (tmp_path / "whole", tmp_path / "cut"))
    for which in ("last", "best"):
        wanted, found = first.tensors(which), second.tensors(which)
        assert wanted.keys() == found.keys()
        assert all(torch.equal(tensor, found[key]) for key, tensor in wanted.items())
    assert first.manifest.state["averaged"] == second.manifest.state["averaged"]
    assert whole["metrics"] == resumed["metrics"]


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "none"])
def test_the_average_is_what_is_evaluated_and_kept(tmp_path, name):
    run = assemble.assemble(chosen(name))
    (tmp_path / "run").mkdir()
    loop.train(run, tmp_path / "run", MultiReporter())

    averaged, trained = run.average.model.state_dict(), run.model.state_dict()
    assert run.state.averaged > 1
    assert not all(torch.equal(averaged[key], trained[key]) for key in trained)
    if run.state.best.step == run.state.step:
        assert all(torch.equal(averaged[key], run.state.best_weights[key]) for key in averaged)
    statistics = {key: value.clone() for key, value in averaged.items()}
    evaluation.renew_statistics(run)  # the last evaluation has done it already
    assert all(torch.equal(value, statistics[key]) for key, value in averaged.items())
    before = evaluation.evaluate(run.evaluation, "val")
    run.model.load_state_dict({key: torch.zeros_like(value) for key, value in trained.items()})
    assert evaluation.evaluate(run.evaluation, "val") == before


def test_batch_norm_statistics_of_a_mean_are_renewed_as_torch_renews_them():
    run = assemble.assemble(chosen("swa", "model.dropout=0.0", "model.channels=[4]", "loop.micro_batches=1"))
    model, rows = run.average.model, run.data.splits["train"]
    (norm,) = (module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm))
    untouched = norm.running_mean.clone()
    evaluation.renew_statistics(run)
    assert torch.equal(norm.running_mean, untouched), "nothing is averaged yet"

    run.state.averaged = 1
    reference = copy.deepcopy(model)
    with torch.no_grad():
        shuffled = rows.inputs[fixed_order(len(rows), run.config.seed)]
        batches = [run.data.input_scale(part) for part in shuffled.split(run.plan.batch_size)]
        torch.optim.swa_utils.update_bn(batches, reference)
    random = torch.get_rng_state()
    evaluation.renew_statistics(run)

    assert not torch.equal(norm.running_mean, untouched)
    wanted = reference.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())
    assert norm.momentum is not None
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("name", "size", "parts"),
    # The others follow the statistics of training: with several parts of a full batch, those of its parts.
    [*((name, 18, 1) for name in MEMBERS), ("swa", 18, 4), ("swa", "full", 4), ("polyak", "full", 4)],
)
def test_batch_norm_statistics_are_those_of_all_rows_where_the_source_is_sorted_by_class(tmp_path, name, size, parts):
    run = assemble.assemble(
        compose.compose(
            ["dataset=iris", "model=mlp", "model.norm=batch", "model.dropout=0", "optimizer.lr=0.01",
             *OVERRIDES.get(name, ()), f"average={name}", f"loop.batch_size={size}", f"loop.micro_batches={parts}",
             "loop.max_steps=80", "loop.eval_every_steps=80"]
        )
    )  # fmt: skip
    targets = run.data.splits["train"].targets
    assert torch.equal(targets, targets.sort().values), "sorted by class, as most sources are"
    loop.train(run, tmp_path, MultiReporter())

    model = run.average.model
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm))
    seen = []
    hook = norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    evaluation.evaluate(run.evaluation, "train")
    hook.remove()
    whole = torch.cat(seen)
    ratio = (norm.running_var / whole.var(0)).mean()
    assert 0.8 < ratio < 1.25, f"the variance within classes is {float(ratio):.2f} of that of all rows"
