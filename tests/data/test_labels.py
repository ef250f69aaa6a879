"""Which rows keep their labels: so many, of each class its share, a function of the seed; the others have none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainctl.components.dataset.base import Dataset
from trainctl.data import labels
from trainctl.data.split import split_rows
from trainctl.errors import ConfigError, DataError, TrainctlError
from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.settings.config import Split
from trainctl.train import provenance


def data(counts: list[int], missing: int = 0) -> Dataset:
    classes = torch.cat(
        [torch.full((count,), index) for index, count in enumerate(counts)] + [torch.full((missing,), -1)]
    )
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    names = tuple(map(str, range(len(counts))))
    return Dataset(torch.arange(len(classes)).float()[:, None], classes[order], "classification", names)


def split(count: int | None, seed: int = 0) -> Split:
    return Split(0.15, 0.15, seed, count)


def known(dataset: Dataset) -> torch.Tensor:
    return (dataset.targets >= 0).nonzero()[:, 0]


@pytest.mark.parametrize("count", [3, 10, 99, 300])
def test_exactly_so_many_rows_keep_labels_and_each_class_its_share(count: int) -> None:
    dataset = data([600, 300, 100])
    train = torch.arange(0, 1000, 2)
    hidden = labels.hide(dataset, train, split(count))
    kept = train[hidden.targets[train] >= 0]
    assert len(kept) == count
    shares = torch.bincount(dataset.targets[kept], minlength=3)
    exact = torch.bincount(dataset.targets[train], minlength=3) * count / len(train)
    assert (shares - exact).abs().max() < 2
    assert shares.min() >= 1
    assert torch.equal(hidden.targets[kept], dataset.targets[kept])
    others = torch.arange(1, 1000, 2)
    assert torch.equal(hidden.targets[others], dataset.targets[others])  # validation and test keep theirs


def test_the_choice_is_a_function_of_the_seed() -> None:
    dataset, train = data([60, 40]), torch.arange(100)
    first, again, other = (known(labels.hide(dataset, train, split(20, seed))) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fewer_labels_than_classes_are_possible() -> None:
    assert len(known(labels.hide(data([5] * 10), torch.arange(50), split(4)))) == 4


def test_more_labels_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"split.labels=50: only 40 training rows have a label"):
        labels.hide(data([20, 20], missing=20), torch.arange(60), split(50))


def test_numbers_without_a_label_are_nan() -> None:
    dataset = Dataset(torch.zeros(50, 1), torch.arange(50.0)[:, None], "regression")
    hidden = labels.hide(dataset, torch.arange(40), split(10))
    assert int(hidden.targets[:40].isnan().sum()) == 30
    assert not hidden.targets[40:].isnan().any()


def test_rows_without_a_target_are_training_rows() -> None:
    dataset = data([60, 40], missing=900)
    rows = split_rows(dataset, split(None))
    assert [len(rows[name]) for name in ("train", "val", "test")] == [970, 15, 15]
    assert (dataset.targets[torch.cat([rows["val"], rows["test"]])] >= 0).all()


def test_a_split_without_missing_targets_is_the_same_as_before() -> None:
    full, sparse = data([60, 40]), data([60, 40], missing=0)
    assert all(
        torch.equal(split_rows(full, split(None))[name], split_rows(sparse, split(None))[name])
        for name in ("train", "val")
    )


def test_omitted_classes_are_only_in_validation_and_test() -> None:
    run = assemble.assemble(compose.compose(["dataset=digits", "split.omit=[3,7]"]))
    counts = {
        name: torch.bincount(next(rows.portions(10**6))[1], minlength=10) for name, rows in run.data.splits.items()
    }
    assert counts["train"][[3, 7]].tolist() == [0, 0]
    assert (counts["train"] > 0).sum() == 8
    assert (counts["val"][[3, 7]] > 0).all()
    assert (counts["test"][[3, 7]] > 0).all()


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["split.omit=[11]"], ConfigError, r"split.omit=11: no such class"),
        (["dataset=diabetes", "loss=mse", "split.omit=[1]"], ConfigError, "is a regression, which has no classes"),
        (["split.omit=[0,1,2,3,4,5,6,7,8,9]"], DataError, "leaves no rows to train on"),
        (["split.labels=2000"], ConfigError, "split.labels=2000: only 1,257 training rows have a label"),
    ],
)
def test_what_does_not_match_the_data_is_an_error(words: list[str], kind: type[TrainctlError], message: str) -> None:
    with pytest.raises(kind, match=message):
        assemble.assemble(compose.compose(["dataset=digits", *words]))


def test_run_json_says_which_rows_keep_labels() -> None:
    run = assemble.assemble(compose.compose(["dataset=digits", "split.labels=50", "teacher=self"]))
    facts = provenance.run_json(run)["data"]["labels"]
    assert facts["labeled"] == len(facts["row_numbers"]) == len(run.data.splits["train"]) == 50
    assert facts["unlabeled"] == 1257 - 50
    assert facts["classes"] == dict.fromkeys(map(str, range(10)), 5)


def test_without_a_teacher_only_rows_with_a_label_are_trained_on_in_the_same_scaling() -> None:
    runs = [assemble.assemble(compose.compose(["split.labels=50", f"teacher={name}"])) for name in ("none", "self")]
    assert runs[0].data.without_label is None
    assert [len(run.data.splits["train"]) for run in runs] == [50, 50]
    assert torch.equal(*(run.data.input_scale.factor for run in runs))


@pytest.mark.parametrize("suffix", ["int", "text"])
def test_marks_in_arrays(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 200)
    classes[50:] = -1
    answers = classes if suffix == "int" else np.array(["abc"[c] if c >= 0 else "" for c in classes])
    np.savez(tmp_path / "d.npz", inputs=rng.normal(size=(200, 4)), targets=answers)
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'd.npz'}", "teacher=self"]
    run = assemble.assemble(compose.compose(words))
    assert run.data.schema.class_names == (("0", "1", "2") if suffix == "int" else ("a", "b", "c"))
    assert run.data.without_label is not None
    assert len(run.data.without_label) == 150
    if suffix == "int":  # without a teacher, -1 is a class like any other
        assert assemble.assemble(compose.compose([*words[:2]])).data.schema.class_names == ("-1", "0", "1", "2")


def test_no_row_with_a_class(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", inputs=np.zeros((20, 4)), targets=np.full(20, -1))
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'd.npz'}", "teacher=self"]
    with pytest.raises(DataError, match="no row has a class"):
        assemble.assemble(compose.compose(words))


def test_a_missing_target_in_a_csv(tmp_path: Path) -> None:
    rows = [f"{index},{index % 7},{'ab'[index % 2] if index < 60 else ''}" for index in range(300)]
    (tmp_path / "d.csv").write_text("\n".join(["x,z,kind", *rows]))
    words = ["dataset=csv", f"dataset.path={tmp_path / 'd.csv'}", "dataset.target=kind"]
    run = assemble.assemble(compose.compose([*words, "teacher=mean"]))
    assert run.data.without_label is not None
    assert [len(run.data.splits["train"]), len(run.data.without_label)] == [42, 240]
    with pytest.raises(DataError, match="240 values of the targets are missing or infinite"):
        assemble.assemble(compose.compose(words))
    assert len(assemble.assemble(compose.compose([*words, "clean=drop"])).data.splits["train"]) == 42
    rows[3] = ",1,a"
    (tmp_path / "d.csv").write_text("\n".join(["x,z,kind", *rows]))
    dropped = assemble.assemble(compose.compose([*words, "clean=drop", "teacher=mean"]))
    assert dropped.data.without_label is not None
    assert len(dropped.data.without_label) == 240  # missing inputs are dropped, missing targets are not


@pytest.mark.parametrize("teacher", ["none", "self"])
def test_a_file_of_texts_without_a_class(tmp_path: Path, teacher: str) -> None:
    for name in ("english", "french", "unlabeled"):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{name[:2]}{index}" for index in range(20)))
    run = assemble.assemble(
        compose.compose(["dataset=text", f"dataset.path={tmp_path}", "model=rnn", f"teacher={teacher}"])
    )
    free = 0 if run.data.without_label is None else len(run.data.without_label)
    assert (run.data.schema.class_names, free) == (
        (("english", "french", "unlabeled"), 0) if teacher == "none" else (("english", "french"), 20)
    )
