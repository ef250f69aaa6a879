"""The run's own knobs are checked as a whole, typed, and told apart from contradictions."""

import copy

import pytest

from trainctl.errors import ConfigError
from trainctl.settings import component, compose, config, validation

CONTRADICTIONS = [
    ({"loop.epochs": None}, "loop.epochs=null needs another budget", "nothing ends the run"),
    ({"loop.micro_batches": 33}, "loop.micro_batches=33 exceeds loop.batch_size=32", "parts without a sample"),
    (
        {"split.val_fraction": 0.5, "split.test_fraction": 0.5},
        "split.val_fraction=0.5 and split.test_fraction=0.5",
        "exactly nothing left",
    ),
    ({"split.val_fraction": 0.9}, "leave nothing to train on", "less than nothing"),
    ({"loop.max_time": "0s"}, "loop.max_time=0s: expected more than 0 s", "no time"),
    ({"loop.max_time": "0.0h"}, "loop.max_time=0.0h: expected more than 0 s", "no time in another unit"),
    ({"loop.max_time": f"{10**400}s"}, "expected at most 10000d", "more than a float holds"),
    (
        {"distributed.timeout": "10001d"},
        "distributed.timeout=10001d: expected at most 10000d",
        "more than a lock waits",
    ),
    ({"precision": "fp16", "device": "cpu"}, "precision=fp16 needs a CUDA device; on cpu use precision=bf16", "a CPU"),
    ({"precision": "fp16", "device": "mps"}, "precision=fp16 needs a CUDA device; on mps", "Metal"),
]
SENSIBLE = [
    ({}, "the default run"),
    ({"loop.epochs": None, "loop.max_steps": 10}, "steps end the run"),
    ({"loop.micro_batches": 32}, "a sample each"),
    ({"loop.micro_batches": 1000, "loop.batch_size": "full"}, "the size is not known yet"),
    ({"split.val_fraction": 0.49, "split.test_fraction": 0.5}, "a little is left"),
    ({"loop.max_time": "10000d", "distributed.timeout": "10000d"}, "the longest times"),
    ({"precision": "fp16", "device": "cuda:1"}, "a GPU"),
    ({"precision": "fp16"}, "auto may find a GPU"),
    ({"precision": "bf16", "device": "cpu"}, "bf16 works everywhere"),
    ({"seed": 4294967295}, "the largest seed"),
]


@pytest.fixture
def tree():
    """Return the default configuration, to be changed at will."""
    return copy.deepcopy(compose.compose([]).tree)


def put(tree, changes):
    for key, value in changes.items():
        *path, leaf = key.split(".")
        node = tree
        for word in path:
            node = node[word]
        node[leaf] = value
    return tree


@pytest.mark.parametrize(("changes", "message", "reason"), CONTRADICTIONS, ids=[row[-1] for row in CONTRADICTIONS])
def test_settings_that_contradict_each_other_are_named(tree, changes, message, reason):
    found = validation.problems(put(tree, changes))
    assert len(found) == 1, reason
    assert message in found[0], reason


@pytest.mark.parametrize(("changes", "reason"), SENSIBLE, ids=[row[-1] for row in SENSIBLE])
def test_sensible_settings_have_no_problem(tree, changes, reason):
    assert validation.problems(put(tree, changes)) == [], reason


def test_everything_that_is_wrong_is_told_at_once(tree):
    put(tree, {"seed": -1, "loop.epochs": 0, "optimizer.lr": "big", "augment.none.name": "nothing"})
    tree["extra"] = 1
    del tree["scale"], tree["loop"]["max_time"]
    with pytest.raises(ConfigError) as caught:
        validation.load(tree)
    assert [line.split(":")[0].split("=")[0].split(" is ")[0] for line in str(caught.value).splitlines()] == [
        "extra", "scale", "seed", "loop.max_time", "loop.epochs", "augment.none.name", "optimizer.lr",
    ]  # fmt: skip


@pytest.mark.parametrize("section", sorted(config.SECTIONS))
def test_a_section_that_is_a_value_is_answered_with_its_settings(tree, section):
    tree[section] = 3
    found = validation.problems(tree)
    assert found[0].startswith(f"{section}=3: is a section, not a value; set one of: {section}.")


@pytest.mark.parametrize("group", component.GROUPS)
def test_a_group_that_is_a_value_is_answered_with_its_members(tree, group):
    tree[group] = 3
    assert validation.problems(tree)[0].startswith(f"{group}=3: expected a member of the group (choose from: ")


def test_loading_types_the_sections_and_keeps_the_tree(tree):
    loaded = validation.load(tree)
    assert (loaded.seed, loaded.loop.batch_size, loaded.split.val_fraction, loaded.output.root) == (0, 32, 0.15, "runs")
    assert loaded.parts["optimizer"] == tree["optimizer"]
    assert loaded.tree == tree


def test_members_of_a_group_that_adds_up_are_a_list_in_order():
    loaded = compose.compose(["regularizer=[l2,l1]"])
    assert [member["name"] for member in loaded.members("regularizer")] == ["l2", "l1"]
    assert [member["name"] for member in loaded.members("optimizer")] == ["adam"]


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172800)])
def test_the_wall_clocks_budget_is_given_in_seconds(tree, text, seconds):
    assert validation.load(put(tree, {"loop.max_time": text})).loop.max_seconds == seconds


def test_every_setting_of_the_defaults_file_is_a_knob(tree):
    assert set(tree) == {*config.knobs(), *config.SECTIONS, *component.GROUPS}
    for name, cls in config.SECTIONS.items():
        assert list(tree[name]) == list(config.knobs(cls))


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("optimizer=sgd", "optimizer=sgd", "what is fit for a file stays"),
        ("a b/c", "a-b-c", "the rest becomes a dash"),
        ("../..", "run", "never a path"),
        ("", "run", "never empty"),
        ("[8,16]", "8,16", "no dash at the ends"),
        ("x" * 100, "x" * 60, "not too long"),
        ("é", "run", "letters of any file system"),
    ],
)
def test_text_becomes_a_part_of_a_file_name(text, name, reason):
    assert config.slug(text) == name, reason


def test_leaves_are_paths_to_values():
    assert config.leaves({"a": {"b": {"c": 1}, "d": []}, "e": None, "f": {}}) == {
        "a.b.c": 1,
        "a.d": [],
        "e": None,
        "f": {},
    }
