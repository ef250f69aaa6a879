"""A CSV file of the user's own."""

import math

import pytest
import torch
import yaml

from tests.conftest import ROOT
from tests.schemas import schema
from trainctl.components.dataset.csv import csv
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.table import Column

KEYS = {
    key: value for key, value in yaml.safe_load((ROOT / "conf/dataset/csv.yaml").read_text()).items() if key != "name"
} | {"schema": None}
TASKS = [
    # targets, given task, found task, class names
    (["a", "b", "a"], "auto", "classification", ("a", "b")),
    (["0", "1", "0", "1"], "auto", "classification", ("0", "1")),
    (["10", "9", "9", "10"], "auto", "classification", ("9", "10")),
    (["1", "2", "3"], "auto", "regression", ()),
    (["0.5", "0.5", "1"], "auto", "regression", ()),
    (["1", "2", "3"], "classification", "classification", ("1", "2", "3")),
    (["0", "1", "0", "1"], "regression", "regression", ()),
    ([str(i % 25) for i in range(100)], "auto", "regression", ()),
]


@pytest.fixture
def load(tmp_path):
    def read(content, target="y", **changes):
        path = tmp_path / "my.csv"
        path.write_text(content, encoding="utf-8")
        return csv(**KEYS | {"path": str(path), "target": target} | changes)

    return read


def test_numbers_stay_and_categories_become_columns(load):
    found = load("id,age,city,y\n7,1.5,Ulm,no\n8,,Bern,yes\n9,3,Ulm,no\n", drop=["id"])
    assert found.input_names == ("age", "city=Bern", "city=Ulm")
    expected = torch.tensor([[1.5, 0, 1], [math.nan, 1, 0], [3, 0, 1]])
    torch.testing.assert_close(found.inputs, expected.double(), equal_nan=True)
    assert found.targets.tolist() == [0, 1, 0]
    assert found.class_names == ("no", "yes")
    assert found.locate(1) == "row 1 (my.csv, line 3)"


@pytest.mark.parametrize(("targets", "given", "task", "names"), TASKS)
def test_the_task_is_found_or_given(load, targets, given, task, names):
    found = load("\n".join(["x,y", *(f"{row},{target}" for row, target in enumerate(targets))]), task=given)
    assert (found.task, found.class_names) == (task, names)
    if task == "regression":
        assert found.targets.flatten().tolist() == [float(target) for target in targets]
        assert found.target_names == ("y",)
    else:
        assert [names[label] for label in found.targets] == targets


def test_missing_targets_are_marked(load):
    assert load("x,y\n1,a\n2,\n3,b\n").targets.tolist() == [0, -1, 1]
    assert load("x,y\n1,0.5\n2,NA\n3,1\n").targets[1].isnan().all()


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("a,b\n1,2\n", {}, "line 1: column y is missing"),
        ("a,y\n1,2\n", {"drop": ["c"]}, "column c is missing"),
        ("y,z\n1,2\n", {"drop": ["z"]}, "has no columns other than the target"),
        ("a,y\n1,u\n2,u\n", {}, "column y: has only one class ('u'); there is nothing to learn"),
        ("a,y\n1,\n2,NA\n", {}, "column y: has no value in 2 rows"),
        ("a,y\n1,0.5\n2,x\n", {"task": "regression"}, "line 3, column y: 'x' is not a number"),
        ("a,y\n" + "".join(f"1,{i / 7}\n" for i in range(30)) + "1,x\n", {}, "line 32, column y: 'x' is not a number"),
    ],
)
def test_what_cannot_be_learned_is_named(load, content, changes, message):
    with pytest.raises(DataError) as caught:
        load(content, **changes)
    assert message in str(caught.value)


def test_the_target_has_to_be_named_and_cannot_be_left_out(load):
    with pytest.raises(ConfigError, match="this is the target"):
        load("a,y\n1,2\n", drop=["y"])
    with pytest.raises(
        ConfigError, match=r"dataset\.categorical=\[y\]: this is the target; use dataset\.task=classification"
    ):
        load("a,y\n1,2\n", categorical=["y"])


def test_a_finished_runs_columns_classes_and_task_are_used_for_another_file(load):
    trained = schema(columns=(Column("city", ("Bern", "Ulm")), Column("age")))
    found = load("age,more,city,y\n1,x,Ulm,yes\n2,x,Ulm,yes\n", schema=trained, drop=["id"])
    assert found.inputs.tolist() == [[0, 1, 1], [0, 1, 2]]
    assert found.targets.tolist() == [1, 1]
    with pytest.raises(DataError, match="line 2, column y: 'perhaps' is not one of the run's classes"):
        load("age,city,y\n1,Ulm,perhaps\n", schema=trained)


ROWS = "".join(f"{row},{row % 7 / 4},{'ab'[row % 2]},{row % 5 + 0.5},{row % 3 * 10}\n" for row in range(30))


def test_several_targets_are_a_regression(load):
    found = load("id,x,c,u,v\n" + ROWS, target=["u", "v"], drop=["id"])
    assert (found.task, found.target_names, found.outputs) == ("regression", ("u", "v"), 2)
    assert found.targets[:2].tolist() == [[0.5, 0], [1.5, 10]]
    assert found.input_names == ("x", "c=a", "c=b")
    with pytest.raises(ConfigError, match="several targets are a regression"):
        load("id,x,c,u,v\n" + ROWS, target=["u", "v"], task="classification")
    with pytest.raises(ConfigError, match="list each column only once"):
        load("id,x,c,u,v\n" + ROWS, target=["u", "u"])


def test_without_a_target_all_columns_are_inputs(load):
    found = load("id,x,c,u,v\n" + ROWS, target=None)
    assert (found.no_targets, found.target_names, found.inputs.shape) == (True, (), (30, 6))


def test_columns_are_kept_and_dropped_by_patterns(load):
    content = "id,gene_1,gene_2,age,y\n" + "1,2,3,4,a\n2,3,4,5,b\n" * 2
    assert load(content, columns=["gene_*"]).input_names == ("gene_1", "gene_2")
    found = load(content, drop=["gene_*", "id"])
    assert found.input_names == ("age",)
    assert ("unused", "id, gene_1, gene_2 (dataset.drop)") in found.inferred
    with pytest.raises(ConfigError, match=r"dataset\.drop=\[tissue_\*\]: matches no column"):
        load(content, drop=["tissue_*"])
    with pytest.raises(DataError, match=r"column aged is missing; did you mean age\?"):
        load(content, categorical=["aged"])
    assert load(content, categorical=["gene_*"]).input_names == (
        "id",
        "gene_1=2",
        "gene_1=3",
        "gene_2=3",
        "gene_2=4",
        "age",
    )


def test_numbers_with_a_letter_are_classes_of_a_target_and_amounts_of_an_input(load):
    found = load("size,y\n" + "".join(f"{row % 5}.5 kg,{row % 3 + 5}a\n" for row in range(20)))
    assert (found.input_names, found.class_names) == (("size",), ("5a", "6a", "7a"))


@pytest.mark.parametrize(
    ("target", "reason", "other"),
    [
        ("c", "", ""),
        (
            "v",
            "its few whole numbers are treated as classes; to predict quantities: dataset.task=regression",
            "dataset.task=regression",
        ),
        ("u", "its numbers have decimals", ""),
        ("id", "its whole numbers have 30 distinct values; as classes: dataset.task=classification", ""),
    ],
)
def test_the_reason_of_the_task_is_given_with_the_setting_that_changes_it(load, target, reason, other):
    found = load("id,x,c,u,v\n" + ROWS, target=target)
    assert (found.task_reason, found.other_task) == (reason, other)


@pytest.mark.parametrize(
    ("header", "row", "note"),
    [
        (
            "Id,y",
            lambda row: f"{row},{'ab'[row % 7 % 2]}",
            "column Id numbers the rows (0, 1, 2, ...): is it an index?",
        ),
        (
            "customer_id,y",
            lambda row: f"{row * 7919 % 1009},{'ab'[row % 7 % 2]}",
            "a different whole number in every row",
        ),
        ("x,y", lambda row: f"{row % 4},{'ab'[row % 2]}", "column x alone determines the target"),
        ("x,y", lambda row: f"{row / 3:.6f},{row / 3 * 2 + 1:.6f}", "column x alone determines the target"),
        ("x,y", lambda row: f"{row % 11 / 2 if row % 6 else -999},{'ab'[row % 7 % 2]}", "set dataset.missing=[-999]"),
        (
            "x,y",
            lambda row: f"{row % 5 * row % 4},{['Yes', 'yes', 'no'][row % 3]}",
            "dataset.ignore_case=true makes them one",
        ),
        ("x,y", lambda row: f"{['Bern', 'bern', 'Ulm'][row % 3]},{'ab'[row % 7 % 2]}", "dataset.ignore_case=true"),
        ("x,y", lambda row: f"{row % 13 / 2},{'ab'[row % 7 % 2]}", ""),
    ],
)
def test_what_is_odd_about_a_column_is_noted(load, header, row, note):
    found = load("\n".join([header, *(row(number) for number in range(40))]))
    assert len(found.notes) == bool(note), found.notes
    assert not note or note in found.notes[0]


def test_an_index_without_a_name_is_not_used(load):
    found = load(",x,y\n" + "".join(f"{row},{row % 13 / 2},{'ab'[row % 7 % 2]}\n" for row in range(30)))
    assert found.input_names == ("x",)
    assert ("unused", "column_1 (unnamed row-number column)") in found.inferred


def test_an_unknown_category_is_none_of_them_and_noted(load):
    trained = schema(columns=(Column("city", ("Bern", "Ulm")),), class_names=("a", "b"))
    found = load("city,y\nUlm,a\nRome,b\n", schema=trained)
    assert found.inputs.tolist() == [[0, 1], [0, 0]]
    assert "'Rome' (1 row) did not occur in the training data" in found.notes[0]
    with pytest.raises(DataError, match=r"'Rome' is not one of the categories in the training data.*unknown=ignore"):
        load("city,y\nUlm,a\nRome,b\n", schema=trained, unknown="error")
