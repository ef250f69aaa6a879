"""Explain what a run computes for rows of files."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainctl.data.schema import Schema
from trainctl.data.shown import shown_values, words
from trainctl.errors import ConfigError
from trainctl.fileformat.waiting import Wait, waiting
from trainctl.finished import attribution, baseline, explained, features, question
from trainctl.finished.attribution import Attributions
from trainctl.finished.explained import Explained, Options, RowSums
from trainctl.finished.features import Features
from trainctl.finished.inputs import Label, batches, expand
from trainctl.finished.open import Finished, load_model
from trainctl.finished.source import Source
from trainctl.report.attribution_plots import Drawn
from trainctl.report.curve_charts import joined
from trainctl.report.picture import picture
from trainctl.store import files, rundir
from trainctl.store.runpath import AnyPath


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
    found.notes += explained.incomplete(found)
    files.write_bytes(folder / "rows.csv", explained.rows_csv(found))
    rows = given[0].name if len(given) == 1 else f"{len(given):,} inputs"
    explained.draw(found, work.features, joined(run.directory.name, rows), folder)
    about = {"run": run.directory.name, "step": work.step, "which": which, "trainctl": rundir.version()}
    rundir.write_json(folder / "explain.json", about | explained.as_json(found))
    return found


@dataclass(frozen=True)
class Work:
    """The parts that explain rows.

    Args:
        schema: Of the run's data.
        step: Number of optimizer steps that the weights were trained for.
        source: The rows.
        size: Most rows or points that are computed at once.
        scale: Scales rows.
        device: The model's device.
        view: The model.
        asked: What is asked about each row.
        base: The baseline.
        features: The features of a row.
        options: How rows are explained.
        found: Receives what was found.
    """

    schema: Schema
    step: int
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
    if options.patch and described.kind != "image":
        raise ConfigError(f"patch={options.patch}: the rows of this run are not images, but of kind {described.kind}")
    base = baseline.choose(run, weights, described.kind, options.baseline, seen, device)
    paths, notes = expand(given, run.schema)
    several = len(given) > 1 or given[0].is_dir()
    source = Source(run, weights.fitted, paths, options.ids, several=several, notes=notes)
    found = Explained(asked.unit, base.text, options)
    size = run.config.loop.eval_batch_size
    scale = weights.fitted.input_scale.to(device)
    return Work(run.schema, weights.step, source, size, scale, device, seen, asked, base, described, options, found)


def _lines(work: Work, wait: Wait) -> Iterator[bytes]:
    """Explain all rows; yield the lines of `attributions.csv`, and keep in ``work.found`` what is needed later."""
    names = [*(["file"] if work.source.several else []), "row", *work.options.ids]
    text = work.features.kind == "text"
    yield explained.as_csv(
        [[*names, *(["position", "token", "attribution"] if text else work.features.names)]], work.options
    )
    for labels, portion in batches(work.source.parts(), work.size):
        rows = work.scale(portion.to(work.device))
        sums, values = explained_rows(work, labels, rows)
        for place in range(len(sums)):
            keep_to_draw(work, sums[place], portion[place], rows[place], values[place])
        total = values.abs().sum(0)
        work.found.sizes = total if work.found.sizes is None else work.found.sizes + total
        work.found.rows += sums
        cells = [[str(label.get(name, "")) for name in names] for label in labels]
        yield explained.as_csv(_cells(work, cells, portion, values), work.options)
        wait.advance(len(portion))


def _cells(work: Work, labels: Sequence[list[str]], portion: Tensor, values: Tensor) -> Iterator[list[str]]:
    """Yield the cells of each line: of a text one for each token, of other rows one for each row."""
    for label, row, numbers in zip(labels, portion, values.numpy(), strict=True):
        if work.features.kind != "text":
            yield [*label, *map(str, numbers)]
            continue
        tokens = words(row.tolist(), work.schema.vocabulary)
        for place, (token, number) in enumerate(zip(tokens, numbers, strict=False)):
            yield [*label, str(place), token, str(number)]


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
        predicted, asked = _in_words(work, outputs[place], int(chosen[place]))
        centre = work.asked.centre
        told.append(
            RowSums(
                label, predicted, asked, float(found.score[place]) + centre, float(found.base[place]) + centre,
                float(sums[place]), float(gaps[place]), int(found.steps[place]), bool(complete[place]),
            )
        )  # fmt: skip
    return told, values.cpu()


def attributed(work: Work, rows: Tensor, points: Tensor, base: Tensor, chosen: Tensor) -> tuple[Attributions, Tensor]:
    """Return the attributions of points, and of their features ``(N, K)``."""
    score, size, method = work.view.score(work.asked, rows, chosen), work.size, work.options.method
    if method == "integrated_gradients":
        found = attribution.integrated_gradients(score, points, base, most_steps=work.options.most_steps, portion=size)
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
    title = explained.title(row, work.asked.task)
    if kind == "image":
        work.found.drawn.append(Drawn(title, values.reshape(shape[1:]).numpy(), picture=picture(stored)))
    elif kind == "table":
        shown = shown_values(stored.reshape(1, -1), work.schema)[0]
        names = work.features.columns
        cells = shown if len(shown) == len(names) else [""] * len(names)
        named = tuple(f"{name} = {cell}" if cell else name for name, cell in zip(names, cells, strict=True))
        work.found.drawn.append(Drawn(title, values.numpy(), named))
    elif kind == "series":
        work.found.drawn.append(Drawn(title, values.reshape(shape[0], -1).numpy(), work.features.columns))
    else:
        tokens = words(stored.tolist(), work.schema.vocabulary)
        work.found.drawn.append(Drawn(title, values.numpy(), tuple(tokens)))
