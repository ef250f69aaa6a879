"""Runs whose rows stay on disk: stopped anywhere and resumed, in bounded memory, and under every command."""

import io
import json
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.soak import cases, seed
from trainctl.data import by_block
from trainctl.errors import CheckpointError, ConfigError, DataError, Interrupted
from trainctl.fileformat import rows_file
from trainctl.measure import inspection
from trainctl.run import assemble
from trainctl.settings import compose, config
from trainctl.store import restore, rundir
from trainctl.train import session

ROWS, COLUMNS = 640, 5
SMALL = ("loop.epochs=3", "loop.batch_size=50", "model.hidden=[8]", "output.plots=false", "device=cpu")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a table of which a window has a small part, with some values missing."""
    monkeypatch.setattr(rows_file, "BLOCK_BYTES", 16 * COLUMNS * 4)
    monkeypatch.setattr(rows_file, "WINDOW_BLOCKS", 4)
    monkeypatch.setattr(by_block, "PORTION_BYTES", 2000)
    generator = np.random.default_rng(0)
    values = generator.normal(3, 2, (ROWS, COLUMNS)).astype(np.float32)
    np.save(tmp_path / "targets.npy", (values.sum(1) > 15).astype(np.int64))
    np.save(tmp_path / "whole.npy", values)
    values[generator.random(values.shape) < 0.02] = np.nan
    values[5, 1] = 500
    np.save(tmp_path / "inputs.npy", values)
    return tmp_path


def words(data: Path, *more: str, keep: str = "disk", inputs: str = "whole") -> list[str]:
    return [
        "dataset=arrays", f"dataset.path={data / inputs}.npy", f"dataset.targets={data / 'targets.npy'}",
        f"dataset.cache={data / 'cache'}", f"dataset.keep={keep}", *SMALL, *more,
    ]  # fmt: skip


def settings(data: Path, *more: str, **how: str) -> config.Config:
    return compose.compose(words(data, *more, **how))


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return restore.newest(directory).tensors("last")


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    clock = ("seconds", "samples_per_second")
    rows = [
        [{key: value for key, value in row.items() if key not in clock} for row in rundir.read_metrics(each)]
        for each in (one, other)
    ]
    assert rows[0] == rows[1]


HARD = (
    "augment=[noise]",
    "optimizer=adamw",
    "average=ema",
    "schedule=cosine",
    "loop.clip_norm=1",
    "loop.micro_batches=2",
)


@pytest.mark.soak
def test_a_run_that_stops_at_random_steps_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    chance = seed("stops on disk")
    session.begin(settings(data, *HARD), [], tmp_path / "whole")
    steps = 3 * 9
    for case in range(cases(2)):
        directory, stops = tmp_path / f"stopped{case}", sorted(chance.sample(range(1, steps), 3))
        with pytest.raises(Interrupted):
            session.begin(settings(data, *HARD, f"loop.stop_at_step={stops[0]}"), [], directory)
        for stop in stops[1:]:
            with pytest.raises(Interrupted):
                session.resume(settings(data, *HARD, f"loop.stop_at_step={stop}"), [], directory)
        session.resume(settings(data, *HARD), [], directory)
        assert_same(tmp_path / "whole", directory)


@pytest.mark.parametrize("scale", ["standard", "minmax", "none", "robust"])
def test_scalings_are_those_of_the_rows_in_memory(data: Path, scale: str) -> None:
    disk, memory = (assemble.assemble(settings(data, f"scale={scale}", keep=keep)).data for keep in ("disk", "memory"))
    assert not disk.splits["train"].resident
    torch.testing.assert_close(disk.input_scale.factor, memory.input_scale.factor, rtol=1e-6, atol=0)
    torch.testing.assert_close(disk.input_scale.offset, memory.input_scale.offset, rtol=1e-6, atol=1e-6)
    for name in ("train", "val", "test"):
        for ours, theirs in zip(disk.splits[name].portions(90), memory.splits[name].portions(90), strict=True):  # type: ignore[index]
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])
    assert disk.schema.encoding.keep == "disk"
    assert memory.schema.encoding.keep is None


CLEANINGS = [
    ("clean=drop",),
    ("clean=drop", "clean.outliers=drop"),
    ("clean=impute",),
    ("clean=impute", "clean.outliers=clip"),
    ("clean=impute", "clean.strategy=median", "clean.outliers=drop", "clean.outlier_rule=iqr"),
    ("clean=impute", "clean.strategy=constant", "clean.fill_value=7"),
]  # fmt: skip


@pytest.mark.parametrize("cleaning", CLEANINGS, ids=" ".join)
def test_cleaning_is_that_of_the_rows_in_memory(data: Path, cleaning: tuple[str, ...]) -> None:
    disk, memory = (
        assemble.assemble(settings(data, *cleaning, keep=keep, inputs="inputs")).data for keep in ("disk", "memory")
    )
    assert disk.changes == memory.changes
    for name in ("fill", "low", "high"):
        ours, theirs = getattr(disk.cleaner, name), getattr(memory.cleaner, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(disk.splits["train"].portions(900), memory.splits["train"].portions(900), strict=True):
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)


def test_what_is_missing_is_refused_with_its_place(data: Path) -> None:
    first = np.argwhere(np.isnan(np.load(data / "inputs.npy")))
    row, column = first[0]
    place = rf"{len(first)} values of the inputs are missing or infinite, the first in row {row}, column {column}; clean=drop"
    with pytest.raises(
        DataError,
        match=place,
    ):
        assemble.assemble(settings(data, inputs="inputs"))
    with pytest.raises(ConfigError, match=r"clean.duplicates=drop: the rows stay on disk"):
        assemble.assemble(settings(data, "clean=drop", "clean.duplicates=drop"))
    with pytest.raises(ConfigError, match=r"loop.batch_size=full: the rows stay on disk"):
        assemble.assemble(settings(data, "loop.batch_size=full"))


def test_what_needs_all_values_is_fitted_to_a_sample_and_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_block, "SAMPLE_ROWS", 100)
    how = ("clean=impute", "clean.strategy=median", "clean.outliers=clip", "clean.outlier_rule=iqr", "scale=robust")
    found = assemble.assemble(settings(data, *how, inputs="inputs")).data
    (line,) = (line for line in found.changes if "sample" in line)
    assert line.startswith(
        "limits (clean.outlier_rule=iqr) and fill values (clean.strategy=median) and scale=robust: fitted to"
    )
    assert "of 448 training rows" in line
    again = assemble.assemble(settings(data, *how, inputs="inputs")).data
    assert torch.equal(found.cleaner.low, again.cleaner.low)  # type: ignore[arg-type]
    other = assemble.assemble(settings(data, *how, "split.seed=1", inputs="inputs")).data
    assert not torch.equal(found.cleaner.low, other.cleaner.low)  # type: ignore[arg-type]


def test_equal_rows_in_several_splits_are_told(data: Path) -> None:
    values = np.load(data / "whole.npy")
    values[300:] = values[:340]
    np.save(data / "whole.npy", values)
    notes = assemble.assemble(settings(data)).data.notes
    memory = assemble.assemble(settings(data, keep="memory")).data.notes
    counts = [next(note for note in each if "equal training rows" in note).split()[0] for each in (notes, memory)]
    assert counts[0] == counts[1]


def test_rows_without_a_label_stay_on_disk_too(data: Path) -> None:
    run = assemble.assemble(settings(data, "split.labels=40", "teacher=mean"))
    assert run.data.without_label is not None
    assert not run.data.without_label.resident
    assert (len(run.data.splits["train"]), len(run.data.without_label)) == (40, 408)
    inputs, targets = next(run.order.batches(3))[:2]
    assert len(inputs) > len(targets) == 40
    whole = assemble.assemble(settings(data, "split.labels=40", "model=autoencoder", "loss=mse"))
    assert len(whole.data.splits["train"]) == 448
    assert not whole.data.splits["train"].resident


def test_a_run_keeps_its_rows_where_they_were(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainctl.machine.memory.available", lambda: 20_000.0)
    with pytest.raises(Interrupted):
        session.begin(settings(data, "loop.stop_at_step=5", keep="auto"), [], tmp_path / "run")
    monkeypatch.setattr("trainctl.machine.memory.available", lambda: 1e12)
    with pytest.raises(
        ConfigError, match="the rows of this run are on disk, and are visited in another order in memory"
    ):
        session.resume(settings(data, keep="memory"), [], tmp_path / "run")
    with pytest.raises(Interrupted):
        session.resume(settings(data, "loop.stop_at_step=6", keep="disk"), [], tmp_path / "run")
    session.resume(settings(data, keep="auto"), [], tmp_path / "run")
    session.begin(settings(data, keep="disk"), [], tmp_path / "other")
    ours, theirs = tensors(tmp_path / "run"), tensors(tmp_path / "other")
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize(("before", "now", "there"), [("disk", "memory", "on disk"), ("memory", "disk", "in memory")])
def test_a_run_whose_rows_were_elsewhere_says_so(before: str, now: str, there: str, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        session.begin(settings(data, "loop.stop_at_step=3", keep=before), [], run)
    built = assemble.assemble(settings(data, keep=now))
    built.config.tree["dataset"]["keep"] = before
    saved = restore.newest(run)
    with pytest.raises(CheckpointError, match=f"its rows were {there}, .* keep them {there}"):
        restore.restore(built, saved)


def test_a_data_set_on_disk_is_described_by_a_sample(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_block, "SAMPLE_ROWS", 100)
    found = inspection.inspect(settings(data))
    assert found.rows == ROWS
    assert any("the others stay on disk" in note for note in found.notes)


def test_files_that_changed_between_two_sessions_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        session.begin(settings(data, "loop.stop_at_step=5"), [], tmp_path / "run")
    values = np.load(data / "whole.npy")
    values[7, 1] += 1
    np.save(data / "whole.npy", values)
    with pytest.raises(Exception, match=r"was created from different data: values differ"):
        session.resume(settings(data), [], tmp_path / "run")


# With the command.


def table(folder: Path, rows: int = 3000) -> None:
    chance = random.Random(0)
    lines = ["a,city,b,y"]
    for _ in range(rows):
        a, b, city = chance.gauss(0, 1), chance.gauss(5, 2), chance.choice(["Bern", "Ulm"])
        lines.append(f"{a:.4f},{city},{b:.3f},{'yes' if a + (city == 'Ulm') > 0.5 else 'no'}")
    (folder / "my.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.soak
def test_every_command_reads_rows_on_disk(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    table(tmp_path)
    data = ("dataset=csv", "dataset.path=my.csv", "dataset.target=y", "dataset.keep=disk", "dataset.cache=cache")
    done = command(*data, *SMALL, "clean=impute")
    assert done.returncode == 0, done.stderr
    assert "stay on disk" in done.stdout
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    seldom = (("reproduce",), ("explain",)) if cases(1) > 1 else ()  # seconds each
    for name, *more in (("evaluate",), ("verify",), ("predict", "my.csv"), *seldom):
        done = command(name, str(run), *more)
        assert done.returncode == 0, (name, done.stderr)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1  # converted once
    done = command("evaluate", str(run), "dataset.keep=memory")
    assert done.returncode == 0, done.stderr
    if cases(1) > 1:
        done = command("finetune", str(run), *data, *SMALL)
        assert done.returncode == 0, done.stderr
    done = command("resume", str(run), "loop.epochs=4", "dataset.keep=memory")
    assert (done.returncode, "dataset.keep=memory: the rows of this run are on disk" in done.stderr) == (2, True)
    (cached,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    content = bytearray((cached / "inputs.npy").read_bytes())
    content[5000] ^= 1
    (cached / "inputs.npy").write_bytes(content)
    done = command("evaluate", str(run))
    assert (done.returncode, "to convert again" in done.stderr, "block 0" in done.stderr) == (3, True, True)


def limited(words: list[str], folder: Path, extra: int) -> subprocess.CompletedProcess[str]:
    """Run the command with a limit of the system on the memory that it may allocate after its imports."""
    code = f"""
import resource, sys
import torch, numpy, trainctl.cli, trainctl.train.session, trainctl.run.assemble, trainctl.command.train
import torch.optim, torch._dynamo
from trainctl.fileformat import csv_arrow
if csv_arrow.arrow():
    import pyarrow.compute
torch.ones(100, 100) @ torch.ones(100, 100)
used = next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith('VmData'))
resource.setrlimit(resource.RLIMIT_DATA, (used + {extra}, used + {extra}))
sys.argv = ['trainctl', *{words!r}]
sys.exit(trainctl.cli.main())
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(  # the limit counts the stacks of threads, 8 MB each by default, of which little is used
        ["sh", "-c", 'ulimit -s 1024; exec "$@"', "sh", sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1500,
        env=environment,
        check=False,
    )


def larger_than_memory(folder: Path, size: int) -> list[str]:
    rows = size // 400
    writer = rows_file.RowsWriter(folder / "x.npy", (100,), np.dtype(np.float32))
    generator = np.random.default_rng(0)
    part = generator.normal(size=(50_000, 100)).astype(np.float32)
    while writer.rows < rows:
        writer.add(part + np.float32(writer.rows))
    writer.close()
    np.save(folder / "y.npy", np.arange(writer.rows) % 2)
    return [
        "dataset=arrays", "dataset.path=x.npy", "dataset.targets=y.npy", "dataset.cache=cache", "loop.max_steps=600",
        "loop.batch_size=256", "loop.eval_every_steps=600", "loop.record=never", "model.hidden=[8]", "output.plots=false",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_data_half_as_large_again_as_the_memory_that_may_be_used_are_trained_on(tmp_path: Path) -> None:
    limit = 400_000_000 if cases(1) == 1 else 1_500_000_000
    words = larger_than_memory(tmp_path, int(1.5 * limit))
    done = limited([*words, "dataset.keep=memory"], tmp_path, limit)
    assert done.returncode == 7, done.stderr
    assert "out of memory" in done.stderr
    done = limited([*words, "dataset.keep=disk", f"dataset.memory={limit // 10**6}MB"], tmp_path, limit)
    assert done.returncode == 0, done.stderr
    (run,) = (path for path in (tmp_path / "runs").iterdir() if (path / "summary.json").exists())
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    assert summary["outcome"] == "finished"


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("quoted", [False, True], ids=["by pyarrow", "by our own reader"])
def test_a_csv_half_as_large_again_as_the_memory_that_may_be_used_is_converted(tmp_path: Path, quoted: bool) -> None:
    limit, rows = 400_000_000, 1000
    values = np.random.default_rng(0).normal(size=(rows, 40))
    inside = 'say ""no"" to it' if quoted else "no"  # a quote inside a cell is left to our own reader
    part = "".join(
        ",".join([*(f"{value:.6g}" for value in row), f'"{inside}"' if index % 2 else "yes"]) + "\n"
        for index, row in enumerate(values)
    )
    with (tmp_path / "rows.csv").open("w") as file:
        file.write(",".join([*(f"c{index}" for index in range(40)), "answer"]) + "\n")
        while file.tell() < (1.5 if cases(1) > 2 else 0.25) * limit:  # the whole in `make soak`, which takes minutes
            file.write(part)
    words = [
        "dataset=csv", "dataset.path=rows.csv", "dataset.cache=cache", "dataset.target=answer", "dataset.keep=disk",
        f"dataset.memory={limit // 10**6}MB", "loop.max_steps=5", "loop.eval_every_steps=5", "model.hidden=[8]",
        "output.plots=false",
    ]  # fmt: skip
    done = limited(words, tmp_path, limit)
    assert done.returncode == 0, done.stderr


def table_of_one_part(folder: Path, size: int) -> list[str]:
    """Write a Parquet file with all rows in one row group, as many programs do."""
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    generator = np.random.default_rng(0)
    columns = {f"c{index}": generator.normal(size=size // 400).astype(np.float32) for index in range(100)}
    columns["y"] = np.array(["no", "yes"])[(columns["c0"] > 0).astype(int)]
    parquet.write_table(arrow.table(columns), folder / "rows.parquet", row_group_size=size)
    return ["dataset=parquet", "dataset.path=rows.parquet", "dataset.target=y"]


def picture(number: int) -> bytes:
    values = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(values).save(content := io.BytesIO(), "jpeg", quality=30)
    return content.getvalue()


def images_in_folders(folder: Path, size: int) -> list[str]:
    for number in range(20):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    for number in range(size // SIDE**2 // 3):
        place = folder / "images" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        os.link(folder / f"{number % 20}.jpg", place / f"{number}.jpg")
    return ["dataset=image_folder", "dataset.path=images", f"dataset.size={SIDE}"]


def images_in_tars(folder: Path, size: int) -> list[str]:
    pictures = [picture(number) for number in range(20)]
    with tarfile.open(folder / "images.tar", "w") as opened:
        for number in range(size // SIDE**2 // 3):
            for ending, content in (("jpg", pictures[number % 20]), ("cls", str(number % 2).encode())):
                member = tarfile.TarInfo(f"{number:06}.{ending}")
                member.size = len(content)
                opened.addfile(member, io.BytesIO(content))
    return ["dataset=tar", "dataset.path=images.tar", f"dataset.size={SIDE}"]


SIDE = 256  # of images, larger than their files are, so that these take no time
KINDS = {"parquet": table_of_one_part, "image_folder": images_in_folders, "tar": images_in_tars}


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("kind", KINDS if cases(1) > 1 else [*KINDS][:2])
def test_files_half_as_large_again_as_the_memory_that_may_be_used_are_converted(tmp_path: Path, kind: str) -> None:
    limit = 400_000_000
    words = KINDS[kind](tmp_path, int((1.5 if cases(1) > 2 else 0.1) * limit))
    words += ["dataset.cache=cache", "dataset.keep=disk", f"dataset.memory={limit // 10**6}MB", "loop.max_steps=3",
              "loop.batch_size=8", "loop.eval_batch_size=8", "loop.eval_every_steps=3", "model.hidden=[2]",
              "optimizer=sgd", "loop.record=never", "output.plots=false"]  # fmt: skip
    done = limited(words, tmp_path, limit)
    assert done.returncode == 0, done.stderr


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.skipif(cases(1) < 10, reason="takes a minute: only in the whole of make soak")
def test_many_rows_of_one_number_take_no_more_memory_than_is_said(tmp_path: Path) -> None:
    rows, limit = 8_000_000, 590_000_000  # 64 bytes a row while they are assigned to splits, and what reads ahead
    np.save(tmp_path / "x.npy", (np.arange(rows, dtype=np.float32) % 977)[:, None])
    np.save(tmp_path / "y.npy", np.arange(rows) % 977 // 400)
    words = ["dataset=arrays", "dataset.path=x.npy", "dataset.targets=y.npy", "dataset.cache=cache", "dataset.keep=disk",
             f"dataset.memory={limit // 10**6}MB", "loop.max_steps=3", "loop.eval_every_steps=3", "model.hidden=[2]",
             "loop.eval_batch_size=100000", "loop.record=never", "output.plots=false"]  # fmt: skip
    done = limited(words, tmp_path, limit)
    assert done.returncode == 0, done.stderr
