"""Any two members of any two groups train together: a covering array of all pairs, three steps each."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.models import resnet

from trainctl.components.model.base import Reconstruction
from trainctl.errors import ConfigError
from trainctl.run import assemble, factory, training_parts
from trainctl.run.parent import Parent
from trainctl.run.reporter import MultiReporter
from trainctl.run.run import Run
from trainctl.settings import component, compose, config, validation
from trainctl.train import checkpoint_writer as saving
from trainctl.train import loop

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("model", "optimizer", "schedule", "regularizer", "init", "augment", "loss", "average", "teacher", "compress")
ELSEWHERE = {("init", "run"), ("model", "ensemble")}  # need finished runs
# Data of every kind that a member may need: images of many classes, a table of two, a table of numbers.
DATA = ("digits", "breast_cancer", "diabetes")
CONVOLVING = ("airbench", "autoencoder", "cnn", "resnet")  # the models that begin with a convolution, on images
# Small models: what a default measures is measured elsewhere.
SMALL = {"hidden": [6], "channels": [3], "hidden_size": 5, "bottleneck": 4, "depth": 8}

MEETING = ("augment", "loss", "teacher")  # depend on the model's task, too
Row = dict[str, str]
Pair = frozenset[tuple[str, str]]

pytestmark = pytest.mark.filterwarnings("ignore:init=zeros")


class Narrow(resnet.ResNet):
    """What torchvision calls resnet18, with one block for two and a sixteenth of the channels."""

    def __init__(self, block: Any, _layers: list[int], num_classes: int = 1000) -> None:
        super().__init__(block, [1, 1, 1, 1])
        self.fc = torch.nn.Linear(512 // 16, num_classes)

    def _make_layer(self, block: Any, planes: int, *given: Any, **more: Any) -> torch.nn.Sequential:
        return super()._make_layer(block, planes // 16, *given, **more)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the member ``torchvision`` small, too."""
    monkeypatch.setattr(
        resnet, "_resnet", lambda block, layers, weights, progress, **given: Narrow(block, layers, **given)
    )


@cache
def members(group: str) -> list[str]:
    found = (path.stem for path in (CONF / group).glob("*.yaml"))
    return sorted(name for name in found if (group, name) not in ELSEWHERE)


@cache
def keys(group: str, name: str) -> Mapping[str, Any]:
    """Return a member's YAML."""
    found = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    found = {key: compose_value(value) for key, value in found.items() if key != "defaults"}
    found |= {"runs": ["/runs/teacher"]} if (group, name) == ("teacher", "run") else {}
    return found | ({key: value for key, value in SMALL.items() if key in found} if group == "model" else {})


def compose_value(value: Any) -> Any:
    """Resolve `${monitor}`, all that a member's YAML refers to."""
    return composed("digits")[value[2:-1]] if str(value).startswith("${") else value


@cache
def composed(dataset: str) -> dict[str, Any]:
    return compose.compose(["loop.epochs=null", "loop.max_steps=3", "loop.batch_size=16", f"dataset={dataset}"]).tree


def settings(row: Row) -> config.Config:
    tree = dict(composed(row["dataset"]))
    for group in GROUPS:
        if name := row.get(group):
            tree[group] = {name: dict(keys(group, name))} if group in component.ADDITIVE else dict(keys(group, name))
    if row.get("teacher", "none") != "none":
        tree["split"] = tree["split"] | {"labels": 100}
    return validation.load(tree)


# Which members fit which data, found by trying.


@cache
def plain(dataset: str) -> Run:
    return assemble.assemble(settings({"dataset": dataset, "model": "mlp"}))


@cache
def task(dataset: str, model: str) -> str | None:
    """Return the task of a model on a data set, or None if it cannot read it."""
    data = plain(dataset).data
    try:
        shape = {"input_shape": data.schema.input_shape, "outputs": data.schema.outputs, "vocabulary_size": 0}
        built = factory.build("model", keys("model", model), **shape)
    except ConfigError:
        return None
    return "reconstruction" if isinstance(built, Reconstruction) else data.schema.task


@cache
def takes(group: str, name: str, dataset: str, task: Any) -> bool:
    """Say whether an augmentation, a loss or a teacher fits a data set and a task."""
    data, chosen = plain(dataset).data, settings({"dataset": dataset, group: name})
    try:
        if group == "teacher":
            supplied = {"model": plain(dataset).model, "panel": torch.nn.Identity(), "task": task, "total_steps": 3}
            return bool(factory.build(group, keys(group, name), **supplied))
        if group == "augment":
            return bool(training_parts.build_augment(chosen, task, data, torch.device("cpu")))
        return bool(assemble.build_loss(chosen, task, data))
    except ConfigError:
        return False


@cache
def home(model: str | None, augment: str | None, loss: str | None, teacher: str | None) -> str | None:
    """Return a data set on which members can meet (None stands for any), or None."""
    for dataset, name in product(DATA, [model] if model else members("model")):
        found = task(dataset, name)
        if found and all(
            member is None or takes(group, member, dataset, found)
            for group, member in (("augment", augment), ("loss", loss), ("teacher", teacher))
        ):
            return dataset
    return None


def fits(row: Mapping[str, str]) -> bool:
    if row.get("average") == "polyak" and row.get("optimizer", "asgd") != "asgd":
        return False  # it shows the mean that asgd keeps
    if row.get("init") == "whiten":  # it draws a convolution's filters
        models = [model for model in CONVOLVING if row.get("model", model) == model]
        return any(home(model, *(row.get(group) for group in MEETING)) == "digits" for model in models)
    return home(row.get("model"), *(row.get(group) for group in MEETING)) is not None


@cache
def parent(dataset: str, task: str) -> Parent:
    """Return a run that can teach another one on a data set."""
    model = "autoencoder" if task == "reconstruction" else "mlp"
    loss = "cross_entropy" if task == "classification" else "mse"
    run = assemble.assemble(settings({"dataset": dataset, "model": model, "loss": loss}))
    return Parent(
        "teacher", "t", "/runs/t", 0, "", "", run.config, run.data.schema, run.data.fitted, run.model.state_dict()
    )


# The array.


def pairs(row: Mapping[str, str]) -> Iterator[Pair]:
    return map(frozenset, combinations(row.items(), 2))


@cache
def feasible() -> frozenset[Pair]:
    """Return all pairs of members of two groups that can meet."""
    return frozenset(
        pair
        for first, second in combinations(GROUPS, 2)
        for pair in map(
            frozenset, product(((first, name) for name in members(first)), ((second, name) for name in members(second)))
        )
        if fits(dict(pair))
    )


def covering() -> list[Row]:
    """Return rows that hold every feasible pair: each starts with a missing pair and adds what covers most."""
    missing, rows = dict.fromkeys(sorted(feasible(), key=sorted)), []
    while missing:
        row = dict(next(iter(missing)))
        for group in (name for name in GROUPS if name not in row):

            def gain(name: str, group: str = group, row: Row = row) -> int:
                return sum(frozenset([(group, name), pair]) in missing for pair in row.items())

            turn = len(rows) % len(members(group))  # ties go round
            options = members(group)[turn:] + members(group)[:turn]
            row[group] = max((name for name in options if fits(row | {group: name})), key=gain)
        for pair in pairs(row):
            missing.pop(pair, None)
        rows.append({group: row[group] for group in GROUPS})
    return rows


ROWS = covering()
COMPARED = ROWS[::2]  # also computed eagerly; every member is among them


def test_the_array_holds_every_pair_that_can_meet_and_every_member() -> None:
    assert {pair for row in ROWS for pair in pairs(row)} == feasible()
    assert {pair for row in ROWS for pair in row.items()} == {(g, name) for g in GROUPS for name in members(g)}
    assert {pair for row in COMPARED for pair in row.items()} == {pair for row in ROWS for pair in row.items()}
    free = [group for group in GROUPS if group not in ("model", *MEETING)]
    for first, second in combinations(free, 2):
        found = {(row[first], row[second]) for row in ROWS}
        barred = len(members("optimizer")) - 1 if {first, second} == {"optimizer", "average"} else 0
        assert len(found) == len(members(first)) * len(members(second)) - barred
    assert len(ROWS) < 2 * max(len(members(a)) * len(members(b)) for a, b in combinations(GROUPS, 2))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row.values()))
def test_any_two_members_train_three_steps(row: Row, tmp_path: Path) -> None:
    dataset = str(home(row["model"], *(row[group] for group in MEETING)))
    chosen = settings(row | {"dataset": dataset})
    parents = (parent(dataset, str(task(dataset, row["model"]))),) if row["teacher"] == "run" else ()
    run = assemble.assemble(chosen, parents=parents)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]

    loop.train(run, tmp_path, MultiReporter())

    after = [parameter.detach() for parameter in run.model.parameters()]
    assert run.state.step == 3
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert not all(torch.equal(*both) for both in zip(before, after, strict=True))
    if row not in COMPARED:
        return
    eager = assemble.assemble(replace(chosen, loop=replace(chosen.loop, record="never")), parents=parents)
    loop.train(eager, tmp_path, MultiReporter(), saving.NullWriter(eager, tmp_path, MultiReporter()))
    assert all(map(torch.equal, after, eager.model.parameters()))  # the third step was replayed, where it can be
    assert torch.equal(run.sums.sums, eager.sums.sums)
