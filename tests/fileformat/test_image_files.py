"""Decoded images are kept, and never outlive the bytes that they come from."""

import json
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from tests.soak import cases, seed
from trainctl.fileformat import image_files, pixel_cache
from trainctl.fileformat.image_files import Facts, Wanted, read_images

WANTED = {
    "channels": 3, "size": 2, "background": "white", "pixel_range": None, "measured": 9, "skip": False,
}  # fmt: skip


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "pets"
    root.mkdir()
    for index in range(4):
        paint(root / f"{index}.bmp", index)
    return root


@pytest.fixture
def load(pets, tmp_path):
    def read(**changed):
        return read_images(sorted(pets.iterdir()), pets, Wanted(**WANTED | changed), tmp_path / "cache")

    return read


def paint(file, colour):
    Image.new("RGB", (2, 2), (colour, 0, 0)).save(file)  # a .bmp has the same size whatever the colour is


def in_place(file, colour):
    """Change a file, but not its size, its inode or the time of its last change that programs can set."""
    before = file.stat()
    other = file.with_name("other.bmp")
    paint(other, colour)
    with file.open("r+b") as opened:
        opened.write(other.read_bytes())
    other.unlink()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (before.st_size, before.st_ino, before.st_mtime_ns)


def reds(pixels):
    return pixels[:, 0, 0, 0].tolist()


def decoded(monkeypatch):
    """Return a list to which every file that is decoded is added."""
    seen, original = [], image_files.to_pixels
    monkeypatch.setattr(image_files, "to_pixels", lambda file, *rest: seen.append(file) or original(file, *rest))
    return seen


def test_images_are_decoded_once(load, monkeypatch):
    seen = decoded(monkeypatch)
    assert reds(load()[0]) == reds(load()[0]) == [0, 1, 2, 3]
    assert len(seen) == 4


@pytest.mark.parametrize("settled", [False, True])
def test_a_file_with_the_same_size_and_time_and_other_bytes_is_noticed(load, pets, monkeypatch, settled):
    if settled:  # as if the first check were long ago
        monkeypatch.setattr(pixel_cache, "RECENT", -(10**18))
        load()
        time.sleep(0.02)  # more than the resolution of the time of the last change
    load()
    in_place(pets / "1.bmp", 99)
    assert reds(load()[0]) == [0, 99, 2, 3]


def test_files_with_new_times_are_compared_by_their_bytes_and_not_decoded_again(load, pets, monkeypatch):
    load()
    seen = decoded(monkeypatch)
    for file in pets.iterdir():
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
    assert reds(load()[0]) == [0, 1, 2, 3]
    assert seen == []


def test_bytes_are_read_only_where_a_file_may_have_changed(load, pets, monkeypatch):
    monkeypatch.setattr(pixel_cache, "RECENT", 0)
    time.sleep(0.02)
    load()
    read, original = [], image_files.read_bytes
    monkeypatch.setattr(image_files, "read_bytes", lambda file: read.append(file) or original(file))
    load()
    assert read == []
    os.utime(pets / "1.bmp")
    load()
    assert len(read) == 4
    load()
    assert len(read) <= 8  # that change may be too recent to be trusted


@pytest.mark.parametrize(
    "changed",
    [{"channels": 1}, {"size": 3}, {"background": "black"}, {"pixel_range": (0.0, 9.0)}, {"pixel_range": "auto"}],
)
def test_other_settings_have_a_cache_of_their_own(load, monkeypatch, changed):
    load()
    seen = decoded(monkeypatch)
    load(**changed)
    assert len(seen) == 4
    load()
    assert len(seen) == 4


@pytest.mark.parametrize("where", ["VERSION", "PIL"])
def test_another_version_decodes_anew(load, monkeypatch, where):
    load()
    seen = decoded(monkeypatch)
    monkeypatch.setattr(*(pixel_cache, "VERSION", 99) if where == "VERSION" else ("PIL.__version__", "0.1"))
    load()
    assert len(seen) == 4


def test_a_file_that_changes_while_it_is_decoded_is_cached_as_it_was_decoded(load, pets, monkeypatch):
    original = image_files.to_pixels

    def change_after(file, content, to):
        result = original(file, content, to)
        if file.name == "0.bmp":
            in_place(file, 77)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(image_files, "to_pixels", change_after)
        assert reds(load()[0]) == [0, 1, 2, 3]
    assert reds(load()[0]) == [77, 1, 2, 3]


def test_processes_that_write_at_once_leave_one_whole_cache(load, tmp_path, monkeypatch):
    found, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait()
        found.append(reds(load()[0]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[0, 1, 2, 3]] * 4
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".pixels"]
    seen = decoded(monkeypatch)
    load()
    assert seen == []


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(load, pets, tmp_path):
    load()
    key = next((tmp_path / "cache").glob("*.json")).name.partition("-")[0]
    old, new = (tmp_path / "cache" / f"{key}-{name}.tmp" for name in ("old", "new"))
    for file in (old, new):
        file.write_text("half")
    os.utime(old, (1, 1))
    paint(pets / "9.bmp", 9)
    load()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_cache_that_is_a_pipe_or_belongs_to_other_files_is_ignored(load, pets, tmp_path):
    load()
    (cached,) = (tmp_path / "cache").glob("*.pixels")
    content = cached.read_bytes()
    cached.unlink()
    os.mkfifo(cached)
    assert reds(load()[0]) == [0, 1, 2, 3]
    record = json.loads(cached.with_suffix(".json").read_bytes())
    record["facts"]["damaged"] = [[0, "not true"]]
    cached.with_suffix(".json").write_text(json.dumps(record))
    assert len(load()[0]) == 4
    assert cached.read_bytes() == content


def test_facts_come_back_from_json():
    facts = Facts(((3, "why"),), 1, 2, 3, -1.5, 9.0, 7, (0.0, 4095.0))
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    assert Facts.from_json(json.loads(json.dumps(Facts().to_json()))) == Facts()


@pytest.mark.soak
def test_whatever_happens_to_the_files_the_pixels_are_theirs(load, pets):
    source = seed("cache")
    for _ in range(cases(40)):
        files = sorted(pets.iterdir())
        file, colour = source.choice(files), source.randrange(256)
        kind = source.randrange(6)
        if kind == 0:
            in_place(file, colour)
        elif kind == 1:
            paint(file, colour)
        elif kind == 2:
            paint(pets / f"{source.randrange(9)}.bmp", colour)
        elif kind == 3 and len(files) > 1:
            file.unlink()
        elif kind == 4:
            file.replace(pets / f"{source.randrange(9)}.bmp")
        else:
            os.utime(file, ns=(source.randrange(10**9), source.randrange(10**9)))
        files = sorted(pets.iterdir())
        truth = [int(np.array(Image.open(path))[0, 0, 0]) for path in files]
        assert reds(load()[0]) == truth
        assert reds(load()[0]) == truth
