"""Explain a run as a whole, by the rows of one of its splits: what it relies on, where it errs, how sure it is."""

from typing import Literal

import torch
from torch import Tensor, nn

from trainctl.data.rows import SplitName
from trainctl.errors import CheckpointError, ConfigError
from trainctl.fileformat import fingerprints
from trainctl.finished import calibration, mistakes, permutation, projection
from trainctl.finished.embedding import Encoder, encoder
from trainctl.finished.features import Features, features
from trainctl.finished.open import Finished, Weights
from trainctl.finished.outcomes import Outcomes, outcomes
from trainctl.finished.overview import Overview
from trainctl.report import about, table
from trainctl.report import overview_plots as plots
from trainctl.run.assemble import assemble_evaluation
from trainctl.run.run import Evaluation
from trainctl.store import restore, rundir
from trainctl.store.runpath import AnyPath
from trainctl.wording import agree, amount

Embedding = Literal["pca", "tsne"]
EMBEDDED = 2000  # most rows whose codes are drawn
FEWEST_EMBEDDED = 3
MOST_FILTERS = 64
MOST_TARGETS = 4  # of a regression, whose calibration is drawn


def explain(
    run: Finished,
    split: SplitName,
    which: str,
    folder: AnyPath,
    *,
    repeats: int,
    embedding: Embedding,
    shown: int,
    spreadsheet: bool = False,
) -> Overview:
    """Measure and draw what a run relies on; write pictures, CSV files and `explain.json` into a directory.

    Args:
        run: The run.
        split: The split whose rows are measured; if it is empty, the validation split is.
        which: The weights: ``best`` or ``last``.
        folder: An empty directory.
        repeats: How often each part is shuffled.
        embedding: How codes are drawn in two dimensions.
        shown: How many of the worst mistakes are drawn.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front.

    Raises:
        DataError: If the data cannot be read, or does not match the run.
        CheckpointError: If configuration and weights do not match.
        StorageError: If a file cannot be written.
    """
    weights = run.weights(which)
    measured = _measured(run, weights)
    split = split if len(measured.data.splits[split]) else "val"
    what = about.about(run.directory.name, run.config.parts["dataset"], split)
    found = Overview(split, len(measured.data.splits[split]), folder, spreadsheet, what)
    if fingerprints.differ([measured.data.schema.fingerprint, run.schema.fingerprint]):
        found.notes.append("this is not the data that the run was trained with")
    described = features(measured.data.schema)
    results = outcomes(measured, split)
    _importance(measured, described, found, repeats, run.config.seed)
    mistakes.report(measured, described, results, found, shown)
    _filters(measured, described, found)
    _embed(measured, results, found, embedding, run.config.seed)
    if results.task == "classification":
        _calibrate_classes(results, found)
    elif results.task == "regression":
        _calibrate_numbers(measured, results, found)
    facts = {"run": run.directory.name, "step": weights.step, "which": which, "trainctl": rundir.version()}
    asked = {"split": found.split, "rows": found.rows, "repeats": repeats, "embedding": embedding}
    rundir.write_json(folder / "explain.json", facts | asked | found.numbers | {"notes": found.notes})
    return found


def _measured(run: Finished, weights: Weights) -> Evaluation:
    """Return the run's model with its weights, in evaluation mode, and its data."""
    try:
        measured = assemble_evaluation(run.config, run.schema, weights.fitted)
    except ConfigError as error:
        if run.overrides:
            raise
        raise CheckpointError(*error.within(f"{run.directory / 'config.yaml'}: ")) from error
    restore.load_weights(measured.model, weights.model, run.directory)
    measured.model.eval()
    return measured


def _importance(measured: Evaluation, described: Features, found: Overview, repeats: int, seed: int) -> None:
    """Shuffle each part of the rows; write and draw what that costs."""
    shuffled = permutation.parts(described)
    if not shuffled:
        found.lines.append("importance: not measured, because words at the same position have nothing in common")
        return
    usual, found.importances = permutation.importances(measured, found.split, shuffled, repeats, seed)
    metric = permutation.METRICS[measured.task]
    found.shuffled = "square of pixels" if described.kind == "image" else "column"
    found.effect = "drop in accuracy" if metric == "accuracy" else f"increase in {metric.upper()}"
    found.numbers["importance_metrics"] = usual
    header = [found.shuffled, found.effect, "spread", "increase in loss", "spread of loss"]
    lines = [[one.name, one.mean, one.spread, one.loss, one.loss_spread] for one in found.importances]
    found.write_csv("importance.csv", [name.replace(" ", "_").lower() for name in header], lines)
    title, path = "Permutation importance", found.picture("importance.png")
    if described.kind == "image":
        squares = [
            (rows.start, columns.start, rows.stop, columns.stop) for rows, columns in permutation.squares(described)
        ]
        plots.importance_of_squares(
            [one.mean for one in found.importances], squares, found.effect, title, path, found.about
        )
    else:
        unit = {"regression": " [units of the target]", "reconstruction": " [scaled units]"}.get(measured.task, "")
        names, means, spreads = zip(*((one.name, one.mean, one.spread) for one in found.importances), strict=True)
        plots.importance(names, means, spreads, f"{found.effect}{unit}", title, path, found.about)


def _filters(measured: Evaluation, described: Features, found: Overview) -> None:
    """Draw the weights of the first layer that reads the rows themselves; of a recurrent network nothing."""
    size = described.index.numel()
    for layer in measured.model.modules() if described.kind in ("image", "table") else ():
        if isinstance(layer, nn.Linear) and layer.in_features == size:
            shape = described.shape
        elif isinstance(layer, nn.Conv2d) and described.kind == "image" and layer.in_channels == described.shape[0]:
            shape = tuple(layer.weight.shape[1:])
        else:
            continue
        weights, path = layer.weight.detach().float().cpu(), found.picture("filters.png")
        if described.kind == "table":
            encoded = measured.data.schema.input_names
            names = encoded or [described.columns[column] for column in described.column_of]
            plots.weights(weights.numpy(), names, "Weights of the first layer", path, found.about)
            return
        kept = weights.reshape(-1, *shape)[:MOST_FILTERS]
        more = f", {len(kept)} of {len(weights)}" if len(kept) < len(weights) else ""
        plots.filters(kept.numpy(), f"Filters of the first layer{more}", path, found.about)
        return


def _embed(measured: Evaluation, results: Outcomes, found: Overview, how: Embedding, seed: int) -> None:
    """Draw the codes of rows in two dimensions, and write their places."""
    rows = measured.data.splits[found.split]
    if len(rows) < FEWEST_EMBEDDED:
        found.notes.append(
            f"the codes are not drawn: {amount(len(rows), 'row')} {agree(len(rows), 'is', 'are')} too few"
        )
        return
    try:
        encode = encoder(measured.model, measured.data.schema, measured.device)
    except ConfigError as error:
        found.lines.append(f"embedding: not drawn: {str(error).removeprefix('what=code: ')}")
        return
    every, codes = -(-len(rows) // EMBEDDED), _codes(measured, encode, rows.sample(EMBEDDED)[0])
    projected = projection.principal(codes) if how == "pca" else projection.neighbours(codes, seed)
    title = f"Codes of {amount(len(codes), f'{found.split} row')} ({amount(encode.width, 'number')} each)"
    path, schema = found.picture("embedding.png"), measured.data.schema
    true: list[list[object]] = [[] for _ in codes]
    if schema.task == "classification" and not measured.data.no_targets:  # also of an autoencoder
        classes = rows.sample(EMBEDDED)[1].cpu()
        true = [[schema.class_names[index]] for index in classes.tolist()]
        plots.embedding_of_classes(
            projected.places, projected.axes, classes.numpy(), schema.class_names, title, path, found.about
        )
    elif results.task == "regression":
        name = schema.target_names[0] if schema.target_names else "target"
        true = [[number] for number in results.true[::every, 0].tolist()]
        plots.embedding_of_numbers(
            projected.places, projected.axes, results.true[::every, 0].numpy(), name, title, path, found.about
        )
    else:
        label = "RMSE of the reconstruction (scaled units)"
        plots.embedding_of_numbers(
            projected.places, projected.axes, results.error[::every].numpy(), label, title, path, found.about
        )
    lines = [[index * every, *place, *true[index]] for index, place in enumerate(projected.places.tolist())]
    found.write_csv("embedding.csv", ["row", "x", "y", *(["true"] if any(true) else [])], lines)


@torch.no_grad()
def _codes(measured: Evaluation, encode: Encoder, stored: Tensor) -> Tensor:
    """Return the codes of rows ``(N, D)``, float32 on the CPU."""
    parts = stored.split(measured.batch_size)
    return torch.cat([encode(measured.data.input_scale(part)).float().cpu() for part in parts])


def _calibrate_classes(results: Outcomes, found: Overview) -> None:
    """Draw how often predictions of similar confidence are right, and write the expected calibration error."""
    confidence, right = results.confidence.double().numpy(), (~results.wrong).numpy()
    bins = calibration.by_confidence(confidence, right)
    error = calibration.expected_error(bins)
    plots.calibration_of_classes(
        [(one.rows, one.said, one.true) for one in bins],
        confidence,
        right,
        error,
        found.picture("calibration.png"),
        found.about,
    )
    means = f"mean confidence {confidence.mean():.1%}, accuracy {right.mean():.1%}"
    found.lines.append(f"calibration: {means}, expected calibration error {error:.4f}")
    found.numbers["expected_calibration_error"] = error
    found.write_csv("calibration.csv", ["rows", "confidence", "accuracy"], [[*vars(one).values()] for one in bins])


def _calibrate_numbers(measured: Evaluation, results: Outcomes, found: Overview) -> None:
    """Draw the mean target over similar predictions of each target, and write the expected calibration errors."""
    schema = measured.data.schema
    names = schema.target_names or tuple(map(str, range(schema.outputs)))
    panels, lines = [], []
    for index, name in enumerate(names):
        said, true = results.predicted[:, index].double().numpy(), results.true[:, index].double().numpy()
        bins = calibration.by_prediction(said, true)
        shown = [(one.rows, one.said, one.true) for one in bins]
        panels.append((name, said, true, shown, calibration.expected_error(bins)))
        lines += [[name, *one] for one in shown]
        found.lines.append(f"calibration: {name}: expected calibration error {table.number(panels[-1][-1])}")
    plots.calibration_of_numbers(panels[:MOST_TARGETS], found.picture("calibration.png"), found.about)
    found.numbers["expected_calibration_error"] = {name: error for name, *_, error in panels}
    found.write_csv("calibration.csv", ["target", "rows", "predicted", "true"], lines)
