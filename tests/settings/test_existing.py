"""The settings of a run that exists are checked once, completed, and changed only where that leaves it the same run."""

import copy
import logging
import sys

import pytest

from trainctl import cli
from trainctl.command import resume
from trainctl.errors import ConfigError
from trainctl.settings import component, compose, config, existing, hydra_flags, points, schema, validation

QUICK = ("dataset=iris", "loop.max_steps=1", "output.plots=false")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list to which each check of a whole configuration adds what it checks."""
    seen: list[object] = []
    whole = validation.problems

    def counted(tree: config.Tree) -> list[str]:
        seen.append(tree)
        return whole(tree)

    monkeypatch.setattr(validation, "problems", counted)
    return seen


def run(monkeypatch: pytest.MonkeyPatch, *typed: str) -> int:
    monkeypatch.setattr(sys, "argv", ["trainctl", *typed])
    return cli.main()


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ([*QUICK], 1),
        (["-m", *QUICK, "seed=0,1,2"], 1),  # the others are derived from the first
        (["--help", "seed=1"], 1),
        (["find-lr", "steps=10", "dataset=iris"], 1),
        (["--cfg", "job", "seed=1"], 1),
        (["seed=x"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_configuration_is_checked_once(
    checks: list[object], monkeypatch: pytest.MonkeyPatch, typed: list[str], count: int
) -> None:
    assert run(monkeypatch, *typed) == (2 if typed == ["seed=x"] else 0)
    assert len(checks) == count


def test_each_setting_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[int, int] = {}
    problem = schema.problem

    def counted(value: object, annotation: object) -> str | None:
        calls[id(annotation)] = calls.get(id(annotation), 0) + 1
        return problem(value, annotation)

    monkeypatch.setattr(schema, "problem", counted)
    settings = config.leaves(compose.compose(["optimizer=sgd"]).tree)
    assert sum(calls.values()) == sum(key == "output.name" or not key.endswith(".name") for key in settings)


def test_a_saved_configuration_is_checked_once_and_completed_only_if_need_be(checks: list[object]) -> None:
    tree = copy.deepcopy(compose.compose(["optimizer=sgd"]).tree)
    checks.clear()
    assert existing.load(tree).tree == tree
    assert len(checks) == 1

    del tree["optimizer"]["nesterov"], tree["average"]
    assert existing.load(tree).parts["optimizer"]["nesterov"] is False
    with pytest.raises(ConfigError, match="loop=3: is a section"):
        existing.load(tree | {"loop": 3})
    with pytest.raises(ConfigError, match=r"optimizer\.new: optimizer sgd has no such parameter"):
        existing.load(tree | {"optimizer": tree["optimizer"] | {"new": 1}})


def test_a_sweep_names_each_mistake_once() -> None:
    with pytest.raises(ConfigError) as caught:
        points.compose_points(["optimizer.lr=-1", "seed=0,x,1,x", "loop.batch_size=0"])
    assert [line.partition(":")[0] for line in str(caught.value).split("\n")] == [
        "loop.batch_size=0", "optimizer.lr=-1", "seed=x",
    ]  # fmt: skip


def test_the_fields_say_what_may_change_and_the_help_of_resume_lists_it() -> None:
    assert set(existing.MAY_CHANGE) == {
        "device", "threads", "processes", "distributed.sum", "distributed.restarts", "distributed.timeout", "loop.epochs",
        "loop.max_steps", "loop.max_time", "loop.eval_batch_size", "loop.stop_at_step", "loop.on_nonfinite",
        "checkpoint.every_seconds", "checkpoint.keep", "output.plots", "output.tags", "early_stopping.", "dataset.root",
        "dataset.download", "dataset.keep", "dataset.memory", "dataset.cache", "distributed.shard", "distributed.split_state",
        "loop.checkpoint_activations",
    }  # fmt: skip
    text = resume.__doc__ or ""
    for key in existing.MAY_CHANGE:
        group = key.partition(".")[0]
        assert key.rstrip(".") in text or f"{group}.*" in text, key
    for key in component.RESUMABLE:
        assert key.partition(".")[0] in component.GROUPS


@pytest.mark.slow
@pytest.mark.parametrize("argv", [("--cfg", "job"), ("--hydra-help",), ("--info", "nothing")], ids=" ".join)
def test_hydras_flags_leave_the_process_as_it_was(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    before = list(sys.argv), logging.raiseExceptions
    hydra_flags.answer(argv)
    assert (sys.argv, logging.raiseExceptions) == before


def test_a_habit_is_answered_when_a_run_is_resumed_too():
    tree = compose.compose(["dataset=iris"]).tree
    for typed, answer in (("device=gpu", "use device=cuda"), ("loop.max_time=90", "use loop.max_time=90s")):
        with pytest.raises(ConfigError, match=answer):
            existing.check(existing.change(tree, [typed], existing.MAY_CHANGE))


@pytest.mark.parametrize(
    ("name", "key", "then"), [("text", "normalize", "legacy"), ("image_folder", "background", "ignore")]
)
def test_a_run_of_the_first_version_goes_on_reading_its_data_as_it_did(name: str, key: str, then: str) -> None:
    fresh = compose.compose([f"dataset={name}", "dataset.path=x"]).tree
    saved = copy.deepcopy(fresh)
    for newer in (key, "damaged", "splits", "drop"):
        del saved["dataset"][newer]
    loaded = existing.load(saved).parts["dataset"]
    assert loaded[key] == then != fresh["dataset"][key]
    assert loaded == fresh["dataset"] | {key: then}
    assert existing.load(fresh).parts["dataset"] == fresh["dataset"]
