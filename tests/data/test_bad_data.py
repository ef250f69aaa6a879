"""Data that are not as they should be: one line that names the place, before training, and nothing left behind.

Each row of the tables is a command, with the files that it finds. Readers' own tests have more of their messages.
"""

import ctypes
import gzip
import io
import json
import os
import pickle
import pwd
import random
import resource
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT
from tests.soak import cases, seed
from trainctl import cli
from trainctl.components.dataset.csv import csv
from trainctl.components.dataset.image_folder import image_folder
from trainctl.components.dataset.text import text
from trainctl.errors import DataError
from trainctl.fileformat.array import read_array
from trainctl.fileformat.cifar import read_batch
from trainctl.fileformat.idx import read_idx
from trainctl.fileformat.image import read_image
from trainctl.fileformat.pixels import PixelFormat

Say = Callable[..., tuple[int, str, str]]
Content = bytes | str | Path | None  # what a file holds, where a link leads, or None for a directory
Files = dict[str, Content]

QUICK = "loop.max_steps=1 output.plots=false"
CSV = "dataset=csv dataset.path=my.csv dataset.target=y"
IMAGE_KEYS = {
    "size": 8, "channels": 3, "background": "white", "range": None, "splits": "auto", "drop": [], "damaged": "error",
    "keep": "auto", "memory": None, "schema": None,
}  # fmt: skip
IMAGES = "dataset=image_folder dataset.path=pets dataset.size=8 dataset.cache=cache"
ARRAYS = "dataset=arrays dataset.path=my.npz"
TEXT = "dataset=text dataset.path=my.csv dataset.text=words dataset.target=y"
SERIES = "dataset=series dataset.path=my.csv dataset.columns=[a] dataset.window=4"
MNIST = "dataset=mnist dataset.root=. dataset.download=false"
CIFAR = "dataset=cifar10 dataset.root=. dataset.download=false"


def run_in(folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["trainctl", *typed.split()])
    return cli.main()


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs the command line in this process: exit code, stdout, stderr."""

    def run(typed: str, folder: Path = tmp_path) -> tuple[int, str, str]:
        code = run_in(folder, monkeypatch, typed)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def put(folder: Path, files: Files) -> None:
    """Write files; None is a directory, a path what a link leads to."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            place.mkdir(exist_ok=True)
        elif isinstance(content, Path):
            place.symlink_to(content)
        else:
            place.write_bytes(content.encode() if isinstance(content, str) else content)


def table(rows: int, header: str = "x,y", row: Callable[[int], str] = lambda row: f"{row}.5,{'ab'[row % 2]}") -> str:
    return "\n".join([header, *map(row, range(rows)), ""])


def with_cell(cell: str) -> str:
    """Return a good table but for one cell, in line 8."""
    return table(20, row=lambda row: f"{cell if row == 6 else row},{'ab'[row % 2]}")


def png(mode: str = "RGB", size: tuple[int, int] = (9, 7), colour: int = 60, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, colour if mode in "L1" else None or 0).save(stream, kind)
    return stream.getvalue()


def pets(**changed: Content) -> Files:
    """Return images of two classes; keywords name files with `__` for a slash and `_` for a dot."""
    files: Files = {
        f"pets/{name}/{row}.png": png("L", colour=9 * row + 90 * (name == "dog"))
        for name in ("cat", "dog")
        for row in range(12)
    }
    return files | {f"pets/{name.replace('__', '/').replace('_', '.')}": content for name, content in changed.items()}


def bomb(side: int) -> bytes:
    """Return a PNG of a few bytes whose header promises many pixels, of one bit each."""
    start = b"IHDR" + struct.pack(">II", side, side) + b"\x01\0\0\0\0"
    parts = [start, b"IDAT" + zlib.compress(bytes(9)), b"IEND"]
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def npz(**arrays: object) -> Files:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return {"my.npz": stream.getvalue()}


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def mnist(packed: bool = False, **changed: Content) -> Files:
    arrays = {
        "train-images-idx3-ubyte": np.arange(20 * 16).reshape(20, 4, 4), "train-labels-idx1-ubyte": np.arange(20) % 10,
        "t10k-images-idx3-ubyte": np.arange(10 * 16).reshape(10, 4, 4), "t10k-labels-idx1-ubyte": np.arange(10),
    }  # fmt: skip
    files: Files = {}
    for name, values in arrays.items():
        content = changed.get("_".join(name.split("-")[:2]), idx(values))
        if isinstance(content, bytes):
            files[f"MNIST/raw/{name}{'.gz' * packed}"] = gzip.compress(content) if packed else content
    return files


def cifar(**changed: object) -> Files:
    images, labels = np.zeros((10, 3072), np.uint8), list(range(10))
    batch = {b"data": images, b"labels": labels} | {key.encode(): value for key, value in changed.items()}
    names = [*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]
    good = pickle.dumps({b"data": images, b"labels": labels}, protocol=2)
    return {f"cifar-10-batches-py/{name}": good for name in names} | {
        "cifar-10-batches-py/data_batch_3": pickle.dumps(batch, protocol=2)
    }


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("harm",)


LABELS = np.arange(20) % 2
ROWS = np.arange(60.0).reshape(20, 3)
PROMISING = b"\x93NUMPY\x01\x00" + struct.pack("<H", 70)  # more numbers than there are
PROMISING += b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 9999), }".ljust(70)


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


MODES = {
    "cat__1_png": png("RGBA"), "cat__2_png": png("1"), "cat__3_png": png("P"), "cat__4_png": png("LA"),
    "cat__5_jpg": png("CMYK", kind="JPEG"), "cat__6_png": png("I;16"), "cat__7_JPG": png("L", kind="JPEG"),
    "cat__8_gif": png("P", kind="GIF"), "cat__9_png": png("L", (1, 1)), "cat__10_png": png("L", (3000, 1)),
    "__hidden_png": "no image", "cat__Thumbs_db": "x",
}  # fmt: skip

# What is wrong, the files, what is typed, what the message has to say. The exit code is 3.
PLACES: list[tuple[str, Files, str, str]] = [
    ("misspelt", {"mine.csv": table(9)}, "dataset=csv dataset.path=mien.csv dataset.target=y",
     "{cwd}/mien.csv: no such file; did you mean mine.csv?"),
    ("misspelt directory", {}, "dataset=csv dataset.path=no/such/my.csv dataset.target=y",
     "{cwd}/no/such/my.csv: no such file; there is no directory {cwd}/no"),
    ("below a file", {"a": "x"}, "dataset=csv dataset.path=a/my.csv dataset.target=y",
     "{cwd}/a/my.csv: no such file; {cwd}/a is a file, not a directory"),
    ("a directory", {"my.csv": None}, CSV, "{cwd}/my.csv: is a directory, not a file"),
    ("a link to nothing", {"my.csv": Path("gone.csv")}, CSV, "{cwd}/my.csv: no such file; it is a broken link to gone.csv"),
    ("a link to itself", {"my.csv": Path("my.csv")}, CSV, "{cwd}/my.csv: cannot be read: Too many levels of symbolic links"),
    ("a name too long", {}, CSV.replace("my.csv", "n" * 300), "cannot be read: File name too long"),
    ("a device", {"my.csv": Path("/dev/zero")}, CSV, "{cwd}/my.csv: not a regular file; pipes and devices"),
    ("arrays: misspelt", npz(inputs=ROWS, targets=LABELS), "dataset=arrays dataset.path=mi.npz",
     "{cwd}/mi.npz: no such file; did you mean my.npz?"),
    ("arrays: a directory", {"my.npz": None}, ARRAYS, "{cwd}/my.npz: is a directory"),
    ("arrays: a device", {"my.npz": Path("/dev/zero")}, ARRAYS, "{cwd}/my.npz: not a regular file"),
    ("arrays: targets missing", npz(inputs=ROWS), f"{ARRAYS} dataset.targets=y.npy", "{cwd}/y.npy: no such file"),
    ("series: missing", {}, SERIES, "{cwd}/my.csv: no such file"),
    ("text: missing", {}, TEXT, "{cwd}/my.csv: no such file"),
    ("text: a name too long", {}, TEXT.replace("my.csv", "n" * 300), "cannot be read: File name too long"),
    ("text: an empty directory", {"my.csv": None}, TEXT, "{cwd}/my.csv: needs at least two classes, each a .txt file"),
    ("text: an empty file", {"my.csv/a.txt": "", "my.csv/b.txt": "x\n"}, TEXT, "{cwd}/my.csv/a.txt: contains no text"),
    ("text: a directory in the place of a file", {"my.csv/a.txt": None, "my.csv/b.txt": "x\n"}, TEXT, "in each file; contains 1"),
    ("images: misspelt", pets(), IMAGES.replace("=pets", "=pest"), "{cwd}/pest: no such directory; did you mean pets?"),
    ("images: a file", {"pets": "x"}, IMAGES, "{cwd}/pets: is a file, not a directory"),
    ("images: a link to nothing", {"pets": Path("gone")}, IMAGES, "{cwd}/pets: no such directory; it is a broken link to gone"),
    ("images: a link to itself", {"pets": Path("pets")}, IMAGES, "{cwd}/pets: cannot be read: Too many levels"),
    ("images: empty", {"pets": None}, IMAGES, "{cwd}/pets: needs at least two classes, each a folder with images; contains 0"),
    ("images: hidden only", {"pets/.cat/a.png": png(), "pets/.DS_Store": "x"}, IMAGES, "contains 0"),
    ("images: one class", {"pets/cat/a.png": png()}, IMAGES, "at least two classes, each a folder with images; contains 1"),
    ("images: a class without", pets(emu=None), IMAGES, "{cwd}/pets/emu: contains no images; each folder is a class"),
    ("images: other kinds only", pets(emu__a_pdf="x"), IMAGES, "{cwd}/pets/emu: contains no images"),
    ("images: a broken link only", pets(emu__a_png=Path("gone.png")), IMAGES, "{cwd}/pets/emu: contains no images"),
    ("images: a class in val alone",
     {f"pets/{split}/{name}/a.png": png() for split, name in (("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "emu"))},
     IMAGES, "{cwd}/pets/val/emu/a.png: its folder is not one of the classes (cat, dog)"),
    ("mnist: no directory", {}, MNIST.replace("root=.", "root=gone"), "dataset.root={cwd}/gone: no such directory"),
    ("mnist: a file", {"gone": "x"}, MNIST.replace("root=.", "root=gone"), "dataset.root={cwd}/gone: no such directory"),
    ("mnist: a name too long", {}, MNIST.replace("root=.", "root=" + "n" * 300), "cannot be read: File name too long"),
    ("mnist: empty", {}, MNIST, "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte missing"),
    ("mnist: a link to nothing", mnist(t10k_labels=None) | {"MNIST/raw/t10k-labels-idx1-ubyte": Path("gone")}, MNIST,
     "t10k-labels-idx1-ubyte missing"),
    ("mnist: a directory in the place of a file", mnist(t10k_labels=None) | {"MNIST/raw/t10k-labels-idx1-ubyte": None}, MNIST,
     "{cwd}/MNIST/raw/t10k-labels-idx1-ubyte: is a directory, not a file"),
    ("mnist: a device", mnist(t10k_labels=None) | {"MNIST/raw/t10k-labels-idx1-ubyte": Path("/dev/zero")}, MNIST,
     "{cwd}/MNIST/raw/t10k-labels-idx1-ubyte: not a regular file"),
    ("cifar: a device", {key: Path("/dev/null") for key in cifar()}, CIFAR, "data_batch_1: not a regular file"),
    ("cifar: empty", {}, CIFAR, "data_batch_1, data_batch_2, data_batch_3, data_batch_4, data_batch_5, test_batch missing"),
    ("cifar: a directory in the place of a file",
     {key: value for key, value in cifar().items() if "3" not in key} | {"cifar-10-batches-py/data_batch_3": None}, CIFAR,
     "data_batch_3: is a directory, not a file"),
]  # fmt: skip
TABLES: list[tuple[str, Files, str, str]] = [
    ("empty", {"my.csv": ""}, CSV, "my.csv: needs a header and at least one row; it is empty"),
    ("blank lines", {"my.csv": "\n\n \n"}, CSV, "my.csv: needs a header and at least one row"),
    ("header only", {"my.csv": "x,y\n"}, CSV, "my.csv: needs a header and at least one row"),
    ("one row", {"my.csv": "x,y\n1,2.5\n"}, CSV, "1 row is too few: 0 for training, 0 for validation, 1 for test"),
    ("one row of one class", {"my.csv": "x,y\n1,a\n"}, CSV, "my.csv, column y: has only one class ('a')"),
    ("one class", {"my.csv": table(20, row=lambda row: f"{row},a")}, CSV, "my.csv, column y: has only one class ('a')"),
    ("no targets", {"my.csv": table(20, row=lambda row: f"{row},")}, CSV, "my.csv, column y: has no value in 20 rows"),
    ("a missing target", {"my.csv": table(20, row=lambda row: f"{row},{'ab'[row % 2] if row != 6 else ''}")}, CSV,
     "1 value of the targets is missing or infinite, the first in row 6 (my.csv, line 8), column y"),
    ("a number among classes", {"my.csv": table(60, row=lambda row: f"{row},{row / 7 if row != 6 else 'x'}")}, CSV,
     "my.csv, line 8, column y: 'x' is not a number"),
    ("ragged", {"my.csv": table(9) + "1\n"}, CSV, "my.csv, line 11: has 1 cells, but the header has 2"),
    ("a cell too many", {"my.csv": table(9) + "1,a,3\n"}, CSV, "my.csv, line 11: has 3 cells, but the header has 2"),
    ("a column twice", {"my.csv": "x,x,y\n1,2,a\n"}, CSV, "my.csv, line 1: duplicate column x"),
    ("no target", {"my.csv": table(9, "x,yy")}, CSV, "my.csv, line 1: column y is missing; did you mean yy?"),
    ("another delimiter", {"my.csv": table(9).replace(",", ";")}, f"{CSV} dataset.delimiter=comma",
     "seems to use another delimiter: dataset.delimiter=semicolon"),
    ("an open quote", {"my.csv": table(9) + '"1,a\n2,b\n'}, CSV,
     "my.csv, line 11: cannot be read as CSV: a quote is opened and never closed"),
    ("text after a quote", {"my.csv": table(9) + '"1"2,a\n'}, CSV, "my.csv, line 11: cannot be read as CSV"),
    ("a cell without an end", {"my.csv": 'x,y\n"' + "1" * 140_000 + '",a\n2,b\n'}, CSV,
     "my.csv, line 2, column x: '1111111111111111111111111111111111111...' exceeds the largest number"),
    ("Latin-1", {"my.csv": table(9).encode() + b"\xfc,a\n"}, CSV, "my.csv, line 11: cannot be read as CSV: byte 0xfc is not UTF-8"),
    ("UTF-16", {"my.csv": table(9).encode("utf-16-le")}, CSV, "my.csv: cannot be read as CSV: it seems to be UTF-16"),
    ("a NUL byte", {"my.csv": table(9) + "1\0,a\n"}, CSV, "my.csv, line 11: cannot be read as CSV: it contains a NUL byte"),
    ("binary", {"my.csv": png()}, CSV, "my.csv: this is a PNG image; read images with dataset=image_folder"),
    ("1e400", {"my.csv": with_cell("1e400")}, CSV, "my.csv, line 8, column x: '1e400' exceeds the largest number"),
    ("1e39", {"my.csv": with_cell("-1e39")}, CSV, "my.csv, line 8, column x: '-1e39' exceeds the largest number"),
    ("infinite", {"my.csv": with_cell("-Infinity")}, CSV, "my.csv, line 8, column x: '-Infinity' is infinite"),
    ("missing", {"my.csv": with_cell("NA")}, CSV,
     "1 value of the inputs is missing or infinite, the first in row 6 (my.csv, line 8), column x"),
    ("missing from a column", {"my.csv": table(20, row=lambda row: f",{'ab'[row % 2]}")}, CSV,
     "my.csv, column x: has no value in 20 rows"),
    ("text among numbers", {"my.csv": with_cell("=1+1")}, CSV, "my.csv, line 8, column x: '=1+1' is not a number"),
    ("dates", {"my.csv": table(10, row=lambda row: f"{row % 3 + 1}/{row + 1}/2024,{'ab'[row % 2]}")}, CSV,
     "my.csv, line 2, column x: '1/1/2024' could be day/month or month/day: set dataset.dates=day_first"),
    ("free text", {"my.csv": table(20, row=lambda row: f"word {row},{'ab'[row % 2]}")}, CSV, "is free text (20 distinct values in"),
    ("nothing but the target", {"my.csv": "y\na\nb\n"}, CSV, "my.csv: has no columns other than the target"),
    ("series: too short", {"my.csv": "a\n1\n2\n"}, SERIES, "my.csv: has 2 rows, but a window of 4 and a horizon of 1 need 5"),
    ("series: a gap", {"my.csv": table(30, "a", lambda row: "NA" if row == 6 else str(row))}, SERIES,
     "the first in row 3 (my.csv, line 8), column a"),
    ("text: an empty cell", {"my.csv": table(9, "words,y") + ",a\n"}, TEXT, "my.csv, line 11, column words: contains no text"),
    ("text: no such column", {"my.csv": table(9)}, TEXT, "my.csv, line 1: column words is missing"),
]  # fmt: skip
BINARY: list[tuple[str, Files, str, str]] = [
    ("no rows", npz(inputs=np.zeros((0, 3)), targets=np.zeros(0)), ARRAYS, "my.npz: inputs have shape (0, 3), targets (0,)"),
    ("one row", npz(inputs=np.zeros((1, 3)), targets=np.zeros(1)), ARRAYS, "1 row is too few"),
    ("one of two arrays", npz(inputs=ROWS), ARRAYS, "my.npz: has no array `targets` (arrays: inputs); name the array to use `targets`"),
    ("lengths that differ", npz(inputs=ROWS, targets=LABELS[:19]), ARRAYS, "my.npz: inputs have shape (20, 3), targets (19,)"),
    ("one class", npz(inputs=ROWS, targets=0 * LABELS), ARRAYS, "my.npz: has only one class (0)"),
    ("too many classes", npz(inputs=np.zeros((300, 2)), targets=7 * np.arange(300)), f"{ARRAYS} dataset.task=classification",
     "my.npz: 300 distinct targets in 300 rows are too many to be classes; dataset.task=regression predicts quantities"),
    ("a class with a fraction", npz(inputs=ROWS, targets=LABELS + 0.5), f"{ARRAYS} dataset.task=classification",
     "my.npz: target [0.5] in row 0 is not a class"),
    ("a class that is missing", npz(inputs=ROWS, targets=np.where(LABELS, np.nan, 0)), f"{ARRAYS} dataset.task=classification",
     "my.npz: target [nan] in row 1 is not a class"),
    ("a class beyond int64", npz(inputs=ROWS, targets=LABELS.astype(np.uint64) * 2**63), ARRAYS, f"target [{2**63}] in row 1 is not"),
    ("texts", npz(inputs=np.array([["a"], ["b"]] * 10), targets=LABELS), ARRAYS, "my.npz: contains <U1, not numbers"),
    ("objects", npz(inputs=np.array([[Path()], [Path()]], dtype=object), targets=LABELS[:2]), ARRAYS,
     "my.npz: cannot be read: contains Python objects, which are pickles"),
    ("complex numbers", npz(inputs=ROWS * 1j, targets=LABELS), ARRAYS, "my.npz: contains complex128, not numbers"),
    ("times", npz(inputs=ROWS.astype("m8[s]"), targets=LABELS), ARRAYS, "my.npz: contains timedelta64[s], not numbers"),
    ("NaN", npz(inputs=np.where(ROWS == 31, np.nan, ROWS), targets=LABELS), ARRAYS,
     "1 value of the inputs is missing or infinite, the first in row 10, column 1"),
    ("beyond float32", npz(inputs=ROWS * 1e300, targets=LABELS), ARRAYS, "59 values of the inputs are missing or infinite"),
    ("images of floats", npz(inputs=np.zeros((20, 1, 4, 4)), targets=LABELS), ARRAYS, "my.npz: images must be bytes (uint8) in 0..255"),
    ("no archive", {"my.npz": b"PK\x03\x04 no zip"}, ARRAYS, "my.npz: cannot be read: "),
    ("a web page", {"my.npz": "<html>404"}, ARRAYS, "my.npz: cannot be read: "),
    ("an array in an archive that promises too much", {"my.npz": zipped(inputs=PROMISING, targets=PROMISING)}, ARRAYS,
     "my.npz: cannot be read: the header declares (99999999, 9999) of float64, but the file ends early"),
    ("a header that promises too much",
     {"x.npy": PROMISING},
     "dataset=arrays dataset.path=x.npy dataset.targets=x.npy",
     "x.npy: cannot be read: the header declares (99999999, 9999) of float64, but the file ends early"),
    ("mnist: images of another number", mnist(train_labels=idx(np.arange(19) % 10)), MNIST,
     "train-labels-idx1-ubyte has (19,): these do not match"),
    ("mnist: a label out of range", mnist(t10k_labels=idx(np.arange(10) + 1)), MNIST,
     "t10k-labels-idx1-ubyte: label 10 in row 9 is not in 0..9"),
    ("mnist: another format", mnist(t10k_labels=png()), MNIST,
     "t10k-labels-idx1-ubyte: not an IDX file of unsigned bytes (it starts with 89 50 4e 47)"),
    ("mnist: IDX of floats", mnist(t10k_labels=b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0"), MNIST, "not an IDX file of unsigned bytes"),
    ("mnist: cut off", mnist(train_images=idx(np.zeros((20, 4, 4)))[:99]), MNIST,
     "the header declares 320 bytes of data (20, 4, 4), but the file contains 83"),
    ("mnist: too long", mnist(train_images=idx(np.zeros((20, 4, 4))) + bytes(99)), MNIST,
     "the header declares 320 bytes of data (20, 4, 4), but the file contains 321 or more"),
    ("mnist: no rows", mnist(train_images=idx(np.zeros((0, 4, 4))), train_labels=idx(np.zeros(0))), MNIST,
     "10 rows are too few: 0 for training, 0 for validation, 10 for test"),
    ("mnist: packed, damaged", {name: content[:30] for name, content in mnist(packed=True).items() if isinstance(content, bytes)}, MNIST,
     "train-images-idx3-ubyte.gz: cannot be read: "),
    ("mnist: packed, a bomb", mnist(packed=True, t10k_labels=idx(np.arange(10)) + bytes(10**7)), MNIST,
     "the header declares 10 bytes of data (10,), but the file contains 11 or more"),
    ("cifar: a label out of range", cifar(labels=list(range(1, 11))), CIFAR, "data_batch_3: label 10 in row 9 is not in 0..9"),
    ("cifar: a label missing", cifar(labels=list(range(9))), CIFAR, "data_batch_3: contains 10 images but 9 labels"),
    ("cifar: code", cifar(labels=Evil()), CIFAR, "data_batch_3: not a batch of CIFAR, or damaged: it names posix.mkdir"),
    ("images: damaged", pets(cat__3_png=png()[:45]), IMAGES, "pets/cat/3.png: cannot be read as an image: "),
    ("images: empty", pets(cat__3_png=b""), IMAGES, "pets/cat/3.png: cannot be read as an image: "),
    ("images: no image", pets(cat__3_png="text"), IMAGES, "pets/cat/3.png: cannot be read as an image: it is not one of PNG, JPEG, "),
    ("images: no format of ours", pets(cat__3_png="%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"), IMAGES,
     "pets/cat/3.png: cannot be read as an image: "),
    ("images: a bomb", pets(cat__3_png=bomb(30000)), IMAGES, "pets/cat/3.png: has more than 67,108,864 pixels, by its header"),
    ("images: half a bomb", pets(cat__3_png=bomb(10000)), IMAGES, "pets/cat/3.png: has more than 67,108,864 pixels"),
    ("images: a file's name in another encoding",
     pets() | {os.fsdecode(b"pets/\xfc/1.png"): png(), os.fsdecode(b"pets/\xfc/2.png"): png()}, IMAGES, "cannot be printed"),
]  # fmt: skip
BAD = [*PLACES, *TABLES, *BINARY]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(("files", "typed", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_data_end_in_one_line_that_names_the_place_and_leave_nothing_behind(
    say: Say, tmp_path: Path, files: Files, typed: str, message: str
) -> None:
    put(tmp_path, files)
    before = tree(tmp_path)

    code, out, err = say(f"{typed} {QUICK}")

    assert code == 3, err
    assert message.replace("{cwd}", str(tmp_path)) in err
    assert err.startswith("trainctl: ")
    assert err.count("\n") == 1
    assert out == ""
    assert tree(tmp_path) == before


@contextmanager
def without_privileges() -> Iterator[None]:
    """Let file modes hold for root too, in this thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; effective ones
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


# What cannot be read, the files, what is typed.
LOCKED: list[tuple[str, Files, str]] = [
    ("my.csv", {"my.csv": table(9)}, CSV),
    ("d", {"d/my.csv": table(9)}, CSV.replace("my.csv", "d/my.csv")),
    ("my.npz", npz(inputs=ROWS, targets=LABELS), ARRAYS),
    ("my.csv", {"my.csv": table(9, "a", str)}, SERIES),
    ("my.csv", {"my.csv": table(9, "words,y")}, TEXT),
    ("my.csv", {"my.csv/a.txt": "x", "my.csv/b.txt": "x"}, TEXT),
    ("my.csv/a.txt", {"my.csv/a.txt": "x", "my.csv/b.txt": "x"}, TEXT),
    ("pets", pets(), IMAGES),
    ("pets/cat", pets(), IMAGES),
    ("pets/cat/1.png", pets(), IMAGES),
    ("MNIST", mnist(), MNIST),
    ("MNIST/raw/t10k-labels-idx1-ubyte", mnist(), MNIST),
    ("cifar-10-batches-py", cifar(), CIFAR),
    ("cifar-10-batches-py/test_batch", cifar(), CIFAR),
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize(("place", "files", "typed"), LOCKED, ids=[f"{row[2].split()[0]} {row[0]}" for row in LOCKED])
def test_what_may_not_be_read_is_named(say: Say, tmp_path: Path, place: str, files: Files, typed: str) -> None:
    put(tmp_path, files)
    before = tree(tmp_path)
    (tmp_path / place).chmod(0)
    with without_privileges():
        code, out, err = say(f"{typed} {QUICK}")
    (tmp_path / place).chmod(0o700)

    assert (code, out) == (3, ""), err
    assert str(tmp_path / place) in err
    assert "Permission denied" in err
    assert err.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize("typed", [MNIST, CIFAR, IMAGES])
def test_without_a_home_a_place_has_to_be_given(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    put(tmp_path, pets())
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    code, _, err = say(f"{typed.replace(' dataset.root=.', '').replace(' dataset.cache=cache', '')} {QUICK}")
    assert (code, err.count("\n")) == (7, 1)
    assert "there is no home directory: set HOME or dataset." in err


# Odd, and yet no error: what is wrong, the files, what is typed, what the run says.
ODD: list[tuple[str, Files, str, str]] = [
    ("fewer rows than a batch", {"my.csv": table(8)}, CSV, "6 train, 1 val, 1 test"),
    ("fewer rows than classes have", {"my.csv": table(6, row=lambda row: f"{row},{'abcdef'[row]}")}, CSV,
     "has 0 of 4 training rows; 2 of 6 classes have none"),
    ("a byte order mark", {"my.csv": "\ufeff" + table(20)}, CSV, "14 train, 3 val, 3 test"),
    ("mixed line ends", {"my.csv": table(20).replace("\n", "\r\n", 9)}, CSV, "14 train, 3 val, 3 test"),
    ("a constant column", {"my.csv": table(20, "x,z,y", lambda row: f"{row},7,{'ab'[row % 2]}")}, CSV, "samples of shape 2"),
    ("classes not balanced", {"my.csv": table(2000, row=lambda row: f"{row},{'b' if row % 100 == 7 else 'a'}")}, CSV,
     "(b 14, a 1,386 of 1,400 training rows): accuracy is misleading; metric=[balanced_accuracy] shows more"),
    ("one class has nearly all rows", {"my.csv": table(400, row=lambda row: f"{row},{'b' if row % 20 == 7 else 'a'}")}, CSV,
     "classes are imbalanced (b 14, a 266 of 280 training rows): accuracy is misleading"),
    ("rows that are trained and judged", {"my.csv": table(20, row=lambda row: f"{row % 2},{'ab'[row % 2]}")}, CSV,
     "3 of 3 val rows equal training rows, so their metrics are too optimistic; clean.duplicates=drop keeps one"),
    ("numbers beyond float32's digits",
     {"my.csv": table(20, "id,x,y", lambda row: f"{row // 2 * 10**9 + row % 2},{row * 1e9},{'ab'[row % 2]}")}, CSV,
     "column id: 20 distinct numbers become 12 in float32, which keeps 7 digits"),
    ("a series beyond float32's digits", {"my.csv": table(30, "a", lambda row: str(row // 2 * 10**9 + row % 2))}, f"{SERIES} loss=mse",
     "column a: 29 distinct numbers become 18 in float32"),
    ("images of other modes",
     pets(**MODES),
     IMAGES, "samples of shape 3x8x8, 2 classes"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "typed", "message"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_odd_data_are_trained_on_and_what_is_odd_is_said(
    say: Say, tmp_path: Path, files: Files, typed: str, message: str
) -> None:
    put(tmp_path, files)

    code, out, err = say(f"{typed} {QUICK}")

    assert (code, [line for line in err.splitlines() if not line.startswith("trainctl: note: loop.batch_size=")]) == (
        0,
        [],
    )
    assert message in out


@pytest.mark.parametrize(
    ("files", "typed", "message"),
    [
        (
            npz(inputs=np.zeros((20, 1, 3, 3), np.uint8), targets=LABELS),
            f"{ARRAYS} model=cnn",
            "has only 1 x 1 pixels for a pooling window of 2",
        ),
        (npz(inputs=ROWS, targets=LABELS), f"{ARRAYS} model=cnn", "model=cnn reads images"),
        (npz(inputs=ROWS, targets=ROWS), f"{ARRAYS} loss=cross_entropy", "set loss=mse"),
    ],
    ids=["images too small", "no images", "no classes"],
)
def test_data_that_do_not_fit_the_model_are_told_before_training(
    say: Say, tmp_path: Path, files: Files, typed: str, message: str
) -> None:
    put(tmp_path, files)

    code, out, err = say(f"{typed} {QUICK}")

    assert code == 2
    assert message in err
    assert (err.count("\n"), out) == (1, "")
    assert tree(tmp_path) == ["my.npz"]


def test_every_truncation_and_every_byte_of_the_header_of_idx_is_noticed(tmp_path: Path) -> None:
    whole, file = idx(np.arange(24).reshape(2, 3, 4)), tmp_path / "images"
    for packed in (False, True):
        for length in range(len(whole)):
            check_idx(file, whole[:length], packed)
        for place in range(16):
            for value in {0, 1, 7, 127, 128, 255} - {whole[place]}:
                check_idx(file, whole[:place] + bytes([value]) + whole[place + 1 :], packed)
    (tmp_path / "images.gz").write_bytes(gzip.compress(whole))
    for length in range(len(gzip.compress(whole))):
        (tmp_path / "images.gz").write_bytes(gzip.compress(whole)[:length])
        with pytest.raises(DataError, match="images"):
            read_idx(file)


def check_idx(file: Path, content: bytes, packed: bool) -> None:
    for place in (file, file.with_name("images.gz")):
        place.unlink(missing_ok=True)
    (file.with_name("images.gz") if packed else file).write_bytes(gzip.compress(content, 1) if packed else content)
    with pytest.raises(DataError, match=r"images(\.gz)?: "):
        read_idx(file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with runs on a table, on arrays of images and on a folder of images."""
    folder = tmp_path_factory.mktemp("trained")
    put(folder, {"my.csv": people(40), **pets()})
    put(folder, npz(inputs=np.arange(30 * 64, dtype=np.uint8).reshape(30, 1, 8, 8), targets=np.arange(30) % 3))
    with pytest.MonkeyPatch.context() as patch:
        typed = {"csv": CSV, "arrays": ARRAYS, "folder": f"{IMAGES} model=cnn", "other-csv": f"{CSV} model.hidden=[4]"}
        for name, words in typed.items():
            assert run_in(folder, patch, f"{words} output.name={name} {QUICK}") == 0
    return folder


def people(rows: int, header: str = "age,city,y") -> str:
    return table(rows, header, lambda row: f"{row}.5,{['Bern', 'Ulm'][row // 2 % 2]},{['no', 'yes'][row % 2]}")


def pixels(*shape: int, high: int = 255, kind: type = np.uint8) -> np.ndarray:
    return (np.arange(np.prod(shape)) % (high + 1)).reshape(shape).astype(kind)


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


# What differs, the files, what is typed, exit code, what the message has to say.
LATER: list[tuple[str, Files, str, int, str]] = [
    ("the same columns", {"new.csv": people(9)}, "evaluate csv dataset.path=new.csv split=all", 0,
     "this is not the data that the run was trained with\n"),
    ("a part of them", {"new.csv": people(9)}, "evaluate csv dataset.path=new.csv", 0,
     "with; split=test is only a part of it: use split=all to measure every row\n"),
    ("another order, and one more", {"new.csv": table(9, "y,more,city,age", lambda row: f"no,x,Ulm,{row}")},
     "evaluate csv dataset.path=new.csv split=all", 0, "not the data"),
    ("a single row", {"new.csv": people(1)}, "evaluate csv dataset.path=new.csv split=all", 0, "not the data"),
    ("a single row, to be split", {"new.csv": people(1)}, "evaluate csv dataset.path=new.csv", 3, "1 row is too few"),
    ("no row", {"new.csv": "age,city,y\n"}, "evaluate csv dataset.path=new.csv", 3, "new.csv: needs a header and at least one row"),
    ("a column is missing", {"new.csv": people(9, "age,town,y")}, "evaluate csv dataset.path=new.csv", 3,
     "new.csv, line 1: column city is missing"),
    ("the target is missing", {"new.csv": people(9, "age,city,z")}, "evaluate csv dataset.path=new.csv", 3,
     "new.csv, line 1: column y is missing"),
    ("a category", {"new.csv": people(9) + "1,Rome,no\n"}, "evaluate csv dataset.path=new.csv dataset.unknown=error", 3,
     "new.csv, line 11, column city: 'Rome' is not one of the categories in the training data (Bern, Ulm)"),
    ("a class", {"new.csv": people(9) + "1,Ulm,perhaps\n"}, "evaluate csv dataset.path=new.csv", 3,
     "new.csv, line 11, column y: 'perhaps' is not one of the run's classes (no, yes)"),
    ("a value is missing", {"new.csv": people(9) + ",Ulm,no\n"}, "evaluate csv dataset.path=new.csv", 3,
     "1 value of the inputs is missing or infinite, the first in row 9 (new.csv, line 11), column age"),
    ("no file", {}, "evaluate csv dataset.path=new.csv", 3, "new.csv: no such file"),
    ("another data set", {}, "evaluate csv dataset=iris", 3, "dataset=iris: row shape is (4,), but the run was trained with (3,)"),
    ("another task", {"new.csv": table(9, "age,city,y", lambda row: f"{row},Ulm,{row}.5")}, "evaluate csv dataset.path=new.csv", 3,
     "'0.5' is not one of the run's classes"),
    ("another size", npz(inputs=pixels(9, 1, 4, 4), targets=LABELS[:9]), "evaluate arrays dataset.path=my.npz", 3,
     "dataset=arrays: row shape is (1, 4, 4), but the run was trained with (1, 8, 8)"),
    ("other channels", npz(inputs=pixels(9, 3, 8, 8), targets=LABELS[:9]), "evaluate arrays dataset.path=my.npz", 3,
     "row shape is (3, 8, 8)"),
    ("fewer classes", npz(inputs=pixels(9, 8, 8), targets=0 * LABELS[:9]), "evaluate arrays dataset.path=my.npz split=all", 0,
     "not the data"),
    ("more classes", npz(inputs=pixels(9, 8, 8), targets=np.arange(9)), "evaluate arrays dataset.path=my.npz", 3,
     "my.npz: target 3 in row 3 is not one of the run's classes (0, 1, 2)"),
    ("images in another class", pets(emu__1_png=png()), "evaluate folder dataset.path=pets", 3,
     "pets/emu/1.png: its folder is not one of the classes (cat, dog)"),
    ("images of one class", {"pets/dog/1.png": png()}, "evaluate folder dataset.path=pets split=all", 0, "not the data"),
    ("images for no image model", {}, "evaluate folder dataset=iris", 3, "row shape is (4,), but the run was trained with (3, 8, 8)"),
    ("predict: no file", {"newer.csv": "x"}, "predict csv new.csv output=o.csv", 3, "new.csv: no such file; did you mean newer.csv?"),
    ("predict: an empty directory", {"new": None}, "predict csv new output=o.csv", 3, "new: contains no tables for this run"),
    ("predict: a directory of others", {"new/a.png": png()}, "predict csv new output=o.csv", 3, "no tables for this run; contains 1 .png"),
    ("predict: a device", {"new.csv": Path("/dev/zero")}, "predict csv new.csv output=o.csv", 3, "new.csv: not a regular file"),
    ("predict: a name too long", {}, f"predict csv {'n' * 300}.csv output=o.csv", 3, "cannot be read: File name too long"),
    ("predict: another kind", {"new.pdf": "x"}, "predict csv new.pdf output=o.csv", 3,
     "new.pdf: expected an image, a .csv, an .npz or an .npy"),
    ("predict: no row", {"new.csv": "age,city\n"}, "predict csv new.csv output=o.csv", 3, "new.csv: needs a header and at least one row"),
    ("predict: a column is missing", {"new.csv": "age,y\n1,no\n"}, "predict csv new.csv output=o.csv", 3,
     "new.csv, line 1: column city is missing"),
    ("predict: a category", {"new.csv": "age,city\n1,Rome\n"}, "predict csv new.csv output=o.csv dataset.unknown=error", 3,
     "new.csv, line 2, column city: 'Rome' is not one of the categories"),
    ("predict: no number", {"new.csv": "age,city\nold,Ulm\n"}, "predict csv new.csv output=o.csv", 3,
     "new.csv, line 2, column age: 'old' is not a number"),
    ("predict: 1e400", {"new.csv": "age,city\n1e400,Ulm\n"}, "predict csv new.csv output=o.csv", 3, "line 2, column age: '1e400' exceeds"),
    ("predict: a value is missing", {"new.csv": "age,city\n,Ulm\n"}, "predict csv new.csv output=o.csv", 3,
     "new.csv: row 0, column age has a missing value; this run was trained without imputation"),
    ("predict: an image for a table", {"new.png": png()}, "predict csv new.png output=o.csv", 3,
     "new.png: is an image; this run takes rows of shape (3,)"),
    ("predict: a damaged image", {"new.png": png()[:45]}, "predict arrays new.png output=o.csv", 3, "new.png: cannot be read as an image"),
    ("predict: a bomb", {"new.png": bomb(30000)}, "predict arrays new.png output=o.csv", 3, "new.png: has more than 67,108,864 pixels"),
    ("predict: an array of another shape", {"new.npy": npy(pixels(2, 5, 5))}, "predict arrays new.npy output=o.csv", 3,
     "new.npy: has shape (2, 5, 5); this run takes rows of shape (1, 8, 8)"),
    ("predict: no pixels", {"new.npy": npy(pixels(2, 8, 8, high=999, kind=np.int64) * 9)}, "predict arrays new.npy output=o.csv", 3,
     "new.npy: pixel values must be in 0..255; found"),
    ("predict: an infinite pixel", {"new.npy": npy(np.full((8, 8), np.inf))}, "predict arrays new.npy output=o.csv", 3,
     "new.npy: row 0 has infinite values"),
    ("predict: objects", {"new.npy": npy(np.array([Path()], dtype=object))}, "predict arrays new.npy output=o.csv", 3,
     "new.npy: cannot be read: contains Python objects"),
    ("predict: no rows", {"new.npy": npy(np.zeros((0, 8, 8)))}, "predict arrays new.npy output=o.csv", 3,
     "new.npy: has shape (0, 8, 8)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "typed", "code", "message"), [row[1:] for row in LATER], ids=[row[0] for row in LATER]
)
def test_a_finished_run_meets_data_that_differ_from_its_own(
    say: Say, trained: Path, tmp_path: Path, files: Files, typed: str, code: int, message: str
) -> None:
    put(tmp_path, files)
    before = tree(tmp_path)
    verb, name, rest = typed.split(" ", 2)

    given, out, err = say(f"{verb} {of(trained, name)} {rest}")

    assert given == code, err
    assert message in err
    assert err.count("\n") == 1
    assert bool(out) == (code == 0)
    assert tree(tmp_path) == before


def of(trained: Path, kind: str) -> Path:
    """Return the first run on a kind of data."""
    return sorted((trained / "runs").glob(f"*{kind}*"), key=lambda path: path.stat().st_mtime_ns)[0]


def test_all_rows_of_a_file_are_measured_where_that_is_asked_for(say: Say, trained: Path, tmp_path: Path) -> None:
    run, counts = of(trained, "csv"), {}
    for split in ("train", "val", "test", "all"):
        code, out, err = say(f"evaluate {run} split={split} format=json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        counts[split] = (found["rows"], round(found["metrics"][f"{split}/accuracy"] * found["rows"]))
    total, hits = counts.pop("all")
    assert total == 40
    assert (total, hits) == tuple(map(sum, zip(*counts.values(), strict=True)))

    put(tmp_path, {"new.csv": people(7)})
    found = json.loads(say(f"evaluate {run} dataset.path=new.csv split=all format=json")[1])
    assert (found["rows"], sum(row["rows"] for row in found["classes"])) == (7, 7)


def test_a_new_cache_of_images_takes_the_place_of_the_old_one_and_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    put(tmp_path, pets())
    cache = tmp_path / "cache"

    def load(**changed: object) -> list[Path]:
        settings = IMAGE_KEYS | {"path": str(tmp_path / "pets"), "cache": str(cache)}
        found = image_folder(**settings | changed)  # type: ignore[arg-type]
        assert int(found.inputs[13].max()) == 99
        return sorted(path for path in cache.iterdir() if path.suffix == ".pixels")

    (first,) = load()
    (again,) = load()
    content, facts = first.read_bytes(), first.with_suffix(".json").read_bytes()
    assert first == again
    for damaged in (content[:-1], content[:20], bytes([content[0] ^ 1]) + content[1:], content[:-1] + b"\xee", b""):
        first.write_bytes(damaged)
        assert load() == [first]
        assert first.read_bytes() == content
    for damaged in (
        b"",
        b"[]",
        b"[" * 99999,
        b"{}",
        facts.replace(b'"deep": 0', b'"deep": "x", "none": 3'),
        facts[:-9],
    ):
        first.with_suffix(".json").write_bytes(damaged)
        assert load() == [first]
        assert first.with_suffix(".json").read_bytes() == facts
    put(tmp_path, {"pets/dog/99.png": png("L")})
    (second,) = load()
    assert second != first
    put(cache, {"notes.txt": "not ours"})
    assert len(load(size=9)) == 2  # another size has its own
    assert len(load()) == 2
    assert (cache / "notes.txt").exists()


def mutated(content: bytes, source: random.Random) -> bytes:
    """Flip, set, leave out, insert or double bytes, or cut a file off; headers as often as the rest."""
    changed = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 5))):
        near = source.random() < 0.5
        place = source.randrange(min(len(changed), 96) if near else len(changed)) if changed else 0
        length = source.choice((1, 2, 4, 30))
        kind = source.randrange(6) if changed else 3
        if kind == 0:
            changed[place] ^= 1 << source.randrange(8)
        elif kind == 1:
            changed[place : place + 1] = bytes([source.choice((0, 1, 127, 128, 255, *b"\",.-e9\n:'{["))])
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = source.randbytes(length)
        elif kind == 4:
            changed[place:place] = changed[place : place + length]
        else:
            del changed[place:]
    return bytes(changed)


@contextmanager
def memory_for(more: int) -> Iterator[None]:
    """Let this process take so many more bytes."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(12, 10, 3)).save(stream, kind)
    return stream.getvalue()


def compressed() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, inputs=ROWS, targets=LABELS)
    return stream.getvalue()


CSV_KEYS = {**yaml.safe_load((ROOT / "conf/dataset/csv.yaml").read_text()), "schema": None}
CSV_KEYS.pop("name")
TABLE_KEYS = {"delimiter": "comma", "schema": None}
TEXT_KEYS = {"task": "auto", "encoding": "auto", "normalize": "nfc", "splits": "auto", "drop": [], "damaged": "error"}
RGB = PixelFormat(channels=3, height=8, width=8)
READERS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "images": (idx(pixels(3, 4, 5)), read_idx),
    "images.gz": (gzip.compress(idx(pixels(3, 4, 5))), lambda file: read_idx(file.with_name("images"))),
    "batch": (cifar()["cifar-10-batches-py/test_batch"], lambda file: read_batch(file, "labels")),  # type: ignore[dict-item]
    "my.csv": (
        (people(20) + '"1",\u20ac,"a ""b"""\n').encode(),
        lambda file: csv(**CSV_KEYS | {"path": str(file), "target": "y"}),
    ),
    "texts.csv": (
        table(20, "words,y", lambda row: f"gr\u00fc\u00df dich {row},{row % 2}").encode(),
        lambda file: text(
            path=str(file), text="words", target="y", level="words", lowercase=True, max_length=9, max_vocabulary=None,
            min_count=1, **TABLE_KEYS, **TEXT_KEYS,  # type: ignore[arg-type]
        ),
    ),
    "stored.npz": (npz(inputs=ROWS, targets=LABELS)["my.npz"], read_array),  # type: ignore[dict-item]
    "packed.npz": (compressed(), read_array),
    "my.npy": (npy(ROWS), read_array),
    **{
        f"picture.{kind}": (picture(kind), lambda file: read_image(file, RGB))
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    },
}  # fmt: skip


FUZZ, RUN_FUZZ = 100, 12  # damages of each kind of file


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_a_data_file_with_random_damage_is_read_or_refused_within_bounded_memory(tmp_path: Path, name: str) -> None:
    content, read = READERS[name]
    source, refused = seed(name), 0
    read_from = tmp_path / name
    read_from.write_bytes(content)
    read(read_from)  # whole, it can be read
    for trial in range(cases(FUZZ)):
        read_from.write_bytes(mutated(content, source))
        message = ""
        try:
            with memory_for(2**30):
                read(read_from)
        except DataError as error:
            message = str(error)
        except BaseException as error:
            raise AssertionError(f"{name}, trial {trial}: {read_from.read_bytes()!r}") from error
        assert not message or str(tmp_path) in message
        refused += bool(message)
    assert refused > cases(FUZZ) / 20


# A run's files, and the verbs that read them.
RUN_FILES = {
    "config.yaml": ("predict {run} {input}", "evaluate {run}", "runs"),
    "overrides.yaml": ("runs",),
    "run.json": ("runs", "compare {run} {other}"),
    "summary.json": ("runs", "compare {run} {other}", "resume {run} loop.max_steps=2"),
    "metrics.jsonl": ("runs", "compare {run} {other}", "resume {run} loop.max_steps=2"),
    "checkpoints/*.json": ("predict {run} {input}", "resume {run} loop.max_steps=2"),
    "checkpoints/*.safetensors": ("predict {run} {input}", "evaluate {run}", "resume {run} loop.max_steps=2"),
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("pattern", RUN_FILES)
def test_a_run_with_random_damage_is_read_or_refused_without_a_traceback(
    say: Say, trained: Path, tmp_path: Path, pattern: str
) -> None:
    first, second = sorted((trained / "runs").glob("*csv*"), key=lambda path: path.stat().st_mtime_ns)
    run, other = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    shutil.copytree(second, other)
    put(tmp_path, {"new.csv": "age,city\n1,Ulm\n"})
    words = {"run": run, "other": other, "input": tmp_path / "new.csv"}
    source = seed(pattern)
    for trial in range(cases(RUN_FUZZ)):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(first, run)
        for file in run.glob(pattern):
            file.write_bytes(mutated(file.read_bytes(), source))
        for typed in RUN_FILES[pattern]:
            with memory_for(2**30):
                code, _, err = say(typed.format(**words))
            assert code in (0, 3, 4), (trial, typed, err)
            assert "Traceback" not in err
