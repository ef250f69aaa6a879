"""Export a run as a file that needs neither trainctl nor the run.

    trainctl export RUN [format=onnx|torch|safetensors] [output=FILE] [opset=18] [stages=K] [which=best]
        [dataset settings] [device=...] [root=runs]

RUN is a run's directory, its name, or a part of the name. The file takes raw rows, as `predict` reads them from a file,
and returns probabilities, values in the target's unit, or reconstructions: cleaning, scaling and softmax are inside.
Any number of rows can be computed at once.

    trainctl export my-run                               my-run.onnx
    trainctl export my-run output=model.onnx opset=17    for an older ONNX Runtime
    trainctl export my-run format=torch                  my-run.pt2, for torch.export.load
    trainctl export my-run format=safetensors            weights, settings and scalings; no program
    trainctl export my-run stages=2 output=parts         parts/stage-1.onnx, parts/stage-2.onnx
    trainctl export my-run dataset.path=moved.csv        if the run's data are elsewhere now

Without format=, the ending of FILE decides: .onnx, .pt2 or .safetensors. FILE must not exist. It also contains the
names of classes and columns, the vocabulary, and the run with the SHA-256 of its weights.

Before the file appears, its answers are compared with those of `predict` on validation rows of the run's data, 1, 2 and
7 at a time; a difference is an error, and nothing is written. stages=K cuts the model by depth into K files in a
directory: the outputs of one are the inputs of the next, by name. A row that `predict` refuses, because a value is
infinite, or missing without imputation, gets NaN as its answer.

format=onnx needs the extra `export`: pip install 'trainctl[export]'. Opsets from 13 to 23 can be written. The loader of
.pt2 files executes what they contain; load only your own. trainctl writes them, and never loads one.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError, UnavailableError, format_bytes
from trainctl.fileformat.place import is_directory
from trainctl.report import phrases, table
from trainctl.store import rundir
from trainctl.wording import amount

OPTIONS = {"format": "", "output": "", "opset": "", "stages": "1", "which": "best", "root": "runs"}
SUFFIXES = {".onnx": "onnx", ".pt2": "torch", ".safetensors": "safetensors"}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ALLOWED = ("dataset.", "device", "threads")
OPSET, OPSETS = 18, range(13, 24)


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and export; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, one_process="export")
    if not parsed.names:
        raise ConfigError("export needs a run: trainctl export RUN")
    which = option_values.choice("which", parsed.options["which"], ("best", "last"))
    form = form_of(parsed.options["format"], parsed.options["output"])
    opset = opset_of(parsed.options["opset"], form)
    stages = option_values.integer("stages", parsed.options["stages"], 1)
    if stages > 1 and form == "safetensors":
        raise ConfigError(f"stages={stages}: format=safetensors contains no program that could be cut; use format=onnx")
    directory = rundir.find(parsed.names[0], Path(parsed.options["root"]))
    target = target_of(parsed.options["output"], directory, form, stages)
    packages, overrides = arguments.packages(parsed.overrides)
    if form == "onnx":
        require_packages()
    launching.require_allowed(directory, packages, overrides, ALLOWED)
    launching.import_torch()
    from trainctl.finished.export import export
    from trainctl.finished.open import open as open_run

    run = open_run(directory, packages, overrides, ALLOWED, payloads=[which])
    chosen: Any = form
    found = export(run, which, chosen, target, opset=opset, stages=stages)
    for note in (*run.notes, *(f"note: {note}" for note in found.notes)):
        table.line(f"trainctl: {note}", stream=sys.stderr)
    for file in found.files:
        table.line(str(file))
    difference = phrases.number(found.difference)
    table.line(
        f"{format_bytes(found.size)}; equals predict on {amount(found.rows, 'validation row')}, 1, 2 and 7 at a time; largest"
        f" difference {difference}"
    )
    return 0


def form_of(form: str, output: str) -> str:
    """Return the kind of file: as typed, or as the ending of the output says.

    Raises:
        ConfigError: If it does not exist, or contradicts the ending.

    >>> form_of("", "model.pt2"), form_of("torch", "model.bin"), form_of("", "")
    ('torch', 'torch', 'onnx')
    """
    suffix = Path(output).suffix.lower()
    implied = SUFFIXES.get(suffix)
    if not form:
        return implied or "onnx"
    option_values.choice("format", form, SUFFIXES.values())
    if implied and implied != form:
        raise ConfigError(f"output={output}: {suffix} is the ending of format={implied}, not of format={form}")
    return form


def opset_of(text: str, form: str) -> int:
    """Return the version of the ONNX operators.

    Raises:
        ConfigError: If it cannot be written, or the file is no ONNX file.
    """
    if text and form != "onnx":
        raise ConfigError(f"opset={text}: only for format=onnx, not for format={form}")
    opset = option_values.integer("opset", text, 1) if text else OPSET
    if opset not in OPSETS:
        raise ConfigError(f"opset={opset}: expected a whole number in [{OPSETS.start}, {OPSETS.stop - 1}]")
    return opset


def target_of(output: str, directory: Path, form: str, stages: int) -> Path:
    """Return the path of the output, by default the run's name in the working directory; it must not exist.

    Raises:
        ConfigError: If it exists, or its directory does not.
    """
    suffix = next(suffix for suffix, kind in SUFFIXES.items() if kind == form)
    name = directory.absolute().name
    text = output or (f"{name}{suffix}" if stages == 1 else f"{name}-stages")
    target = option_values.new_path("output", text)
    assert target is not None
    if not is_directory(target.parent):
        raise ConfigError(f"output={text}: {target.parent}: no such directory; create it, or choose another one")
    return target


def require_packages() -> None:
    """Check that the packages of the extra are installed, without importing them.

    Raises:
        UnavailableError: If one is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"format=onnx needs {', '.join(missing)}: pip install 'trainctl[export]'")
