"""A component is found by its group and name, and checked from its source text alone."""

import sys
from typing import Annotated

import pytest
import torch

from trainctl.errors import ConfigError
from trainctl.run import factory
from trainctl.settings import component, compose, spelling

COSINE = {"name": "cosine", "warmup_steps": 0, "final_fraction": 0.0}
PROBLEMS = [
    (
        {"name": "cosin"},
        ["schedule.name=cosin: no such schedule; did you mean cosine? (choose from: cosine, "],
        "a misspelt name",
    ),
    ({"name": "x"}, ["schedule.name=x: no such schedule (choose from: cosine, "], "nothing is near"),
    ({}, ["schedule.name is missing", "choose from: cosine, "], "no name"),
    ({"name": 3}, ["schedule.name=3: no such schedule"], "a name that is no text"),
    ({"name": "../cosine"}, ["schedule.name=../cosine: no such schedule"], "a name that is a path"),
    (
        {**COSINE, "warmup": 3},
        ["schedule.warmup: schedule cosine has no such parameter; did you mean warmup_steps?"],
        "unknown key",
    ),
    (
        {**COSINE, "total_steps": 3},
        ["schedule.total_steps: schedule cosine has no such parameter"],
        "what assemble supplies",
    ),
    (
        {"name": "cosine", "warmup_steps": 0},
        ["schedule.final_fraction is missing", "a number in [0, 1]"],
        "missing key",
    ),
    ({**COSINE, "warmup_steps": -1}, ["schedule.warmup_steps=-1: expected a whole number in [0, inf)"], "out of range"),
    (
        {**COSINE, "final_fraction": None},
        ["schedule.final_fraction=null: expected a number in [0, 1]"],
        "null is spelt as typed",
    ),
    (
        {**COSINE, "final_fraction": True},
        ["schedule.final_fraction=true: expected a number in [0, 1]"],
        "true is spelt as typed",
    ),
]
MINE = '''
"""Stochastic gradient descent, as a component of a user's own."""
from pathlib import Path
from typing import Annotated

import torch

Path("{canary}").touch()
Share = Annotated[float, "[0, 1]"]


def mine(*, params, lr: Share, power: int | None) -> torch.optim.Optimizer:
    """Return plain stochastic gradient descent."""
    return torch.optim.SGD(params, lr=lr)
'''


@pytest.fixture
def my_package(tmp_path, monkeypatch):
    """Return the name of a package in the working directory that leaves a canary when it is imported."""
    name = f"my_package_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name / "optimizer"
    folder.mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text('from pathlib import Path\nPath("canary_of_the_package").touch()\n')
    (folder / "mine.py").write_text(MINE.replace("{canary}", "canary"))
    yaml = tmp_path / "conf" / "optimizer" / "mine.yaml"
    yaml.parent.mkdir(parents=True)
    yaml.write_text("name: mine\nlr: 0.1\npower: null\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


@pytest.mark.parametrize(("given", "parts", "reason"), PROBLEMS)
def test_each_problem_is_one_message_with_key_value_and_what_is_allowed(given, parts, reason):
    found = component.problems("schedule", "schedule", given)
    assert len(found) == 1, reason
    assert all(part in found[0] for part in parts), found


def test_a_right_configuration_has_no_problem():
    assert component.problems("schedule", "schedule", COSINE) == []


def test_all_problems_are_told_at_once():
    given = {"name": "cosine", "warmup_steps": "many", "typo": 1}
    assert [line.split(":")[0].split("=")[0] for line in component.problems("schedule", "schedule", given)] == [
        "schedule.typo", "schedule.warmup_steps", "schedule.final_fraction is missing",
    ]  # fmt: skip


def test_settings_of_a_member_that_is_not_chosen_say_so():
    assert component.problems("augment", "augment.noise", {"std": 0.5}) == [
        "augment.noise.std belongs to augment=noise, which is not selected; add augment=[noise]"
    ]


def test_messages_name_the_place_in_the_configuration():
    assert component.problems("augment", "augment.flip", {"name": "flip", "probability": 2})[0].startswith(
        "augment.flip.probability=2:"
    )


@pytest.mark.parametrize(
    ("word", "options", "ending", "reason"),
    [
        ("adan", ["adam", "sgd"], "; did you mean adam? (choose from: adam, sgd)", "the nearest, then all"),
        ("zzz", ["adam", "sgd"], " (choose from: adam, sgd)", "nothing is near"),
        ("adam", [], " (there are none)", "nothing to choose from"),
        ("adan", iter(["adam"]), "; did you mean adam? (choose from: adam)", "options may come from an iterator"),
    ],
)
def test_the_nearest_name_is_offered(word, options, ending, reason):
    assert spelling.nearest(word, options) == ending, reason


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0, "0"),
        (0.1, "0.1"),
        ("a", "a"),
        (1e-08, "1e-08"),
        ([32, 64], "[32,64]"),
        ([], "[]"),
        ([None, {"a": True}], "[null,{a:true}]"),
    ],
)
def test_values_are_shown_as_the_command_line_spells_them(value, text):
    assert spelling.spell(value) == text


def test_a_signature_resolves_the_names_of_its_group():
    parameters = component.signature(component.source("optimizer", "sgd")).parameters
    assert parameters["lr"] == Annotated[float, "(0, inf)"]
    assert parameters["nesterov"] is bool


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def other(): ...", "defines no function broken()"),
        ("def broken(", "not a Python module"),
        ("broken = 3", "defines no function"),
    ],
)
def test_a_module_without_its_component_is_named(tmp_path, text, parts):
    path = tmp_path / "optimizer" / "broken.py"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        component.signature(path)
    assert str(path) in str(caught.value)
    assert parts in str(caught.value)


def test_names_leave_out_shared_types():
    assert {"cosine", "exponential", "none", "step"} <= set(component.names("schedule"))
    assert "base" not in component.names("schedule")
    assert "__init__" not in component.names("schedule")
    assert [name for group in component.GROUPS for name in component.names(group) if name.startswith("_")] == []


def test_a_users_component_is_checked_without_being_imported_and_built_when_asked(tmp_path, my_package):
    tree = compose.compose([f"components=[{my_package}]", "optimizer=mine", "optimizer.lr=0.5"]).tree
    with pytest.raises(ConfigError, match=r"optimizer\.lr=2: expected a number in \[0, 1\]"):
        compose.compose([f"components=[{my_package}]", "optimizer=mine", "optimizer.lr=2"])
    assert list(tmp_path.glob("canary*")) == []

    weights = [torch.zeros(2, requires_grad=True)]
    optimizer = factory.build("optimizer", tree["optimizer"] | {"power": None}, [my_package], params=weights)
    assert (optimizer.defaults["lr"], optimizer.param_groups[0]["params"]) == (0.5, weights)
    assert {path.name for path in tmp_path.glob("canary*")} == {"canary", "canary_of_the_package"}


def test_a_users_component_without_its_package_is_unknown(tmp_path, my_package):
    with pytest.raises(ConfigError, match=r"optimizer\.name=mine: no such optimizer"):
        compose.compose(["optimizer=mine"])
    assert list(tmp_path.glob("canary*")) == []


def test_of_two_components_with_one_name_ours_is_taken(tmp_path, my_package):
    (tmp_path / my_package / "optimizer" / "adam.py").write_text("def adam(*, params): ...")
    assert component.source("optimizer", "adam", [my_package]) == component.source("optimizer", "adam")


def test_building_hands_over_only_what_a_component_takes():
    multiplier = factory.build("schedule", {"name": "none"}, total_steps=10, steps_per_epoch=2)
    assert multiplier(3) == 1.0
