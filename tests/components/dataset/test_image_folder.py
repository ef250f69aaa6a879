"""Images of the user's own."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from tests.schemas import schema
from trainctl.components.dataset.image_folder import image_folder
from trainctl.errors import DataError

KEYS = {
    "size": 4, "channels": 3, "background": "white", "range": None, "splits": "auto", "drop": [], "damaged": "error",
    "schema": None,
}  # fmt: skip
COLOURS = {"cat": (255, 0, 0), "dog": (0, 0, 255)}


@pytest.fixture
def folder(tmp_path):
    def write(*places, count=2):
        for place in places:
            for name, colour in COLOURS.items():
                (tmp_path / "pets" / place / name).mkdir(parents=True)
                for index in range(count):
                    image = Image.new("RGB", (9, 7), colour)
                    image.save(tmp_path / "pets" / place / name / f"{index}.{'png' if index else 'jpg'}")
        return tmp_path / "pets"

    return write


@pytest.fixture
def load(tmp_path):
    def read(path, **changes):
        return image_folder(
            **KEYS | {"path": str(path), "cache": str(tmp_path / "cache")} | changes
        )

    return read


def test_folders_are_classes_and_images_are_scaled(folder, load):
    root = folder("")
    (root / "cat" / "notes.txt").write_text("no image")
    dataset = load(root)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.targets.tolist() == [0, 0, 1, 1]
    assert dataset.inputs.shape == (4, 3, 4, 4)
    assert dataset.inputs[1, :, 2, 2].tolist() == [255, 0, 0]
    assert dataset.inputs[3, :, 0, 3].tolist() == [0, 0, 255]
    assert load(root, channels=1).inputs.shape == (4, 1, 4, 4)


def test_given_splits_are_the_splits(folder, load):
    dataset = load(folder("train", "valid", "test"))
    assert len(dataset.inputs) == 12
    assert (dataset.val_rows, dataset.test_rows) == (4, 4)


def test_images_are_decoded_once_until_a_file_changes(folder, load, tmp_path):
    root = folder("")
    first = load(root).inputs
    (cached,) = (tmp_path / "cache").iterdir()
    sevens = bytes([7] * 4 * 3 * 4 * 4)
    cached.write_bytes(hashlib.sha256(sevens).digest() + sevens)
    assert (load(root).inputs == 7).all()
    cached.write_bytes(cached.read_bytes()[:40])
    assert (load(root).inputs == first).all()
    Image.new("RGB", (9, 7), (0, 255, 0)).save(root / "cat" / "1.png")
    os.utime(root / "cat" / "1.png", ns=(1, 1))
    assert load(root).inputs[1, :, 0, 0].tolist() == [0, 255, 0]


def test_a_cache_that_cannot_be_written_is_no_trouble(folder, load, tmp_path):
    (tmp_path / "file").write_text("")
    assert len(load(folder(""), cache=str(tmp_path / "file" / "cache")).inputs) == 4


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut"])
def test_an_image_that_cannot_be_read_is_named(folder, load, content):
    root = folder("")
    (root / "dog" / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"dog/bad\.png: cannot be read as an image"):
        load(root)


def test_an_image_that_was_cut_is_named(folder, load):
    root = folder("")
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "dog" / "cut.jpg")
    (root / "dog" / "cut.jpg").write_bytes((root / "dog" / "cut.jpg").read_bytes()[:900])
    with pytest.raises(DataError, match=r"dog/cut\.jpg: cannot be read as an image"):
        load(root)


def test_directories_without_classes_and_foreign_classes_are_named(folder, load, tmp_path):
    with pytest.raises(DataError, match="needs at least two classes, each a folder with images; contains 0"):
        load(tmp_path)
    root = folder("train", "test")
    (root / "test" / "cow").mkdir()
    Image.new("L", (3, 3)).save(root / "test" / "cow" / "1.png")
    with pytest.raises(DataError, match=r"cow/1\.png: its folder is not one of the classes \(cat, dog\)"):
        load(root)


def test_a_finished_runs_classes_are_used(folder, load):
    dataset = load(folder(""), schema=schema(class_names=("bird", "cat", "dog")))
    assert dataset.targets.tolist() == [1, 1, 2, 2]


def test_hidden_folders_and_files_are_passed_over(folder, load):
    root = folder("")
    (root / ".thumbnails").mkdir()
    (root / ".thumbnails" / "0.png").write_bytes(b"no image")
    (root / "cat" / "._0.png").write_bytes(b"no image")
    dataset = load(root)
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.inputs) == 4


def test_a_class_without_images_is_named(folder, load):
    root = folder("")
    (root / "cow").mkdir()
    with pytest.raises(DataError, match=r"cow: contains no images; each folder is a class"):
        load(root)
    assert len(load(root, schema=schema(class_names=("cat", "cow", "dog"))).inputs) == 4
