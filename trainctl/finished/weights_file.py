"""Write a run as one safetensors file: weights, cleaning, scalings, configuration and schema; and compute with it."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.finished import portable
from trainctl.run.model import build_model
from trainctl.settings import existing
from trainctl.store import restore

HEADER = 8  # bytes with the length of the header


def content(model: nn.Module, fitted: Fitted, metadata: Mapping[str, str]) -> bytes:
    """Return the file: ``model.*``, ``clean.*`` and ``scale.*`` with the names of a checkpoint, and the metadata."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()} | _fitted(fitted)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    written: bytes = in_order(safetensors.torch.save(plain, dict(metadata)))
    return written


def in_order(written: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted by name: the library writes them in another order each time."""
    length = int.from_bytes(written[:HEADER], "little")
    header = json.loads(written[HEADER : HEADER + length])
    header = {"__metadata__": dict(sorted(header.pop("__metadata__", {}).items())), **header}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(HEADER, "little") + text + written[HEADER + length :]


def _fitted(fitted: Fitted) -> dict[str, Tensor]:
    parts = {"clean": fitted.cleaner, "scale.input": fitted.input_scale, "scale.target": fitted.target_scale}
    named = {f"{prefix}.{key}": value for prefix, part in parts.items() if part for key, value in vars(part).items()}
    return {name: value for name, value in named.items() if value is not None}


class Rebuilt:
    """A run that is built again from the bytes of its file alone.

    Args:
        written: The file's content.
        dtype: Of raw rows.
        packages: Packages of the user's components.
    """

    def __init__(self, written: bytes, dtype: torch.dtype, packages: Sequence[str]) -> None:
        length = int.from_bytes(written[:HEADER], "little")
        metadata = json.loads(written[HEADER : HEADER + length])["__metadata__"]
        tensors = safetensors.torch.load(written)
        config = existing.load(json.loads(metadata["config"]) | {"components": list(packages)})
        schema = Schema.from_json(json.loads(metadata["schema"]), "the file")
        model, task = build_model(config, schema, torch.device("cpu"))
        named = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        model.load_state_dict(named)
        (self.stage,) = portable.stages(model.eval(), task, restore.fitted(tensors), schema, dtype, 1)

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the answers for raw rows."""
        with torch.no_grad():
            answers = self.stage.module(torch.from_numpy(rows))
        return {name: value.numpy() for name, value in zip(self.stage.outputs, answers, strict=True)}
