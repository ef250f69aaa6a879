"""Images of the user's own."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.schemas import schema
from trainctl.components.dataset.base import Encoding
from trainctl.components.dataset.image_folder import image_folder
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat import packed_images, parallel, rows_file

KEYS = {
    "size": 4, "channels": 3, "background": "white", "range": None, "splits": "auto", "drop": [], "damaged": "error",
    "keep": "auto", "memory": None, "schema": None,
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
        return image_folder(**KEYS | {"path": str(path), "cache": str(tmp_path / "cache")} | changes)

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


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_each_row_knows_its_file(folder, load, keep):
    root = folder("train", "test", count=5)
    (root / "train" / "cat" / "1.png").write_text("no image")
    dataset = load(root, damaged="skip", keep=keep)
    assert len(dataset.files) == len(dataset.inputs) == 19
    assert "train/cat/1.png" not in dataset.files
    rows = torch.arange(19)
    for name, pixels, target in zip(dataset.files, dataset.rows(rows), dataset.targets.tolist(), strict=True):
        kind = dataset.class_names[target]
        assert name.split("/")[1] == kind
        assert (pixels[0].float().mean() > pixels[2].float().mean()) == (kind == "cat")
    assert {name.split("/")[0] for name in dataset.files[-10:]} == {"test"}
    assert dataset.take(torch.tensor([2, 18])).files == (dataset.files[2], dataset.files[18])


def test_given_splits_are_the_splits(folder, load):
    dataset = load(folder("train", "valid", "test"))
    assert len(dataset.inputs) == 12
    assert (dataset.val_rows, dataset.test_rows) == (4, 4)


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


def test_a_class_has_all_images_below_its_folder(folder, load):
    root = folder("")
    (root / "cat" / "batch" / "2").mkdir(parents=True)
    Image.new("RGB", (9, 7)).save(root / "cat" / "batch" / "2" / "0.png")
    (root / "cat" / "round").symlink_to(root / "cat")
    assert load(root).targets.tolist() == [0, 0, 0, 1, 1]


def test_what_is_not_read_is_counted(folder, load):
    root = folder("")
    for name in ("a.PDF", "b.pdf", "c", "Thumbs.db", ".DS_Store"):
        (root / "cat" / name).write_text("x")
    Image.new("RGB", (9, 7)).save(root / "loose.png")
    (root / "dog" / "gone.png").symlink_to("nowhere.png")
    notes = " | ".join(load(root).notes)
    assert "not used, because they are in no class folder: 1 image, such as loose.png" in notes
    assert "not used, because not images that trainctl reads: 1 without a suffix, 1 .PDF and 1 .pdf" in notes
    assert "not used, because they are broken links or not regular files: dog/gone.png" in notes


def test_damaged_images_are_listed_all_at_once_and_can_be_skipped(folder, load):
    root = folder("train", "val", "test")
    bad = [root / "train" / "cat" / "0.jpg", root / "val" / "dog" / "1.png", root / "test" / "dog" / "1.png"]
    for file in bad:
        file.write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        load(root)
    lines = str(caught.value).split("\n")
    assert lines[0] == f"{root}: 3 of 12 images cannot be read; dataset.damaged=skip leaves them out"
    assert [line.partition(": ")[0] for line in lines[1:]] == list(map(str, bad))
    for _ in range(2):  # decoded, then from the cache
        dataset = load(root, damaged="skip")
        assert dataset.targets.tolist() == [0, 1, 1, 0, 0, 1, 0, 0, 1]
        assert (len(dataset.inputs), dataset.val_rows, dataset.test_rows) == (9, 3, 3)
        assert "skipped 3 of 12 images that cannot be read" in dataset.notes[0]
    with pytest.raises(DataError, match="3 of 12 images cannot be read"):
        load(root)  # although the cache has the others


def test_a_class_whose_images_are_all_damaged_is_named(folder, load):
    root = folder("")
    for file in (root / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="class dog has no image that can be read"):
        load(root, damaged="skip")


def test_a_part_of_16_bits_is_said_and_the_range_can_be_set(tmp_path, load):
    generator = np.random.default_rng(0)
    for index, name in enumerate(("plain", "stripes") * 3):
        (tmp_path / "xray" / name).mkdir(parents=True, exist_ok=True)
        values = generator.integers(500, 901, (4, 4)).astype(np.uint16)
        values[0, :2] = (500, 900)
        Image.fromarray(values).save(tmp_path / "xray" / name / f"{index}.png")
    root = tmp_path / "xray"
    dataset = load(root, channels=1)
    levels = len(dataset.inputs.unique())
    (note,) = dataset.notes
    assert f"images with 16 bits (6) use only 500..900 of 0..65535, and so keep {levels} of 256 grey levels" in note
    assert "dataset.range=[0,1023]" in note
    assert load(root, channels=1).notes == dataset.notes  # from the cache
    whole = load(root, channels=1, range="auto")
    assert (int(whole.inputs.min()), int(whole.inputs.max())) == (0, 255)
    assert whole.encoding.pixel_range == (500, 900)
    assert whole.notes == ()
    trained = schema(class_names=("plain", "stripes"), encoding=Encoding(pixel_range=(0, 4095)))
    of_run = load(root, channels=1, range="auto", schema=trained)  # the range of the run, not of these images
    assert torch.equal(of_run.inputs, load(root, channels=1, range=[0, 4095]).inputs)
    assert not torch.equal(of_run.inputs, whole.inputs)
    assert torch.equal(load(root, channels=1, range=[500, 900]).inputs, whole.inputs)
    with pytest.raises(ConfigError, match=r"dataset\.range=\[9,9\]: the first value must be below the second"):
        load(root, range=[9, 9])


def test_the_range_is_that_of_the_training_images(tmp_path, load):
    for split, high in (("train", 900), ("test", 60000)):
        for name in ("a", "b"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            Image.fromarray(np.array([[100, high]], np.uint16)).save(tmp_path / "set" / split / name / "0.png")
    assert load(tmp_path / "set", range="auto").encoding.pixel_range == (100, 900)


def test_transparent_images_are_put_on_a_ground(folder, load):
    root = folder("")
    Image.new("RGBA", (9, 7), (1, 2, 3, 0)).save(root / "cat" / "1.png")
    assert load(root).inputs[1, :, 2, 2].tolist() == [255, 255, 255]
    assert load(root, background="black").inputs[1, :, 2, 2].tolist() == [0, 0, 0]
    assert load(root, background="ignore").inputs[1, :, 2, 2].tolist() == [1, 2, 3]
    assert "1 transparent, put on white (dataset.background)" in load(root).inferred[0][1]


# On disk.


def test_images_on_disk_are_those_in_memory_and_decoded_once(folder, load, monkeypatch):
    root = folder("train", "val", "test", count=5)
    whole, disk = load(root, keep="memory"), load(root, keep="disk")
    assert disk.stored is not None
    assert torch.equal(disk.rows(torch.arange(30)), whole.inputs)
    for name in ("class_names", "val_rows", "test_rows", "notes"):
        assert getattr(disk, name) == getattr(whole, name)
    assert torch.equal(disk.targets, whole.targets)
    assert "stay on disk" in dict(disk.inferred)["rows"]
    monkeypatch.setattr(packed_images, "to_pixels", None)
    again = load(root, keep="disk")
    assert torch.equal(again.rows(torch.arange(30)), whole.inputs)


@pytest.mark.parametrize("splits", ["", "train"])
def test_images_on_disk_are_shuffled_within_their_split(folder, load, monkeypatch, splits):
    monkeypatch.setattr(rows_file, "BLOCK_BYTES", 4 * 4 * 3)
    root = folder("", count=60) if not splits else folder("train", "val", "test", count=60)
    whole, disk = load(root, keep="memory"), load(root, keep="disk")
    assert (disk.val_rows, disk.test_rows) == (whole.val_rows, whole.test_rows)
    colours = disk.rows(torch.arange(len(disk.inputs)))[:, 2, 2, 2] > 128
    assert torch.equal(colours.long(), disk.targets)
    for start in range(0, len(disk.inputs), 120):
        part = disk.targets[start : start + 120]
        assert int(part.sum()) == 60
        assert 30 < int(part.diff().abs().sum()) < 90
    assert any("sorted by class, so they were shuffled once" in note for note in disk.notes)


def test_damaged_images_on_disk_are_listed_or_skipped(folder, load):
    root = folder("", count=4)
    (root / "cat" / "2.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"2.png: cannot be read as an image.*dataset.damaged=skip"):
        load(root, keep="disk")
    whole, disk = (load(root, keep=keep, damaged="skip") for keep in ("memory", "disk"))
    assert torch.equal(disk.rows(torch.arange(7)), whole.inputs)
    assert torch.equal(disk.targets, whole.targets)
    assert disk.notes == whole.notes


def test_an_image_that_is_added_is_decoded_and_told(folder, load):
    root = folder("", count=4)
    load(root, keep="disk")
    Image.new("RGB", (9, 7), (0, 255, 0)).save(root / "cat" / "new.png")
    found = load(root, keep="disk")
    assert len(found.inputs) == 9


@pytest.mark.parametrize("workers", [1, 5])
def test_the_number_of_decoders_changes_nothing(folder, load, monkeypatch, workers):
    root = folder("", count=20)
    whole = load(root)
    monkeypatch.setattr(parallel, "workers", lambda: workers)
    (root.parent / "cache").rename(root.parent / "old")
    assert torch.equal(load(root).inputs, whole.inputs)
