"""Explain what a run computes for rows of files: attributions as CSV, and pictures of the first rows."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat.waiting import Wait, waiting
from trainctl.finished import attribution, baseline, features, question
from trainctl.finished.attribution import Attributions
from trainctl.finished.features import Features
from trainctl.finished.inputs import Label, batches, expand
from trainctl.finished.open import Finished, load_model
from trainctl.finished.source import Source
from trainctl.report import attribution_plots as plots
from trainctl.report.attribution_plots import Drawn
from trainctl.report.table import harmless
from trainctl.store import files, rundir
from trainctl.store.runpath import AnyPath

Method = Literal["integrated_gradients", "saliency", "occlusion"]
OFF = 0.05  # gap from which a note names the row
NAMED = 5  # rows in a note


@dataclass(frozen=True)
class Options:
    """How rows are explained.

    Args:
        method: Method of attribution.
        score: Of a class, ``log_odds``, ``logit`` or ``probability``; empty for the usual one.
        class_name: The class that is explained; empty for the one that is predicted.
        target: The target of a regression that is explained; empty for the first.
        baseline: Name of the baseline; empty for the usual one.
        most_steps: Most steps of integrated gradients.
        patch: Side of the squares of an image that occlusion covers [pixels]; None for the usual one.
        drawn: How many rows are drawn.
        ids: Columns of the files that identify rows.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front.
    """

    method: Method = "integrated_gradients"
    score: str = ""
    class_name: str = ""
    target: str = ""
    baseline: str = ""
    most_steps: int = 1024
    patch: int | None = None
    drawn: int = 6
    ids: tuple[str, ...] = ()
    spreadsheet: bool = False


@dataclass(frozen=True)
class RowSums:
    """What is known of one row besides its attributions.

    Args:
        label: What identifies it.
        predicted: The predicted class or number.
        explained: The class or the target that is explained; empty for a reconstruction.
        score: The number that is explained, at the row.
        base: The same, at the baseline.
        sum: Of the attributions.
        gap: How far the sum is from ``score - base``, as a fraction of it.
        steps: Steps of integrated gradients.
        complete: Whether the sum agrees within 1 %.
    """

    label: Label
    predicted: str
    explained: str
    score: float
    base: float
    sum: float
    gap: float
    steps: int
    complete: bool


@dataclass
class Explained:
    """What was explained.

    Args:
        unit: What the explained number is, in words.
        baseline: What rows are compared with, in words.
        options: How.
        rows: The rows, in order.
        notes: What the user is to know, a line each.
        failed: The errors of files that cannot be read.
        files: How many files there were.
        pictures: Names of the pictures.
        drawn: The rows to draw.
        sizes: Sum over the rows of the sizes of the attributions ``(K,)``.
    """

    unit: str
    baseline: str
    options: Options
    rows: list[RowSums] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: tuple[DataError, ...] = ()
    files: int = 0
    pictures: list[str] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    sizes: Tensor | None = None


def explain(run: Finished, given: Sequence[Path], which: str, options: Options, folder: AnyPath) -> Explained:
    """Explain the rows of files; write `attributions.csv`, `rows.csv`, pictures and `explain.json` into a directory.

    One file is explained or raises an error; of several, those that cannot be read are left out.

    Args:
        run: The run.
        given: Files and directories.
        which: The weights: ``best`` or ``last``.
        options: How.
        folder: An empty directory.

    Raises:
        DataError: If no file can be read.
        CheckpointError: If configuration and weights do not match.
        ConfigError: If an option does not suit the run.
        StorageError: If a file cannot be written.
    """
    work = prepare(run, given, which, options)
    with waiting("explaining", unit="rows") as wait, question.differentiable(work.view.model):
        files.write(folder / "attributions.csv", _lines(work, wait), 0)
    work.source.require_rows()
    found = work.found
    found.failed, found.files = tuple(work.source.failed), len(work.source.files)
    found.notes += [*work.source.notes, *work.base.notes, *work.source.coverage.notes(run.schema.input_shape[0])]
    found.notes += incomplete(found)
    files.write_bytes(folder / "rows.csv", _rows_csv(found).encode(errors="backslashreplace"))
    _draw(found, work.features, folder)
    rundir.write_json(folder / "explain.json", as_json(run, found, which))
    return found


@dataclass(frozen=True)
class Work:
    """The parts that explain rows."""

    schema: Schema
    source: Source
    size: int
    scale: Callable[[Tensor], Tensor]
    device: torch.device
    view: question.View
    asked: question.Question
    base: baseline.Baseline
    features: Features
    options: Options
    found: Explained


def prepare(run: Finished, given: Sequence[Path], which: str, options: Options) -> Work:
    """Return the parts that explain rows; all options are checked before a file is read."""
    weights = run.weights(which)
    model, task, device = load_model(run, weights)
    units = weights.fitted.target_scale
    asked = question.question(
        task, run.schema, units.to(device) if units else None,
        score=options.score or None, class_name=options.class_name, target=options.target,
    )  # fmt: skip
    described, seen = features.features(run.schema), question.view(model, run.schema)
    base = baseline.choose(run, weights, described.kind, options.baseline, seen, device)
    paths, notes = expand(given, run.schema)
    several = len(given) > 1 or given[0].is_dir()
    source = Source(run, weights.fitted, paths, options.ids, several=several, notes=notes)
    found = Explained(asked.unit, base.text, options)
    size = run.config.loop.eval_batch_size
    scale = weights.fitted.input_scale.to(device)
    return Work(run.schema, source, size, scale, device, seen, asked, base, described, options, found)


def _lines(work: Work, wait: Wait) -> Iterator[bytes]:
    """Explain all rows; yield the lines of `attributions.csv`, and keep in ``work.found`` what is needed later."""
    names = [*(["file"] if work.source.several else []), "row", *work.options.ids]
    text = work.features.kind == "text"
    yield _csv([[*names, *(["position", "token", "attribution"] if text else work.features.names)]], work.options)
    for labels, portion in batches(work.source.parts(), work.size):
        rows = work.scale(portion.to(work.device))
        sums, values = explained_rows(work, labels, rows)
        for place in range(len(sums)):
            keep_to_draw(work, sums[place], portion[place], rows[place], values[place])
        total = values.abs().sum(0)
        work.found.sizes = total if work.found.sizes is None else work.found.sizes + total
        work.found.rows += sums
        cells = [[str(label.get(name, "")) for name in names] for label in labels]
        yield _csv(_cells(work, cells, portion, values), work.options)
        wait.advance(len(portion))


def _cells(work: Work, labels: Sequence[list[str]], portion: Tensor, values: Tensor) -> Iterator[list[str]]:
    """Yield the cells of each line: of a text one for each token, of other rows one for each row."""
    for label, row, numbers in zip(labels, portion, values.numpy(), strict=True):
        if work.features.kind != "text":
            yield [*label, *map(str, numbers)]
            continue
        tokens = features.words(row.tolist(), work.schema.vocabulary)
        for place, (token, number) in enumerate(zip(tokens, numbers, strict=False)):
            yield [*label, str(place), token, str(number)]


def _csv(lines: Any, options: Options) -> bytes:
    """Return lines of cells as CSV."""
    text = io.StringIO()
    guard = harmless if options.spreadsheet else str
    csv.writer(text, lineterminator="\n").writerows(map(guard, line) for line in lines)
    return text.getvalue().encode(errors="backslashreplace")


def explained_rows(work: Work, labels: Sequence[Label], rows: Tensor) -> tuple[list[RowSums], Tensor]:
    """Return what is known of each scaled row, and the attributions of its features ``(N, K)``, float32 on the CPU."""
    with torch.no_grad():
        outputs = work.view.model(rows)
    chosen = work.asked.chosen(outputs)
    points = work.view.points(rows)
    found, values = attributed(work, rows, points, work.base.of(points, rows), chosen)
    sums, gaps, complete = found.sum, found.gap, found.complete
    if work.options.method == "saliency":
        sums = gaps = torch.full_like(sums, math.nan)
    told = []
    for place, label in enumerate(labels):
        predicted, explained = _in_words(work, outputs[place], int(chosen[place]))
        centre = work.asked.centre
        told.append(
            RowSums(
                label, predicted, explained, float(found.score[place]) + centre, float(found.base[place]) + centre,
                float(sums[place]), float(gaps[place]), int(found.steps[place]), bool(complete[place]),
            )
        )  # fmt: skip
    return told, values.cpu()


def attributed(
    work: Work, rows: Tensor, points: Tensor, base: Tensor, chosen: Tensor
) -> tuple[Attributions, Tensor]:
    """Return the attributions of points, and of their features ``(N, K)``."""
    score, size, method = work.view.score(work.asked, rows, chosen), work.size, work.options.method
    if method == "integrated_gradients":
        found = attribution.integrated_gradients(
            score, points, base, most_steps=work.options.most_steps, portion=size
        )
        return found, work.features.gathered(found.values)
    if method == "saliency":
        found = attribution.saliency(score, points, base, portion=size)
        return found, work.features.gathered(found.values)
    masks, part_of = work.features.parts(work.options.patch or work.features.usual_patch)
    if work.features.kind == "text":  # nothing is to be replaced after the end of the longest text
        longest = int((rows != 0).any(0).nonzero().max()) + 1 if (rows != 0).any() else 1
        masks = masks[:longest]
    found = attribution.occlusion(score, points, base, masks, portion=size)
    values = found.values.new_zeros(len(rows), len(part_of))
    known = part_of < len(masks)
    values[:, known] = found.values[:, part_of[known]]
    return found, values


def _in_words(work: Work, outputs: Tensor, chosen: int) -> tuple[str, str]:
    """Return what is predicted for a row, and what of it is explained."""
    schema, task = work.schema, work.asked.task
    if task == "classification":
        return schema.class_names[int(outputs.argmax())], schema.class_names[chosen]
    if task == "reconstruction":
        return "", ""
    units = work.asked.units
    values = units.inverse(outputs[None])[0] if units else outputs
    name = schema.target_names[chosen] if schema.target_names else str(chosen)
    return f"{float(values[chosen]) + work.asked.centre:.6g}", name


def keep_to_draw(work: Work, row: RowSums, stored: Tensor, scaled: Tensor, values: Tensor) -> None:
    """Keep a row to draw, unless enough are kept."""
    if len(work.found.drawn) >= work.options.drawn:
        return
    kind, shape = work.features.kind, work.features.shape
    title = _title(row, work.asked.task)
    if kind == "image":
        work.found.drawn.append(Drawn(title, values.reshape(shape[1:]).numpy(), picture=picture(stored)))
    elif kind == "table":
        shown = features.shown_values(stored.reshape(1, -1), work.schema)[0]
        names = work.features.columns
        cells = shown if len(shown) == len(names) else [""] * len(names)
        named = tuple(f"{name} = {cell}" if cell else name for name, cell in zip(names, cells, strict=True))
        work.found.drawn.append(Drawn(title, values.numpy(), named))
    elif kind == "series":
        work.found.drawn.append(Drawn(title, values.reshape(shape[0], -1).numpy(), work.features.columns))
    else:
        tokens = features.words(stored.tolist(), work.schema.vocabulary)
        work.found.drawn.append(Drawn(title, values.numpy(), tuple(tokens)))


def picture(stored: Tensor) -> Any:
    """Return an image ``(C, H, W)`` as ``(H, W)`` or ``(H, W, 3)`` in 0..1; channels that are no colours are averaged."""
    values = stored.detach().cpu().float()
    low, high = (0.0, 255.0) if stored.dtype == torch.uint8 else (float(values.min()), float(values.max()))
    values = ((values - low) / max(high - low, 1e-12)).clamp(0, 1)
    return values.permute(1, 2, 0).numpy() if len(values) == 3 else values.mean(0).numpy()


def _title(row: RowSums, task: str) -> str:
    place = " ".join(str(value) for name, value in row.label.items() if name in ("file", "row"))
    if task == "reconstruction":
        return f"row {place}: error {row.score:.4g}"
    if task == "regression":
        return f"row {place}: {row.explained} {row.predicted}"
    asked = "" if row.explained == row.predicted else f", explained {row.explained}"
    return f"row {place}: predicted {row.predicted}{asked}"


def incomplete(found: Explained) -> list[str]:
    """Return a note if attributions do not add up, with the rows that are furthest off."""
    open_rows = [row for row in found.rows if not row.complete]
    if found.options.method != "integrated_gradients" or not open_rows:
        return []
    worst = sorted(open_rows, key=lambda row: -row.gap)[:NAMED]
    shown = ", ".join(f"row {row.label['row']} ({row.gap:.1%})" for row in worst)
    return [
        f"{len(open_rows):,} of {len(found.rows):,} rows do not add up to within 1 % after {found.options.most_steps} steps:"
        f" {shown}; raise steps=, or do not rely on the sizes of their attributions"
    ]


def _rows_csv(found: Explained) -> str:
    """Return `rows.csv`: what identifies each row, what is explained, and how well the attributions add up."""
    names = list(dict.fromkeys(name for row in found.rows for name in row.label))
    integrated = found.options.method == "integrated_gradients"
    header = [*names, "prediction", "explained", "value", "baseline_value", *(["sum", "gap", "steps"] * integrated)]
    lines = [header]
    for row in found.rows:
        sums = [repr(row.sum), f"{row.gap:.4g}", str(row.steps)] if integrated else []
        cells = [str(row.label.get(name, "")) for name in names]
        lines.append([*cells, row.predicted, row.explained, repr(row.score), repr(row.base), *sums])
    return _csv(lines, found.options).decode()


def _draw(found: Explained, described: Features, folder: AnyPath) -> None:
    """Draw the first rows, and the mean over all rows."""
    method = found.options.method.replace("_", " ")
    what = "absolute gradient of the" if found.options.method == "saliency" else "attribution to the"
    label = f"{what} {found.unit}"
    heading = f"{method[0].upper()}{method[1:]}"
    if found.drawn:
        beside = "" if found.options.method == "saliency" else f", compared with {found.baseline}"
        plots.rows(found.drawn, described.kind, label, f"{heading}{beside}", folder / "rows.png")
        found.pictures.append("rows.png")
    if len(found.rows) < 2 or found.sizes is None or described.kind == "text":
        return
    means = (found.sizes / len(found.rows)).double()
    title, mean_label = f"Mean of {len(found.rows):,} rows", f"mean size of the {label}"
    if described.kind == "image":
        plots.mean_image(means.reshape(described.shape[1:]).numpy(), mean_label, title, folder / "mean.png")
    else:
        columns = described.columns
        totals = means.reshape(-1, len(columns)).sum(0).tolist()  # over the steps of a series
        plots.columns(columns, totals, mean_label, title, folder / "mean.png")
    found.pictures.append("mean.png")


def as_json(run: Finished, found: Explained, which: str) -> dict[str, Any]:
    """Return what `explain.json` contains: what was done, with which weights."""
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(found.options).items()}
    return {
        "run": run.directory.name,
        "step": run.weights(which).step,
        "which": which,
        "trainctl": rundir.version(),
        "options": options,
        "explained": found.unit,
        "baseline": found.baseline,
        "rows": len(found.rows),
        "incomplete": sum(not row.complete for row in found.rows)
        if found.options.method == "integrated_gradients"
        else None,
        "notes": found.notes,
    }
