"""Describe a run to whoever has only its exported file: names, vocabulary, formats, origin; each entry is a text."""

import json
from pathlib import PurePath
from typing import Any

import torch

from trainctl.components.loss.base import Task
from trainctl.data.schema import Schema
from trainctl.fileformat import tokens
from trainctl.finished.open import Finished
from trainctl.finished.portable import ANSWERS, ROWS
from trainctl.store import rundir

FORMAT = "1"  # of these entries; a change that a reader would misread needs a new number
# Entries of the schema that are entries of the metadata, too, if a run has them.
NAMES = ("class_names", "input_names", "target_names", "columns", "vocabulary")
LOCAL = ("output", "device", "threads", "resume")  # settings of the machine, not of the run


def describe(run: Finished, which: str, task: Task, dtype: torch.dtype) -> dict[str, str]:
    """Return the metadata of an exported file: texts, and JSON where an entry is more than a text.

    Args:
        run: The run.
        which: The weights: ``best`` or ``last``.
        task: The model's task.
        dtype: Of raw rows.
    """
    manifest, schema = run.saved.manifest, run.schema.to_json()
    best = manifest.best if which == "best" else None
    entries: dict[str, Any] = {
        "format": FORMAT,
        "trainctl": rundir.version(),
        "torch": str(torch.__version__),
        "run": run.directory.name,
        "weights": "best" if best else "last",
        "step": str(manifest.state["best"]["step"] if best else manifest.step),
        "sha256": (best or manifest.last).sha256,
        "task": task,
        "input": {
            "name": ROWS,
            "dtype": str(dtype).removeprefix("torch."),
            "shape": ["batch", *run.schema.input_shape],
        },
        "outputs": list(ANSWERS[task]),
        "model": run.config.parts["model"],
    }
    entries |= {name: schema[name] for name in NAMES if schema[name]}
    if run.schema.encoding.level:
        entries["text"] = _reading(run.schema)
    return {name: value if isinstance(value, str) else as_json(value) for name, value in entries.items()}


def complete(run: Finished) -> dict[str, str]:
    """Return the entries from which a run can be built again: its configuration and the schema of its data.

    Paths of this machine are reduced to their last name.
    """
    settings = {key: _without_paths(value) for key, value in run.config.tree.items() if key not in LOCAL}
    return {"config": as_json(settings), "schema": as_json(run.schema.to_json())}


def _reading(schema: Schema) -> dict[str, Any]:
    """Return how a text becomes token ids."""
    encoding = schema.encoding
    normalize = encoding.normalize or "legacy"
    found = {
        "steps": "strip, lower if lowercase, normalize (unicodedata.normalize), tokens, cut, ids, pad",
        "level": encoding.level,
        "lowercase": bool(encoding.lowercase),
        "normalize": {"nfc": "NFC", "nfkc": "NFKC"}.get(normalize),
        "length": schema.input_shape[0],
        "padding": 0,
        "unknown": 1,
    }
    if encoding.level == "words":
        found["tokens"] = tokens.pattern(normalize).pattern  # for re.findall
    return found


def _without_paths(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value


def as_json(value: object) -> str:
    """Return a value as JSON; names that are not valid Unicode are escaped, as UTF-8 cannot hold them."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text
