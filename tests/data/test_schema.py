"""What a run knows of its data is written as JSON and read again, whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.schemas import schema
from trainctl.components.dataset.base import Dataset, Encoding
from trainctl.data.schema import READERS, Schema, fingerprint
from trainctl.errors import CheckpointError, DataError
from trainctl.fileformat.table import Column

STORED = Path(__file__).parents[1] / "finished" / "formats" / "1" / "checkpoints" / "step-00000007.json"
FULL = Schema(
    task="classification",
    outputs=2,
    input_shape=(5,),
    class_names=("no", "yes"),
    input_names=("age", "city=Bern", "city=Ulm"),
    target_names=("y",),
    fingerprint="ab" * 32,
    vocabulary=("<pad>", "<unknown>"),
    columns=(Column("age"), Column("city", ("Bern", "Ulm"))),
    encoding=Encoding(delimiter="tab", window=5, text="words", level="words", lowercase=False),
    input_centre=(0.0, 0.0, 2459000.5, 0.0, 0.0),
    target_centre=(1e9, 0.0),
)


@pytest.mark.parametrize("known", [FULL, schema()], ids=["full", "plain"])
def test_a_schema_survives_json(known: Schema) -> None:
    assert Schema.from_json(json.loads(json.dumps(known.to_json())), "x.json") == known


def test_every_field_is_written_and_read() -> None:
    assert READERS.keys() == FULL.to_json().keys() == vars(FULL).keys()


def test_the_schema_of_the_first_format_is_read_and_written_alike() -> None:
    content = json.loads(STORED.read_text())["data"]
    stored = Schema.from_json(content, STORED)
    assert (stored.input_shape, stored.class_names) == ((4,), ("setosa", "versicolor", "virginica"))
    assert stored.to_json() == content
    for key in ("vocabulary", "columns", "encoding"):
        del content[key]
    assert Schema.from_json(content, STORED) == stored


def change(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.update({key: value})


DAMAGES = [
    (change("task", "sorting"), "data.task: expected one of classification, regression"),
    (change("outputs", "2"), "data.outputs: expected a whole number of at least 1"),
    (change("outputs", True), "data.outputs: expected a whole number of at least 1"),
    (change("input_shape", 5), "data.input_shape: expected a list of whole numbers"),
    (change("input_shape", [0]), "data.input_shape: expected a whole number of at least 1"),
    (change("class_names", ["no", 1]), "data.class_names: expected a list of strings"),
    (change("class_names", ["no"]), "data.class_names: expected 2 names, one for each output, found 1"),
    (change("fingerprint", None), "data.fingerprint: expected text"),
    (change("columns", ["age"]), "data.columns: expected a list of columns"),
    (change("columns", [{"name": "age"}]), "data.columns: expected a list of strings"),
    (change("encoding", []), "data.encoding: expected an object"),
    (change("encoding", {"window": "3"}), "data.encoding: expected window to be a whole number of at least 1"),
    (change("encoding", {"lowercase": 1}), "data.encoding: expected lowercase to be true or false"),
    (change("input_centre", [1.0]), "data.input_centre: expected 5 numbers, one for each column"),
    (change("target_centre", [1.0]), "data.target_centre: expected 2 numbers, one for each column"),
    (change("target_centre", [1.0, None]), "data.target_centre: expected a list of finite numbers"),
    (change("target_centre", [1.0, True]), "data.target_centre: expected a list of finite numbers"),
    (change("target_centre", [1.0, float("nan")]), "data.target_centre: expected a list of finite numbers"),
    (change("target_centre", [1.0, 10**400]), "data.target_centre: expected a list of finite numbers"),
    (change("target_centre", 1.0), "data.target_centre: expected a list of finite numbers"),
    (lambda content: content.pop("target_names"), "data.target_names is missing"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_a_field_that_is_not_of_its_type_is_named(damage: Callable[[dict[str, Any]], object], message: str) -> None:
    content = FULL.to_json()
    damage(content)
    with pytest.raises(CheckpointError) as caught:
        Schema.from_json(content, "x.json")
    assert str(caught.value) == f"x.json: {message}"


def test_what_is_no_object_is_no_schema() -> None:
    with pytest.raises(CheckpointError, match=r"x\.json: data is missing"):
        Schema.from_json(None, "x.json")


def test_the_schema_of_a_data_set_says_its_shape_names_and_fingerprint() -> None:
    dataset = Dataset(torch.zeros(3, 2), torch.tensor([0, 1, 0]), "classification", ("a", "b"), input_names=("x", "y"))
    described = Schema.of(dataset)
    assert (described.task, described.outputs, described.input_shape) == ("classification", 2, (2,))
    assert (described.class_names, described.input_names) == (("a", "b"), ("x", "y"))
    assert described.fingerprint == fingerprint(dataset) != schema().fingerprint


def test_data_of_another_shape_or_in_a_different_order_cannot_be_measured() -> None:
    trained = schema(class_names=("a", "b"), input_names=("x", "y"))
    schema(class_names=("a", "c"), input_names=("x", "y")).require(trained, "csv")  # other names are the user's choice
    for other, message in (
        (schema(input_shape=(3,)), r"dataset=csv: row shape is \(3,\), but the run was trained with \(2,\)"),
        (schema(class_names=("b", "a")), "dataset=csv: the classes are in a different order than in training"),
        (schema(class_names=("a", "b"), input_names=("y", "x")), "the columns are in a different order"),
    ):
        with pytest.raises(DataError, match=message):
            other.require(trained, "csv")


def test_what_differs_is_named() -> None:
    before = schema(input_names=("a", "b"))
    assert schema(input_names=("b", "a"), outputs=3).differences(before) == [
        "the columns are in a different order: a, b in the checkpoint, b, a in this run",
        "the number of outputs was 2, is now 3",
    ]
    names = tuple(f"x{number}" for number in range(7))
    assert schema(input_names=("a", "b", *names)).differences(before) == [
        "different columns: +x0; +x1; +x2; +x3; +x4; and 2 more"
    ]
    assert before.differences(before) == []
