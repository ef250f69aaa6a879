"""Whatever a library raises over a user's file, of whatever class, the user gets one line and the right exit code."""

import ast
import gzip
import io
import pickle
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainctl import cli
from trainctl.errors import CheckpointError, ConfigError, DataError, UnavailableError
from trainctl.fileformat import boundary
from trainctl.fileformat.archive import extract
from trainctl.fileformat.boundary import reading
from trainctl.settings import compose, hydra_tree
from trainctl.store import rundir
from trainctl.train import session

ROOT = Path(__file__).parents[2]
Say = Callable[..., tuple[int, str, str]]


class Unheard(Exception):
    """What the next version of a library may raise."""


class Mute(Exception):
    """An exception that cannot even be printed."""

    def __str__(self) -> str:
        raise Unheard


RAISED = [
    Unheard("of a new kind"), Mute(), RecursionError("maximum recursion depth exceeded"), SystemError("odd"),
    AssertionError(), KeyError("key"), IndexError("index"), AttributeError("no such"), TypeError("of None"), ValueError("bad"),
    StopIteration(), EOFError(), OSError("without a number"), OSError(5, "Input/output error"), UnicodeError("bytes"),
    ZeroDivisionError("zero"), NotImplementedError("later"), BufferError("locked"), OverflowError("large"),
]  # fmt: skip


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_any_exception_becomes_ours_with_the_file_in_its_message(error: Exception) -> None:
    with pytest.raises(DataError) as caught, reading(Path("my.file"), what="cannot be read as X"):
        raise error
    message = str(caught.value)
    assert message.startswith("my.file: cannot be read as X: ")
    assert len(message) > len("my.file: cannot be read as X: ")
    assert "\n" not in message
    assert caught.value.__cause__ is error


def test_only_what_is_not_ours_is_converted() -> None:
    for error in (ConfigError("ours"), CheckpointError("ours"), KeyboardInterrupt(), SystemExit(3), BrokenPipeError()):
        with pytest.raises(type(error)) as caught, reading("my.file"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("CUDA out of memory")]
)
def test_a_lack_of_memory_is_not_the_fault_of_the_file(error: Exception) -> None:
    with pytest.raises(UnavailableError, match=r"my\.file: out of memory while reading it"), reading("my.file"):
        raise error
    with pytest.raises(DataError), reading("my.file"):
        raise ValueError("line 3: 'out of memory' is not a number")  # a quotation of the file


def test_a_long_message_is_cut_and_the_place_may_be_known_late() -> None:
    lines = [3]
    late = reading(lambda: f"my.file, line {lines[-1]}")
    lines.append(4)
    with pytest.raises(DataError) as caught, late:
        raise ValueError("x" * 10_000)
    assert str(caught.value).startswith("my.file, line 4: cannot be read: xxx")
    assert len(str(caught.value)) < 400


# Every reader by the library that it calls.


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (9, 7)).save(stream, "PNG")
    return stream.getvalue()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, inputs=np.arange(60.0).reshape(20, 3), targets=np.arange(20) % 2)
    return stream.getvalue()


def idx(*shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(int(np.prod(shape)))


BATCH = pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}, protocol=2)
FILES = {
    "conf/model/mine.yaml": b"name: mlp\nhidden: [8]\nactivation: relu\nnorm: none\ndropout: 0.0\n",
    "conf/optimizer/own.yaml": b"name: own\nlr: 0.1\n",
    "bounded_package/optimizer/own.py": b"def own(*, params, lr: float): ...\n",
    "my.csv": b"x,y\n" + b"".join(b"%d.5,%d\n" % (row, row % 2) for row in range(20)),
    "my.npz": npz(),
    **{f"pets/{name}/{row}.png": png() for name in ("cat", "dog") for row in range(3)},
    **{f"MNIST/raw/{name}-images-idx3-ubyte.gz": gzip.compress(idx(20, 4, 4)) for name in ("train", "t10k")},
    **{f"MNIST/raw/{name}-labels-idx1-ubyte.gz": gzip.compress(idx(20)) for name in ("train", "t10k")},
    **{f"cifar-10-batches-py/{name}": BATCH for name in (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch")},
}  # fmt: skip
CSV = "dataset=csv dataset.path=my.csv dataset.target=y loop.max_steps=1 output.plots=false"
ARRAYS = "dataset=arrays dataset.path=my.npz"
IMAGES = "dataset=image_folder dataset.path=pets dataset.size=8 dataset.cache=cache"
MNIST = "dataset=mnist dataset.root=. dataset.download=false"
CIFAR = "dataset=cifar10 dataset.root=. dataset.download=false"
OWN = "components=[bounded_package] optimizer=own --cfg job"
# The function of the library, what is typed, the exit code, and what the message names.
CALLS = [
    ("trainctl.fileformat.tree.yaml.load", "model=mine", 2, "recipes/"),
    ("trainctl.fileformat.tree.yaml.parse", "recipe=mnist_cnn", 2, "recipes/"),
    ("trainctl.fileformat.tree.yaml.load", "list optimizer own", 2, "conf/optimizer/own.yaml"),
    ("trainctl.settings.hydra_tree.OmegaConf.load", "recipe=mnist_cnn", 2, "recipes/"),
    ("trainctl.settings.hydra_tree.hydra.compose", "seed=1", 2, "the default run: cannot be composed"),
    ("trainctl.settings.hydra_tree.hydra.initialize_config_dir", "seed=1", 2, "the default run: cannot be composed"),
    ("trainctl.settings.compose.OmegaConf.to_container", "optimizer.lr=${seed}", 2, ""),
    ("trainctl.settings.hydra_flags.hydra.main", "--cfg job", 2, "configuration: cannot be shown"),
    ("trainctl.settings.overrides.OverridesParser.parse_override", "optimizer.lr=1", 2, "optimizer.lr=1"),
    ("hydra.core.override_parser.types.Override.sweep_string_iterator", "-m seed=1,2", 2, "seed=1,2: not a list of values"),
    ("trainctl.fileformat.source.ast.parse", OWN, 2, "bounded_package/optimizer/own.py"),
    ("trainctl.settings.component.importlib.util.find_spec", "components=[nowhere]", 2, "components=["),
    ("trainctl.fileformat.delimited.csv.reader", CSV, 3, "my.csv, line 1"),
    ("trainctl.fileformat.array.zipfile.ZipFile", ARRAYS, 3, "my.npz"),
    ("trainctl.fileformat.array.np.lib.format.read_magic", ARRAYS, 3, "my.npz"),
    ("trainctl.fileformat.array.np.lib.format.read_array_header_1_0", ARRAYS, 3, "my.npz"),
    ("trainctl.fileformat.array.np.lib.format.read_array", ARRAYS, 3, "my.npz"),
    ("PIL.Image.open", IMAGES, 3, "pets/cat/0.png"),
    ("PIL.ImageOps.exif_transpose", IMAGES, 3, "pets/cat/0.png"),
    ("PIL.Image.Image.convert", IMAGES, 3, "pets/cat/0.png"),
    ("trainctl.fileformat.idx.gzip.open", MNIST, 3, "train-images-idx3-ubyte.gz"),
    ("trainctl.fileformat.idx.struct.unpack", MNIST, 3, "train-images-idx3-ubyte.gz"),
    ("trainctl.fileformat.cifar.Restricted.load", CIFAR, 3, "data_batch_1"),
    ("trainctl.store.tensors.safetensors.torch.load", "evaluate run", 4, "run/checkpoints/"),
    ("trainctl.store.tensors.safetensors.torch.load", "resume run loop.epochs=2", 4, "run/checkpoints/"),
    ("trainctl.fileformat.json_text.json.loads", "evaluate run", 4, "run/checkpoints/"),
    ("trainctl.fileformat.tree.yaml.load", "evaluate run", 4, "run/config.yaml"),
    ("trainctl.fileformat.tree.yaml.parse", "resume run", 4, "run/config.yaml"),
    ("trainctl.fileformat.delimited.csv.reader", "predict run my.csv", 3, "my.csv, line 1"),
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained") / "run"
    session.begin(compose.compose(["dataset=iris", "loop.epochs=1", "output.plots=false"]), [], directory)
    return directory


@pytest.fixture
def say(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs the command line where the files of users are."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    shutil.copytree(trained, tmp_path / "run")

    def forget() -> None:
        hydra_tree._compose_members.cache_clear()
        hydra_tree._register_recipes.cache_clear()

    anew = []

    def run(typed: str, *, fresh: bool = True) -> tuple[int, str, str]:
        if fresh:
            forget()
            anew.append(typed)
        monkeypatch.setattr(sys, "argv", ["trainctl", *typed.split()])
        code = cli.main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run
    if anew:
        forget()


@pytest.mark.slow
@pytest.mark.parametrize(("function", "typed", "code", "named"), CALLS, ids=[f"{row[0]} {row[1]}" for row in CALLS])
def test_a_library_that_raises_something_new_ends_in_one_line(
    say: Say, monkeypatch: pytest.MonkeyPatch, function: str, typed: str, code: int, named: str
) -> None:
    def broken(*arguments: object, **options: object) -> object:
        raise Unheard("of a new kind")

    compose.compose([])  # what is read once per process
    with monkeypatch.context() as patch:
        patch.setattr(function, broken)
        given, _, err = say(typed, fresh=code == 2 and ("recipe" in typed or "compose.OmegaConf" not in function))
    assert given == code, err
    assert err.startswith("trainctl: ")
    assert err.count("\n") == 1 or " of 6 images cannot be read" in err.split("\n")[0], err
    assert named in err
    assert "of a new kind" in err or "damaged" in err


@pytest.mark.parametrize("function", ["trainctl.fileformat.json_text.json.loads", "trainctl.fileformat.tree.yaml.load"])
def test_a_run_that_cannot_be_read_is_still_listed(say: Say, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def broken(*arguments: object, **options: object) -> object:
        raise Unheard

    with monkeypatch.context() as patch:
        patch.setattr(function, broken)
        code, out, err = say("runs root=.")
    assert (code, err) == (0, "")
    assert "damaged" in out


def test_an_archive_and_a_download_are_inside_a_boundary_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import utils

    from trainctl.fileformat.download import download

    def broken(*arguments: object, **options: object) -> object:
        raise Unheard("of a new kind")

    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    monkeypatch.setattr(tarfile, "open", broken)
    with pytest.raises(DataError, match=r"a\.tar: cannot be read: of a new kind"):
        extract(tmp_path / "a.tar", tmp_path, ["x"])
    monkeypatch.setattr(utils, "download_url", broken)
    for name in ("MNIST", "CIFAR10"):
        with pytest.raises(
            DataError, match=f"{name} could not be downloaded to .*: of a new kind; where the files exist"
        ):
            download(name, tmp_path)


def test_a_manifest_of_the_wrong_shape_is_damage(say: Say, tmp_path: Path) -> None:
    from trainctl.store.manifest import checksum

    *others, path = sorted((tmp_path / "run" / "checkpoints").glob("step-*.json"))
    for other in others:
        other.unlink()
    whole = rundir.read_json(path)
    for key in ("step", "state", "data", "settings", "optimizer", "scaler", "last", "best"):
        for value in (None, 3, "x", [], {}):
            if key in ("last", "best") and not value:
                continue  # means that there is none
            manifest = whole | {key: value}
            rundir.write_json(path, manifest | {"sha256": checksum(manifest)})
            if isinstance(value, type(whole[key])):
                continue  # such as an empty state: told apart when it is restored
            code, _, err = say("evaluate run" if key == "best" else "resume run loop.epochs=2")
            assert (code, err.count("\n")) == (4, 1), (key, value, err)
            assert str(path.name) in err


# No reader is forgotten.

READERS = {
    "yaml.load", "yaml.parse", "yaml.safe_load", "json.load", "json.loads", "ast.parse", "csv.reader", "csv.DictReader",
    "zipfile.ZipFile", "tarfile.open", "gzip.open", "Image.open", "np.load", "np.loadtxt", "np.genfromtxt", "np.fromfile",
    "np.lib.format.read_array", "safetensors.torch.load", "safetensors.torch.load_file", "safe_open", "torch.load",
    "pickle.load", "pickle.loads", "OmegaConf.load", "OmegaConf.create", "OmegaConf.to_container", "hydra.compose", "hydra.main",
    "parser.parse_override", "importlib.util.find_spec", "tomllib.load", "download_url", "xml.etree.ElementTree.parse",
    "Restricted",
}  # fmt: skip
# Not files of users: scikit-learn's own, what was written just before, and Hydra's own settings.
TRUSTED = {
    "trainctl/machine/link.py": {"json.loads"},  # of what the other processes of the run say
    "trainctl/machine/notices.py": {"json.loads"},  # the same
    "trainctl/train/spread.py": {"json.loads", "safetensors.torch.load"},  # likewise
    "trainctl/step/split_state.py": {"safetensors.torch.load"},  # likewise
    "trainctl/machine/launch.py": {"json.loads"},  # of whole lines that our own processes wrote
    "trainctl/components/logger/wandb.py": {"Image.open", "json.loads"},  # of plots and lines that we wrote
    "trainctl/components/dataset/_published.py": {"np.loadtxt", "importlib.util.find_spec"},
    "trainctl/components/dataset/digits.py": {"gzip.open", "np.loadtxt"},
    "trainctl/components/dataset/diabetes.py": {"gzip.open", "np.loadtxt"},
    "trainctl/settings/hydra_tree.py": {"OmegaConf.to_container"},
    "trainctl/report/html/blocks.py": {"Image.open"},  # of pictures that we have drawn
    "trainctl/fileformat/packed.py": {"json.loads"},  # of what it has just made
    "trainctl/store/difference.py": {"json.loads"},
    "trainctl/finished/bitwise.py": {"json.loads"},
    "trainctl/run/factory.py": {"importlib.util.find_spec"},
    "trainctl/finished/agreement.py": {"csv.reader"},  # of what predict wrote
    "trainctl/finished/weights_file.py": {"json.loads", "safetensors.torch.load"},  # of what it wrote
    "trainctl/command/export.py": {"importlib.util.find_spec"},
    "trainctl/command/serve.py": {"importlib.util.find_spec"},
}


LAST_WORDS = {name.rpartition(".")[2] for name in READERS}


def reads(node: ast.AST) -> str:
    """Return the name of the reader that a node calls, or an empty text."""
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", getattr(node.func, "id", "")) not in LAST_WORDS:
        return ""
    return name if (name := ast.unparse(node.func)) in READERS else ""


def outside(tree: ast.AST, inside: bool = False, function: str = "") -> set[tuple[str, str]]:
    """Return the readers that are called outside of `with reading(...)`, each with the function that calls it."""
    found: set[tuple[str, str]] = set()
    for node in ast.iter_child_nodes(tree):
        here = inside
        if isinstance(node, ast.With):
            names = [
                ast.unparse(item.context_expr.func) for item in node.items if isinstance(item.context_expr, ast.Call)
            ]
            here = inside or names[:1] == ["reading"]
        if not here and (name := reads(node)):
            found.add((function, name))
        found |= outside(node, here, node.name if isinstance(node, ast.FunctionDef) else function)
    return found


# Functions that are called inside of a boundary only.
CALLED_INSIDE = {"_member", "_array", "_from_mirrors", "_bytes", "_decoded"}


def test_every_call_of_a_library_that_reads_is_inside_a_boundary() -> None:
    files = sorted((ROOT / "trainctl").rglob("*.py"))
    assert len(files) > 150
    calls = 0
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls += sum(map(bool, map(reads, ast.walk(tree))))
        found = {(caller, call) for caller, call in outside(tree) if caller not in CALLED_INSIDE}
        assert {call for _, call in found} <= TRUSTED.get(name, set()), name
    assert calls > 25


def test_the_check_for_boundaries_sees_a_call_without_one() -> None:
    tree = ast.parse(
        "def f(x):\n    with open(x) as file:\n        yaml.load(file)\n    with reading(x):\n        json.loads(x)\n"
    )
    assert outside(tree) == {("f", "yaml.load")}
    assert boundary.reason(ValueError()) == "ValueError"
