"""A schema for tests, of which only what matters is given."""

from typing import Any

from trainctl.data.schema import Schema


def schema(**fields: Any) -> Schema:
    """Return the schema of a classification of tables with two columns, with some fields changed."""
    names = fields.get("class_names", ("no", "yes"))
    defaults = {
        "task": "classification", "outputs": len(names), "input_shape": (2,), "class_names": names, "input_names": (),
        "target_names": (), "fingerprint": "0" * 64,
    }  # fmt: skip
    return Schema(**defaults | fields)
