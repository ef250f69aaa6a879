"""Nothing that is loaded executes: each test leaves a canary to be touched, and finds it untouched."""

import csv
import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import tracemalloc
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from trainctl import cli
from trainctl.errors import CheckpointError, DataError
from trainctl.fileformat.archive import extract
from trainctl.fileformat.array import read_array
from trainctl.fileformat.cifar import read_batch
from trainctl.fileformat.idx import read_idx
from trainctl.fileformat.image import read_image
from trainctl.fileformat.pixels import PixelFormat
from trainctl.settings import compose
from trainctl.store import restore
from trainctl.store.manifest import checksum
from trainctl.sweep.results_csv import as_csv
from trainctl.sweep.trial import Trial
from trainctl.train import session

CANARY = "canary.txt"
CODE = f"from pathlib import Path\nPath({CANARY!r}).touch()\nclass Canary:\n    def __init__(self, *a, **k): Path({CANARY!r}).touch()\n"


class Evil:
    def __reduce__(self):
        return Path.touch, (Path(CANARY),)


@pytest.fixture
def say(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command line here, where a package `evil` lies in wait."""
    (tmp_path / "evil").mkdir()
    for name in ("__init__", "model/__init__", "model/mlp", "model/evil"):
        path = tmp_path / "evil" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(CODE)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["trainctl", *arguments])
        code = cli.main()
        printed = capsys.readouterr()
        assert not (tmp_path / CANARY).exists()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a finished run, to be copied."""
    place = tmp_path_factory.mktemp("run") / "run"
    session.begin(compose.compose(["dataset=iris", "loop.epochs=1", "output.plots=false"]), [], place)
    return place


@pytest.fixture
def run(trained, tmp_path):
    import shutil

    return Path(shutil.copytree(trained, tmp_path / "run"))


EXECUTING = [
    ["hydra.callbacks.x._target_=evil.Canary"],
    ["+hydra.callbacks.x._target_=evil.Canary"],
    ["++hydra.job_logging.handlers.x.class=evil.Canary"],
    ["hydra/launcher=evil"],
    ["hydra/sweeper=evil"],
    ["hydra/job_logging=evil"],
    ["hydra.searchpath=[pkg://evil]"],
    ["+optimizer._target_=evil.Canary"],
    ["model.name=evil.Canary"],
    ["model=evil.Canary"],
    ["model=evil"],
    ["--experimental-rerun", "config.pickle"],
    ["--config-path", "pkg://evil"],
    ["--config-name", "evil"],
]


@pytest.mark.parametrize("typed", EXECUTING, ids=" ".join)
def test_no_word_makes_hydra_call_something(say, tmp_path, typed):
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Evil()))
    assert say(*typed)[0] == 2


HYDRA = {
    "callbacks": "# @package _global_\nhydra:\n  callbacks: {evil: {_target_: evil.Canary}}\n",
    "logging": "# @package _global_\nhydra:\n  job_logging: {version: 1, handlers: {x: {(): evil.Canary}}, root: {handlers: [x]}}\n",
    "package": "# @package hydra.callbacks.evil\n_target_: evil.Canary\n",
    "launcher": "# @package _global_\nhydra:\n  launcher: {_target_: evil.Canary}\n",
    "searchpath": "# @package _global_\nhydra:\n  searchpath: [pkg://evil]\n",
}


@pytest.mark.parametrize("name", HYDRA)
@pytest.mark.parametrize("flags", [[], ["--info", "config"]], ids=" ".join)
def test_no_file_sets_what_hydra_calls(say, tmp_path, name, flags):
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    (tmp_path / "mine" / "recipe" / "bad.yaml").write_text(HYDRA[name])
    code, _, err = say("--config-dir", "mine", "recipe=bad", *flags)
    assert code == 2
    assert "mine/recipe/bad.yaml: sets Hydra's own settings" in err or "cannot be combined" in err


DEFAULTS = {
    "callbacks": "/x@hydra.callbacks.evil: evil",
    "job logging": "override /hydra/job_logging: evil",
    "own logging": "override /hydra/hydra_logging: evil",
    "package": "/model@hydra: bad",
    "relative package": "/x@_global_.hydra.callbacks.evil: evil",
    "other file": "/x: names",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("flags", [[], ["--cfg", "hydra"]], ids=" ".join)
def test_no_file_sets_what_hydra_calls_through_another(say, tmp_path, name, flags):
    logging = "version: 1\nhandlers: {x: {(): evil.Canary}}\nroot: {handlers: [x]}\n"
    files = {
        "recipe/bad": f"# @package _global_\ndefaults:\n  - {DEFAULTS[name]}\n",
        "x/evil": "_target_: evil.Canary\n", "x/names": "# @package _global_\ndefaults:\n  - /x@hydra.callbacks.evil: evil\n",
        "hydra/job_logging/evil": logging, "hydra/hydra_logging/evil": logging,
        "model/bad": "hydra_logging: {version: 1, handlers: {x: {(): evil.Canary}}, root: {handlers: [x]}}\n",
    }  # fmt: skip
    for file, text in files.items():
        (tmp_path / "mine" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / f"{file}.yaml").write_text(text)
    code, out, err = say("--config-dir", "mine", "recipe=bad", *flags)
    assert (code, out) == (2, "")
    assert "recipe=bad: sets Hydra's own settings" in err


def change(run, **settings):
    tree = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(tree | settings))


VERBS = (
    ["resume", "run", "loop.epochs=2"],
    ["evaluate", "run"],
    ["predict", "run", "rows.npy"],
    ["explain", "run", "rows.npy"],
    ["runs", "root=."],
)
CONFIGS = {
    "components": {"components": ["evil"], "model": {"name": "evil"}},
    "target": {"model": {"_target_": "evil.Canary", "name": "mlp"}},
    "path": {"model": {"name": "../../evil"}},
    "module": {"model": {"name": "evil.Canary"}},
    "interpolation": {"loop": {"epochs": "${oc.env:HOME}"}},
    "unset": {"loop": "${oc.env:NO_SUCH_VARIABLE}"},
    "hydra": {"hydra": {"callbacks": {"x": {"_target_": "evil.Canary"}}}},
    "list": {"loop": [1]},
    "empty": {"model": None},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_a_runs_configuration_executes_nothing(say, run, tmp_path, name, words):
    np.save(tmp_path / "rows.npy", np.zeros((2, 4)))
    change(run, **CONFIGS[name])
    code, _, err = say(*words)
    assert code in ((0,) if words[0] == "runs" else (2, 4)), err


@pytest.mark.parametrize(
    "text",
    ["x: !!python/object/apply:pathlib.Path.touch [[canary.txt]]\n", "x: !!python/name:evil.Canary\n", "[" * 9999],
)
@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_a_runs_yaml_has_plain_values_only(say, run, tmp_path, text, words):
    np.save(tmp_path / "rows.npy", np.zeros((2, 4)))
    (run / "config.yaml").write_text(text)
    assert say(*words)[0] == (0 if words[0] == "runs" else 4)


def seal(path, manifest):
    """Write a manifest with a right sum: who can write a run can do that."""
    path.write_text(json.dumps(manifest | {"sha256": checksum(manifest)}))


FILES = ("config.yaml", "summary.json", "run.json", "metrics.jsonl", "checkpoints/*.json", "checkpoints/*.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize("pattern", FILES)
def test_a_run_of_pipes_is_read_in_no_time(say, run, pattern):
    for path in list(run.glob(pattern)):
        path.unlink()
        os.mkfifo(path)
    assert say("runs", "root=.")[0] == 0
    code, _, err = say("evaluate", "run")
    assert code == (4 if pattern.startswith(("c", "checkpoints")) else 0), err


def test_a_checkpoint_that_is_a_pickle_is_refused(say, run):
    saved = restore.newest(run)
    content = pickle.dumps({"model": Evil()})
    for which in ("last", "best"):
        (run / "checkpoints" / getattr(saved.manifest, which).file).write_bytes(content)
    sums = {
        which: asdict(getattr(saved.manifest, which)) | {"sha256": hashlib.sha256(content).hexdigest()}
        for which in ("last", "best")
    }
    for path in (run / "checkpoints").glob("step-*.json"):
        seal(path, asdict(saved.manifest) | sums)
    code, _, err = say("evaluate", "run")
    assert code == 4
    assert "not a safetensors file" in err


def test_a_manifest_reaches_no_other_folder(say, run, tmp_path):
    saved = restore.newest(run)
    name = saved.manifest.best.file
    (run / "checkpoints" / name).rename(tmp_path / name)
    for path in (run / "checkpoints").glob("step-*.json"):
        seal(path, asdict(saved.manifest) | {"best": asdict(saved.manifest.best) | {"file": f"../../{name}"}})
    with pytest.raises(CheckpointError, match=r"best\.file: expected a file's name"):
        restore.newest(run, ["best"])


@pytest.mark.parametrize(
    "text", ["[" * 100000, '{"format": ' + "9" * 6000 + "}", "null", "\ufeff{}", '{"format": NaN}', "{}" * 2]
)
def test_a_manifest_of_surprises_is_refused(say, run, text):
    for path in (run / "checkpoints").glob("step-*.json"):
        path.write_text(text)
    assert say("evaluate", "run")[0] == 4
    (run / "summary.json").write_text(text)
    (run / "metrics.jsonl").write_text(text)
    assert say("runs", "root=.")[0] == 0


@pytest.mark.parametrize("protocol", range(6))
def test_a_batch_of_cifar_executes_nothing(tmp_path, protocol):
    for content in (Evil(), {"data": Evil(), "labels": [1]}, [Evil()]):
        (tmp_path / "batch").write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(DataError, match="which an array does not need"):
            read_batch(tmp_path / "batch", "labels")
    assert not Path(CANARY).exists()


def pack(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), link
            tar.addfile(info, io.BytesIO(content))


def test_an_archive_gives_only_what_is_asked_for(tmp_path):
    inside, archive = tmp_path / "in", tmp_path / "a.tgz"
    pack(
        archive,
        ("../outside", tarfile.REGTYPE, b"x", ""), (str(tmp_path / "absolute"), tarfile.REGTYPE, b"x", ""),
        ("link", tarfile.SYMTYPE, b"", ".."), ("link/through", tarfile.REGTYPE, b"x", ""),
        ("device", tarfile.CHRTYPE, b"", ""), ("d/wanted", tarfile.REGTYPE, b"data", ""),
    )  # fmt: skip
    extract(archive, inside, ["d/wanted"])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a.tgz",
        "in",
        "in/d",
        "in/d/wanted",
    ]
    assert (inside / "d/wanted").read_bytes() == b"data"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_plain_file_is_refused(tmp_path, kind):
    (tmp_path / "secret").write_text("x")
    pack(tmp_path / "a.tgz", ("d/wanted", kind, b"", "../secret"))
    with pytest.raises(DataError, match="d/wanted is not a regular file"):
        extract(tmp_path / "a.tgz", tmp_path / "in", ["d/wanted"])
    with pytest.raises(DataError, match="contains no other"):
        extract(tmp_path / "a.tgz", tmp_path / "in", ["other"])


def test_an_extracted_file_is_not_written_through_a_link(tmp_path):
    (tmp_path / "in" / "d").mkdir(parents=True)
    (tmp_path / "in" / "d" / "wanted").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("mine")
    pack(tmp_path / "a.tgz", ("d/wanted", tarfile.REGTYPE, b"data", ""))
    extract(tmp_path / "a.tgz", tmp_path / "in", ["d/wanted"])
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_packed_file_is_unpacked_as_far_as_its_header_promises(tmp_path):
    header = b"\0\0\x08\x01" + struct.pack(">I", 100)
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(header)
        for _ in range(64):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(DataError, match="declares 100 bytes"):
        read_idx(tmp_path / "x")
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_arrays_of_objects_and_arrays_that_are_not_there_are_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", inputs=np.array([Evil()], dtype=object))
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Evil()))
    for name in ("o.npy", "o.npz", "p.npy"):
        with pytest.raises(DataError, match="cannot be read"):
            read_array(tmp_path / name)
    assert not Path(CANARY).exists()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    (tmp_path / "huge.npy").write_bytes(header.getvalue())
    with zipfile.ZipFile(tmp_path / "huge.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inputs.npy", header.getvalue() + bytes(10**6))
    for name in ("huge.npy", "huge.npz"):
        with pytest.raises(DataError, match="the header declares"):
            read_array(tmp_path / name)


def test_an_image_bomb_is_refused(tmp_path):
    from PIL import Image

    to = PixelFormat(channels=3, height=8, width=8)
    Image.new("1", (16000, 16000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 1e5
    with pytest.raises(DataError, match="has more than 67,108,864 pixels"):
        read_image(tmp_path / "bomb.png", to)
    Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match="has more than 67,108,864 pixels"):
        read_image(tmp_path / "large.png", to)


def test_results_of_a_sweep_hold_no_formula_and_numbers_stay(tmp_path):
    words = ("output.root==cmd()", "optimizer.lr=-1")
    trial = Trial(0, words, (), tmp_path / "0-x", status="failed", reason="@SUM(A1)", value=-0.5)
    header, row = csv.reader(as_csv([trial], "val/loss", tmp_path).splitlines())
    cells = dict(zip(header, row, strict=True))
    assert [cells[name] for name in ("output.root", "optimizer.lr", "reason", "value")] == [
        "'=cmd()",
        "-1",
        "'@SUM(A1)",
        "-0.5",
    ]
