"""What a served run expects and returns, as plain values: the answer of `/schema`, from which the page makes its form."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import torch

from trainctl.components.scale.base import Affine
from trainctl.data.centre import add
from trainctl.data.schema import Schema
from trainctl.fileformat.table import Column
from trainctl.finished.features import features
from trainctl.finished.predictor import Predictor

PART = "fraction: 0.05 is 5%"  # the unit of a column of percentages
TYPES = {
    "table": ["application/json", "application/x-ndjson", "text/csv"],
    "series": ["application/json", "application/x-ndjson", "text/csv"],
    "text": ["application/json", "application/x-ndjson", "text/csv", "text/plain"],
    "image": ["image/*", "application/json"],
}


def describe(
    predictor: Predictor, dataset: Mapping[str, Any], name: str, step: int, limits: dict[str, Any]
) -> dict[str, Any]:
    """Return what a run expects and returns.

    Args:
        predictor: Its model.
        dataset: The settings of its data set.
        name: Of the run.
        step: Number of optimizer steps that its weights were trained for.
        limits: Of a request.
    """
    schema = predictor.schema
    kind = features(schema).kind
    about: dict[str, Any] = {
        "run": name,
        "step": step,
        "task": predictor.task,
        "input": kind,
        "shape": list(schema.input_shape),
        "accepts": TYPES[kind],
        "classes": list(schema.class_names),
        "targets": list(schema.target_names),
        "columns": ["row", *predictor.columns],
        "limits": limits,
    }
    if kind == "image" and predictor.task == "reconstruction":
        about["pixels"] = pixels(predictor.fitted.input_scale)
    if kind in ("table", "series"):
        about["inputs"] = inputs(predictor)
    if kind == "series":
        about |= {"time": dataset.get("time"), "entity": dataset.get("entity")}
        about["example"] = window(about["inputs"], schema.input_shape[0], about["time"], about["entity"])
    if kind == "text":
        about["text"] = {
            "column": schema.encoding.text,
            "level": schema.encoding.level,
            "length": schema.input_shape[0],
        }
    return about


def pixels(scale: Affine) -> dict[str, list[float]]:
    """Return how the numbers of a reconstruction become pixels in 0..255: ``(number - offset) / factor``, by channel."""
    return {name: getattr(scale, name).reshape(-1).tolist() for name in ("factor", "offset")}


def inputs(predictor: Predictor) -> list[dict[str, Any]]:
    """Return the columns of a row: name, type, categories, and a typical value."""
    schema = predictor.schema
    width = schema.input_shape[-1]
    middle = add(predictor.fitted.input_scale.inverse(torch.zeros(1, width)), schema.input_centre).reshape(-1).tolist()
    found, place = [], 0
    for column in columns_of(schema):
        found.append(described(column, middle[place] if place < len(middle) else 0.0))
        place += max(1, len(column.categories))
    return found


def window(columns: Sequence[Mapping[str, Any]], rows: int, time: str | None, entity: str | None) -> str:
    r"""Return a typical window as CSV, with the columns that order its rows and say which series they belong to.

    >>> window([{"name": "load", "example": 3.5}], 2, "day", None)
    'day,load\n1,3.5\n2,3.5\n'
    """
    names = [name for name in (entity, time) if name is not None]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [column for column in columns if column["name"] not in names]  # the time may be an input, too
    writer.writerow([*names, *(column["name"] for column in columns)])
    for row in range(1, rows + 1):
        placed = ["A" if name == entity else row for name in names]
        writer.writerow([*placed, *(column["example"] for column in columns)])
    return text.getvalue()


def columns_of(schema: Schema) -> Sequence[Column]:
    """Return the columns that a record has; those of an array are called ``input_0``, ``input_1``, ..."""
    names = schema.input_names or tuple(f"input_{index}" for index in range(schema.input_shape[-1]))
    return schema.columns or tuple(map(Column, names))


def described(column: Column, middle: float) -> dict[str, Any]:
    """Return what a column contains.

    >>> described(Column("age"), 31.25)
    {'name': 'age', 'type': 'number', 'example': 31.25}
    >>> from trainctl.fileformat.number import NumberFormat
    >>> described(Column("discount", number=NumberFormat(unit="%")), 0.05)["unit"]
    'fraction: 0.05 is 5%'
    """
    if column.categories:
        categories = list(column.categories)
        return {"name": column.name, "type": "category", "categories": categories, "example": categories[0]}
    middle = middle if math.isfinite(middle) else 0.0
    if column.date == "time":
        minutes = round(60 * min(max(middle, 0.0), 23.98))
        return {"name": column.name, "type": "time", "example": f"{minutes // 60:02d}:{minutes % 60:02d}"}
    if column.date:
        day = min(max(1, int(column.origin + middle) + 1), date.max.toordinal())
        return {"name": column.name, "type": "date", "example": date.fromordinal(day).isoformat()}
    found: dict[str, Any] = {"name": column.name, "type": "number", "example": float(f"{middle:.4g}")}
    unit = column.number.unit  # a number of JSON is what the model reads, and that of 5% is 0.05
    return found | ({"unit": PART if unit == "%" else unit} if unit else {})
