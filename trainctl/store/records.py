"""Read `run.json`, `summary.json`, `metrics.jsonl` and `overrides.yaml`, every field checked. Imports no torch.

These files are for people and for later commands; training depends on none of them. A field that is missing or has a wrong
type gets its default, and a damaged line of `metrics.jsonl` is left out, so the code that uses them never meets a value of
a wrong type.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from trainctl.errors import CheckpointError
from trainctl.fileformat import json_text, utf8
from trainctl.fileformat.tree import parse_tree
from trainctl.settings import schema
from trainctl.store import runfile, runpath, typed
from trainctl.store.runpath import AnyPath, MissingError
from trainctl.store.typed import Count, Seconds

LARGEST = 16_000_000  # bytes of a JSON file; ours have thousands
LARGEST_METRICS = 1_000_000_000  # bytes; an evaluation takes about 300
DEEPEST = 50  # levels of JSON
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC).timestamp(), datetime(9998, 1, 1, tzinfo=UTC).timestamp()

Word = Annotated[str, r"re:[a-z][a-z_]{0,29}", "a word"]
Sha256 = Annotated[str, r"re:[0-9a-f]{64}", "a SHA-256"]


@dataclass(frozen=True)
class Commit:
    """The commit of the current directory when the run started."""

    commit: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True)
class Threads:
    """The number of CPU threads, and the reason for it."""

    used: Count | None = None
    reason: str = ""


@dataclass(frozen=True)
class DataFacts:
    """The data of a run: fingerprint, rows of each split, and what was said about them."""

    fingerprint: str | None = None
    train: Count | None = None
    val: Count | None = None
    test: Count | None = None
    cleaned: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    inferred: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ModelFacts:
    """The model of a run."""

    name: str | None = None
    parameters: Count | None = None


@dataclass(frozen=True)
class Resumed:
    """The step at which a run was resumed with other settings, and these settings."""

    step: Count
    changed: list[str]


@dataclass(frozen=True)
class MadeBy:
    """The command that made a run from other runs, its settings, and whether it trained the run."""

    verb: Word
    settings: dict[str, Any] = field(default_factory=dict)
    trained: bool = True


@dataclass(frozen=True)
class ParentFacts:
    """A run from which another run was made, see :class:`trainctl.run.parent.Parent`."""

    role: Literal["start", "teacher", "part", "ranking"]
    name: str
    path: str
    step: Count
    weights_sha256: Sha256
    config_sha256: Sha256
    made_by: MadeBy | None = None
    parents: list["ParentFacts"] = field(default_factory=list)


@dataclass(frozen=True)
class Facts:
    """The content of `run.json`: the versions, machine and data that a run was trained with, and what it was made from."""

    created: str = ""
    command: str = ""
    trainctl: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git: Commit | None = None
    host: str | None = None
    processor: str | None = None
    device: str | None = None
    threads: Threads = field(default_factory=Threads)
    data: DataFacts = field(default_factory=DataFacts)
    model: ModelFacts = field(default_factory=ModelFacts)
    resumed: list[Resumed] = field(default_factory=list)
    engine: str | None = None
    made_by: MadeBy | None = None
    parents: list[ParentFacts] = field(default_factory=list)
    pretrained: dict[str, str] = field(default_factory=dict)
    shard: bool | None = None  # whether several processes have ever divided its weights; None if it is not recorded

    @property
    def created_at(self) -> float | None:
        """When the run started [seconds since 1970]; None if `created` is not a date, or one that cannot be displayed."""
        try:
            seconds = datetime.fromisoformat(self.created).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
        return seconds if EARLIEST <= seconds <= LATEST else None


@dataclass(frozen=True)
class BestValue:
    """The best evaluation of a run."""

    step: Count | None = None
    epoch: Seconds | None = None
    value: float | None = None


@dataclass(frozen=True)
class Size:
    """How large and how fast a model is."""

    parameters: Count | None = None
    nonzero: Count | None = None
    bytes: Count | None = None
    ms_1: Seconds | None = None
    ms_128: Seconds | None = None
    metric: str | None = None
    value: float | None = None
    maximize: bool | None = None


@dataclass(frozen=True)
class Sizes(Size):
    """The size of a run's model, that of the model from which it was made, and how sparse its layers are."""

    before: Size | None = None
    zeros: dict[str, float] = field(default_factory=dict)  # fraction of each layer's weights


@dataclass(frozen=True)
class TrivialFacts:
    """What a model that ignores the inputs predicts, and its metrics."""

    what: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSummary:
    """The content of `summary.json`: how a run ended, and its results."""

    outcome: Word | None = None
    reason: str = ""
    steps: Count | None = None
    epochs: Seconds | None = None
    seconds: Seconds | None = None
    samples_per_second: Seconds | None = None
    parameters: Count | None = None
    skipped: Count = 0
    rewinds: Count = 0
    monitor: str | None = None
    best: BestValue | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    size: Sizes | None = None
    trivial: TrivialFacts | None = None
    intervals: dict[str, list[float]] = field(default_factory=dict)
    warning: str = ""


def read_json(path: AnyPath, largest: int = LARGEST) -> dict[str, Any]:
    """Read a JSON object; return an empty one if the file is missing, damaged, too large or not a regular file."""
    try:
        return require_json(path, largest)
    except CheckpointError:
        return {}


def require_json(path: AnyPath, largest: int = LARGEST) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: If the file is missing, damaged, too large or not a regular file.
    """
    content = _parsed(path, largest)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return content


def require_list(path: AnyPath, largest: int = LARGEST) -> list[Any]:
    """Read a JSON list.

    Raises:
        MissingError: If the file does not exist.
        CheckpointError: If it is damaged, too large or not a regular file.
    """
    content = _parsed(path, largest)
    if not isinstance(content, list):
        raise CheckpointError(f"{path}: not a JSON list")
    return content


def _parsed(path: AnyPath, largest: int) -> Any:
    text = utf8.decode(runfile.read_bytes(path, largest), str(path), CheckpointError)
    return json_text.parse_json(text, str(path), CheckpointError, deepest=DEEPEST)


def read_facts(directory: AnyPath) -> Facts:
    """Read `run.json`."""
    return typed.read_what_fits(Facts, read_json(runpath.hold(directory) / "run.json"))


def read_summary(directory: AnyPath) -> RunSummary:
    """Read `summary.json`."""
    content = read_json(runpath.hold(directory) / "summary.json")
    metrics = _metrics(content.pop("metrics", None))
    summary = typed.read_what_fits(RunSummary, content)
    intervals = {name: ends for name, ends in summary.intervals.items() if len(ends) == 2}
    return replace(summary, metrics=metrics, intervals=intervals)


def _metrics(content: object) -> dict[str, float]:
    """Return the metrics that are numbers, infinite ones included; null becomes NaN."""
    values = {} if not isinstance(content, dict) else {key: math.nan if v is None else v for key, v in content.items()}
    return {key: float(v) for key, v in values.items() if isinstance(v, float) or schema.fits(v, float)}


def read_overrides(directory: AnyPath) -> list[str]:
    """Read `overrides.yaml`; return an empty list if it is missing or damaged, since it is only informative."""
    path = runpath.hold(directory) / "overrides.yaml"
    try:
        words = parse_tree(runfile.read_bytes(path, LARGEST), path.path, CheckpointError)
    except CheckpointError:
        return []
    return [str(word) for word in words if isinstance(word, str | int | float)] if isinstance(words, list) else []


def line(row: Mapping[str, float]) -> str:
    """Return a line of `metrics.jsonl`; NaN and infinity become null, as JSON has neither."""
    return json.dumps({key: value if math.isfinite(value) else None for key, value in row.items()}) + "\n"


def read_metrics(directory: AnyPath, last_step: int | None = None, more: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of `metrics.jsonl` up to a step, each once; damaged lines are left out.

    Args:
        directory: The run's directory.
        last_step: The last step to return; None for all.
        more: Lines that may be missing from the file because it could not be written.

    Raises:
        CheckpointError: If the file exists but cannot be read, or is a link, a pipe or a device.
    """
    try:
        content = runfile.read_bytes(runpath.hold(directory) / "metrics.jsonl", LARGEST_METRICS)
    except MissingError:
        content = b""
    # An invalid byte damages only its line.
    lines = content.decode("utf-8", errors="replace").split("\n")
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(_row, (*lines, *more)):
        if row and (last_step is None or row["step"] <= last_step):
            rows[row["step"], *row] = {key: math.nan if value is None else value for key, value in row.items()}
    return sorted(rows.values(), key=lambda row: row["step"]) if more else list(rows.values())


def _row(text: str) -> dict[str, Any]:
    """Parse a line of `metrics.jsonl`; return an empty row unless it has a whole step, and otherwise only numbers."""
    try:
        row = json_text.parse_json(text, "metrics.jsonl", CheckpointError) if text else None
    except CheckpointError:
        return {}
    if not isinstance(row, dict) or not schema.fits(row.get("step"), Count):
        return {}
    return row if all(value is None or schema.fits(value, float) for value in row.values()) else {}
