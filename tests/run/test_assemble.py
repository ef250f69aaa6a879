"""What assemble supplies to the parts."""

from pathlib import Path

import pytest
import torch

from trainctl.data import statistics
from trainctl.errors import Advice
from trainctl.run import assemble
from trainctl.run.run import Run
from trainctl.settings import compose


def make(*overrides: str) -> Run:
    return assemble.assemble(compose.compose([*overrides, "output.plots=false"]))


def counts(run: Run) -> list[int]:
    classes = run.data.schema.outputs if run.task == "classification" else 0
    return statistics.class_counts(run.data.splits["train"], classes).tolist()


def test_classes_are_counted_in_the_training_split_alone() -> None:
    run = make("dataset=wine")
    labels = run.data.splits["train"].targets
    assert counts(run) == [int((labels == name).sum()) for name in range(3)]
    assert sum(counts(run)) == len(labels) < 178


@pytest.mark.parametrize("overrides", [("dataset=diabetes",), ("model=autoencoder",)], ids=" ".join)
def test_where_nothing_is_classified_there_is_nothing_to_count(overrides: tuple[str, ...]) -> None:
    assert counts(make(*overrides)) == []


def test_balanced_weights_are_those_of_the_training_split() -> None:
    run = make("dataset=breast_cancer", "loss.class_weights=balanced")
    labels = run.data.splits["train"].targets
    share = torch.bincount(labels) / len(labels)
    outputs, targets = torch.zeros(2, 2), torch.tensor([0, 1])
    for row in (0, 1):
        loss = run.loss(outputs[row : row + 1], targets[row : row + 1]).item()
        assert loss == pytest.approx(torch.tensor(2.0).log().item() / (2 * share[row].item()), rel=1e-5)


def test_an_average_that_the_clock_may_keep_from_beginning_is_told_so() -> None:
    with pytest.warns(Advice, match=r"start_fraction=0\.75 counts planned steps, and loop\.max_time may end the run"):
        make("average=swa", "loop.max_time=1s")
    make("average=swa", "loop.max_time=1s", "average.start_fraction=0")
    make("average=swa")
    make("average=ema", "loop.max_time=1s")


def test_a_finished_runs_fill_values_serve_data_without_a_value_in_a_column(tmp_path: Path) -> None:
    overrides = (
        "dataset=csv", f"dataset.path={tmp_path / 'my.csv'}", "dataset.target=y", "clean=impute", "clean.outliers=drop",
    )  # fmt: skip
    rows = [f"{row % 5},{row % 3},{'ab'[row % 2]}" for row in range(39)] + ["1000000,1,a"]
    (tmp_path / "my.csv").write_text("\n".join(["x,z,y", *rows, ""]))
    first = make(*overrides)
    dropped = sum("1 training row with outliers" in change for change in first.data.changes)
    (tmp_path / "my.csv").write_text("\n".join(["x,z,y", *(row.replace(row[-4:-2], ",") for row in rows), ""]))
    settings = compose.compose([*overrides, "output.plots=false"])
    later = assemble.assemble_evaluation(settings, first.data.schema, first.data.fitted)
    fill = first.data.cleaner.fill
    assert fill is not None
    assert dropped == 1
    assert len(later.data.splits["train"].inputs) == len(first.data.splits["train"].inputs)
    assert later.data.splits["test"].inputs[:, 1].unique().tolist() == [fill[1].item()]
