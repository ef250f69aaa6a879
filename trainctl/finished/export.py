"""Export a run as a file that needs neither trainctl nor the run; compared with `predict` before it appears."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainctl.errors import ConfigError, StorageError, TrainctlError, format_bytes
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.waiting import waiting
from trainctl.finished import (
    agreement,
    description,
    int8_file,
    int8_layers,
    onnx_file,
    portable,
    torch_file,
    weights_file,
)
from trainctl.finished.open import Finished, load_model
from trainctl.finished.portable import Stage
from trainctl.store import directories, files

Format = Literal["onnx", "torch", "safetensors"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Args:
        files: The files, the first stage first.
        size: Size of all of them [bytes].
        rows: How many validation rows were compared.
        difference: The largest difference from `predict`, in the answers' unit.
        notes: What the user is to know, a line each.
    """

    files: tuple[Path, ...]
    size: int
    rows: int
    difference: float
    notes: tuple[str, ...]


def export(run: Finished, which: str, form: Format, target: Path, *, opset: int, stages: int) -> Exported:
    """Export a run.

    Args:
        run: The run.
        which: The weights: ``best`` or ``last``.
        form: Kind of the file.
        target: The file, or, of several stages, the directory of their files; must not exist.
        opset: Version of the ONNX operators.
        stages: Number of files that the model is cut into, by depth.

    Raises:
        ConfigError: If the model cannot be exported in this form, or be cut into so many stages.
        DataError: If the run's data cannot be read, whose validation rows are compared.
        CheckpointError: If configuration and weights do not match.
        ToleranceError: If the file computes something else than `predict`.
        StorageError: If it cannot be written.
    """
    weights = run.weights(which)
    rows = agreement.validation_rows(run)
    model, task, _ = load_model(run, weights)
    coarse = int8_layers.computes_with_8_bits(model)
    found = agreement.expected(run, which, rows, task, weights.fitted, coarse=coarse)
    about = description.describe(run, which, task, rows.dtype)
    name = run.directory.name
    with waiting(f"exporting {name}"):
        if form == "safetensors":
            content = weights_file.content(model, weights.fitted, about | description.complete(run))
            rebuilt = weights_file.Rebuilt(content, rows.dtype, run.config.components)
            difference, contents = agreement.largest_difference(found, rebuilt, name), [content]
        else:
            integers, fitted = form == "onnx", weights.fitted
            parts = portable.stages(model, task, fitted, run.schema, rows.dtype, stages, integers=integers)
            described = [about | _place(part, index, stages) for index, part in enumerate(parts)]
            convert = _as_onnx if form == "onnx" else _as_torch
            contents, difference = convert(parts, described, found, name, opset)
    paths = _write(target, contents, SUFFIXES[form])
    return Exported(paths, sum(map(len, contents)), len(rows), difference, tuple(_notes(run)))


def _place(stage: Stage, index: int, count: int) -> dict[str, str]:
    """Return the entries that say which stage a file is; none if there is only one."""
    if count == 1:
        return {}
    names = {"inputs": list(stage.inputs), "outputs": list(stage.outputs)}
    return {"stage": json.dumps({"number": index + 1, "of": count} | names)}


def _as_onnx(
    stages: Sequence[Stage], described: Sequence[dict[str, str]], found: agreement.Expected, name: str, opset: int
) -> tuple[list[bytes], float]:
    """Return the files of stages, and how far they are from `predict`.

    PyTorch has two exporters, which know different operators and have different errors. What the first one cannot
    convert, or converts to something else, the second one may.
    """
    for stage in stages:
        _check_size(stage)
    troubles: list[TrainctlError] = []
    for exporter in onnx_file.exporters(opset):
        try:
            with reading(name, ConfigError, f"cannot be converted to ONNX with opset {opset}"):
                converted = [_with_integers(stage, exporter(stage, opset)) for stage in stages]
                contents = [
                    onnx_file.with_metadata(content, entries | {"opset": str(opset)}, opset)
                    for content, entries in zip(converted, described, strict=True)
                ]
                session = onnx_file.Session(contents)
                return contents, agreement.largest_difference(found, session, name)
        except TrainctlError as error:
            troubles.append(error)
    raise troubles[0]


def _with_integers(stage: Stage, content: bytes) -> bytes:
    rounded = any(isinstance(module, int8_layers.RoundedLayer) for module in stage.module.modules())
    return int8_file.with_integers(content) if rounded else content


def _check_size(stage: Stage) -> None:
    size = sum(tensor.nbytes for tensor in stage.module.state_dict().values())
    if size > onnx_file.LARGEST:
        raise ConfigError(
            f"format=onnx: {format_bytes(size)} of weights are too large for one ONNX file, which has at most"
            f" {format_bytes(onnx_file.LARGEST)}: use format=safetensors, format=torch, or more stages"
        )


def _as_torch(
    stages: Sequence[Stage], described: Sequence[dict[str, str]], found: agreement.Expected, name: str, _: int
) -> tuple[list[bytes], float]:
    """Return the files of stages, and how far they are from `predict`; what is compared is what the files are made of."""
    with reading(name, ConfigError, "cannot be converted to a PyTorch program"):
        programs = [torch_file.program(stage) for stage in stages]
        contents = [torch_file.content(made, entries) for made, entries in zip(programs, described, strict=True)]
        compute = torch_file.Programs(programs, stages[-1].outputs)
        return contents, agreement.largest_difference(found, compute, name)


def _write(target: Path, contents: Sequence[bytes], suffix: str) -> tuple[Path, ...]:
    """Write the files, all or none; return their paths."""
    if os.path.lexists(target):
        raise StorageError(f"output={target}: already exists; nothing was written")
    if len(contents) == 1:
        files.write_bytes(target, contents[0])
        return (target,)
    named = {f"stage-{number}{suffix}": content for number, content in enumerate(contents, 1)}
    directories.write_directory(target, named)
    return tuple(target / name for name in named)


def _notes(run: Finished) -> Iterator[str]:
    if run.config.precision != "fp32":
        yield f"this run computes in {run.config.precision}; the file computes in float32, and was compared in float32"
