"""The charts and tables of a classification: confusion, classes, ROC, precision and recall, calibration."""

from collections.abc import Sequence

import numpy as np

from trainctl.finished import calibration
from trainctl.finished.evaluate import class_scores
from trainctl.finished.report.measured import Measured
from trainctl.report import overview_plots, plots
from trainctl.report.chart import GREY, Chart, Series
from trainctl.report.document import Charts, Matrix, Section, Table
from trainctl.store.runpath import AnyPath
from trainctl.wording import amount

MOST_CURVES = 8  # classes that have a curve of their own, those that are hardest to tell first
MOST_CLASSES = 200  # of the confusion matrix in the page
MOST_POINTS = 400  # of a curve
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]
Chance = tuple[int, np.ndarray, np.ndarray, float, float]  # class, whether rows belong to it, said, AUC, precision


def sections(measured: Measured, about: str, folder: AnyPath) -> list[Section]:
    """Return the sections of a classification; draw what has a form of its own as PNG.

    Args:
        measured: The run, measured.
        about: Run, data and split.
        folder: The directory of PNG files.

    Raises:
        StorageError: If a file cannot be written.
    """
    names = measured.evaluation.data.schema.class_names
    counts = confusion(measured, len(names))
    plots.confusion(counts, names, folder / "confusion.png", about)
    right, total = sum(counts[index][index] for index in range(len(names))), measured.rows
    caption = f"{about}: {right:,} of {total:,} correct. Colour: fraction of the true class."
    matrix = [Matrix(names, counts, caption)] if len(names) <= MOST_CLASSES else []
    chances = _chances(measured)
    curves = [chart for chart in (roc(measured, chances, about), precision_recall(measured, chances, about)) if chart]
    return [
        Section("Classes", [*matrix, _by_class(names, counts, chances)]),
        Section("Thresholds", [Charts(curves)] if curves else []),
        Section("Calibration", [Charts([_calibration(measured, about, folder)])]),
    ]


def confusion(measured: Measured, classes: int) -> list[list[int]]:
    """Return the confusion matrix: one row for each true class, one column for each predicted class."""
    results = measured.results
    flat = (results.true * classes + results.predicted).bincount(minlength=classes * classes)
    found: list[list[int]] = flat.reshape(classes, classes).tolist()
    return found


def _chances(measured: Measured) -> list[Chance]:
    """Return of each class its number, whether rows belong to it, their probabilities, AUC and average precision.

    Of two classes only the second; classes without rows, or with all rows, are left out.
    """
    assert measured.scores is not None
    chances, targets = measured.scores.chances, measured.scores.targets
    found = []
    for index in [1] if chances.shape[1] == 2 else range(chances.shape[1]):
        own = targets == index
        if own.any() and not own.all():
            said = chances[:, index]
            false, true, _ = roc_curve(own, said)
            found.append((index, own, said, float(np.trapezoid(true, false)), average_precision(own, said)))
    return found


def _by_class(names: tuple[str, ...], counts: list[list[int]], chances: list[Chance]) -> Table:
    """Return a table with a row for each class."""
    areas = {index: (area, precision) for index, _, _, area, precision in chances}
    rows = []
    for index, name in enumerate(names):
        scored = class_scores(name, index, counts)
        numbers = [scored.precision, scored.recall, scored.f1]
        cells = ["-" if value is None else f"{value:.4f}" for value in numbers]
        own = areas.get(index, areas.get(1) if len(names) == 2 and index == 1 else None)
        cells += [f"{own[0]:.4f}", f"{own[1]:.4f}"] if own else ["-", "-"]
        rows.append([name, f"{scored.rows:,}", f"{sum(row[index] for row in counts):,}", *cells])
    headers = ["class", "rows", "predicted", "precision", "recall", "F1", "ROC AUC", "average precision"]
    return Table(headers, rows, frozenset(range(1, 8)), "Each class against all others.")


def roc_curve(own: np.ndarray, said: np.ndarray) -> Curve:
    """Return the false and the true positive rates, and the thresholds: equal rows share one point.

    Args:
        own: Whether each row belongs to the class ``(N,)``; some do, and some do not.
        said: Its probability of that ``(N,)``.

    >>> [kind.tolist() for kind in roc_curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))]
    [[0.0, 0.0, 1.0], [0.0, 0.5, 1.0], [inf, 0.9, 0.5]]
    """
    true, false, thresholds = _counts(own, said)
    return (
        np.concatenate([[0.0], false / max(1, int((~own).sum()))]),
        np.concatenate([[0.0], true / max(1, int(own.sum()))]),
        np.concatenate([[np.inf], thresholds]),
    )


def _counts(own: np.ndarray, said: np.ndarray) -> Curve:
    """Return how many rows of the class, and of others, have at least each different probability, and these."""
    order = np.argsort(-said, kind="stable")
    ordered, hits = said[order], own[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return np.cumsum(hits)[last], np.cumsum(~hits)[last], ordered[last]


def precision_recall_curve(own: np.ndarray, said: np.ndarray) -> Curve:
    """Return the recalls, the precisions and the thresholds, from the highest threshold to the lowest.

    >>> [kind.tolist() for kind in precision_recall_curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))]
    [[0.5, 1.0], [1.0, 0.6666666666666666], [0.9, 0.5]]
    """
    true, false, thresholds = _counts(own, said)
    return true / max(1, int(own.sum())), true / (true + false), thresholds


def average_precision(own: np.ndarray, said: np.ndarray) -> float:
    """Return the mean precision, weighted by the rise of the recall, as scikit-learn defines it."""
    recall, precision, _ = precision_recall_curve(own, said)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _kept(count: int) -> np.ndarray:
    """Return the points of a curve that are drawn."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))


def roc(measured: Measured, chances: list[Chance], about: str) -> Chart | None:
    """Return the ROC curves of the classes; None if there is none."""
    if not chances:
        return None
    names, drawn = measured.evaluation.data.schema.class_names, [_diagonal("chance")]
    chosen = sorted(chances, key=lambda each: each[3])[:MOST_CURVES]
    for place, (index, own, said, area, _) in enumerate(chosen):
        false, true, thresholds = (part[_kept(len(part))] for part in roc_curve(own, said))
        points = zip(thresholds, true, false, strict=True)
        texts = [f"threshold {least:.3f}: {hits:.1%} found, {wrong:.1%} false alarms" for least, hits, wrong in points]
        drawn.append(_line(f"{names[index]}: AUC {area:.4f}", false, true, place, texts))
    title = f"ROC{_some(chosen, chances)}"
    return _square("roc", title, about, "false positive rate", "true positive rate", drawn)


def precision_recall(measured: Measured, chances: list[Chance], about: str) -> Chart | None:
    """Return the curves of precision over recall; None if there is none."""
    if not chances:
        return None
    names, drawn = measured.evaluation.data.schema.class_names, []
    chosen = sorted(chances, key=lambda each: each[4])[:MOST_CURVES]
    if len(chances) == 1:
        share = float(chances[0][1].mean())
        drawn.append(Series(f"chance: {share:.1%}", [0.0, 1.0], [share, share], "dashed", GREY))
    for place, (index, own, said, _, area) in enumerate(chosen):
        recall, precision, thresholds = (part[_kept(len(part))] for part in precision_recall_curve(own, said))
        points = zip(thresholds, precision, recall, strict=True)
        texts = [f"threshold {least:.3f}: precision {right:.1%}, recall {hits:.1%}" for least, right, hits in points]
        drawn.append(_line(f"{names[index]}: average precision {area:.4f}", recall, precision, place, texts))
    title = f"Precision and recall{_some(chosen, chances)}"
    return _square("precision_recall", title, about, "recall", "precision", drawn)


def _line(name: str, x: np.ndarray, y: np.ndarray, colour: int, texts: Sequence[str]) -> Series:
    return Series(name, x.tolist(), y.tolist(), "line", colour, texts=texts)


def _square(
    name: str, title: str, about: str, x_label: str, y_label: str, series: Sequence[Series], note: str = ""
) -> Chart:
    """Return a chart whose axes both go from 0 to 1."""
    return Chart(
        name=name, title=title, about=about, x_label=x_label, y_label=y_label, series=tuple(series), square=True,
        bottom=-0.02, top=1.02, nearest=True, note=note,
    )  # fmt: skip


def _some(chosen: list[Chance], of: list[Chance]) -> str:
    return f": the {len(chosen)} hardest of {len(of)} classes" if len(chosen) < len(of) else ""


def _diagonal(name: str) -> Series:
    return Series(name, [0.0, 1.0], [0.0, 1.0], "dashed", GREY)


def _calibration(measured: Measured, about: str, folder: AnyPath) -> Chart:
    """Return how often predictions of similar confidence are right; the PNG also has how many there are."""
    results = measured.results
    confidence, right = results.confidence.double().numpy(), (~results.wrong).numpy()
    bins = calibration.by_confidence(confidence, right)
    error = calibration.expected_error(bins)
    shown = [(one.rows, one.said, one.true) for one in bins]
    overview_plots.calibration_of_classes(shown, confidence, right, error, folder / "calibration.png", about)
    texts = [f"confidence {one.said:.1%}, right {one.true:.1%} ({amount(one.rows, 'row')})" for one in bins]
    said = Series("", [one.said for one in bins], [one.true for one in bins], "line", 0, texts=texts)
    note = (
        f"Expected calibration error {error:.4f}: the mean distance from the diagonal. Mean confidence"
        f" {confidence.mean():.1%}, accuracy {right.mean():.1%}."
    )
    x_label, y_label = "confidence: probability of the predicted class", "fraction that is right"
    return _square("calibration", "Calibration", about, x_label, y_label, [_diagonal("perfect"), said], note)
