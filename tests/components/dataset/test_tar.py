"""Images of the user's own in tar files."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from tests.conftest import ROOT
from tests.schemas import schema
from tests.soak import cases, seed
from trainctl.components.dataset.base import Dataset
from trainctl.components.dataset.tar import tar
from trainctl.errors import DataError
from trainctl.fileformat import rows_file
from trainctl.fileformat.room import Room

KEYS = {
    key: value for key, value in yaml.safe_load((ROOT / "conf/dataset/tar.yaml").read_text()).items() if key != "name"
}
Load = Callable[..., Dataset]


def picture(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode) as shard:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def samples(first: int, count: int, label: Callable[[int], str] = lambda row: "ab"[row % 2]) -> dict[str, bytes]:
    """Return members of samples whose colour is their number."""
    members = {}
    for row in range(first, first + count):
        members[f"s/{row:03}.png"] = picture(row)
        members[f"s/{row:03}.cls"] = label(row).encode() + b"\n"
    return members


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(path: Path, **changes: Any) -> Dataset:
        values = KEYS | {"path": str(path), "size": 2, "cache": str(tmp_path / "cache"), "schema": None} | changes
        return tar(**values)

    return read


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_samples_of_several_tars_are_rows(load: Load, tmp_path: Path, keep: str) -> None:
    write(tmp_path / "t/b.tar", samples(20, 10))
    write(tmp_path / "t/a.tar", samples(0, 20) | {"README.txt": b"hello"})
    found = load(tmp_path / "t", keep=keep)
    assert (found.stored is not None) == (keep == "disk")
    assert found.rows(torch.arange(30))[:, 0, 0, 0].tolist() == list(range(30))
    assert found.targets.tolist() == [0, 1] * 15
    assert found.class_names == ("a", "b")
    assert dict(found.inferred)["images"] == "30 in 2 tar files, classes in .cls (dataset.label)"
    assert any("1 members are neither images nor .cls" in note for note in found.notes)
    assert torch.equal(load(tmp_path / "t/*.tar", keep=keep).targets, found.targets)


def test_members_are_found_in_any_order_and_numbers_are_sorted_as_numbers(load: Load, tmp_path: Path) -> None:
    members = samples(0, 24, lambda row: str(row % 12))
    path = write(tmp_path / "a.tar", dict(sorted(members.items(), key=lambda item: item[0][::-1])))
    found = load(path)
    assert found.class_names == tuple(map(str, range(12)))
    assert (found.inputs[:, 0, 0, 0] % 12).tolist() == found.targets.tolist()


def test_tars_sorted_by_class_are_decoded_in_a_random_order(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_file, "BLOCK_BYTES", 12)
    found = load(write(tmp_path / "a.tar", samples(0, 200, lambda row: "ab"[row // 100])), keep="disk")
    colours = found.rows(torch.arange(200))[:, 0, 0, 0]
    assert torch.equal((colours >= 100).long(), found.targets)
    assert 60 < int(found.targets.diff().abs().sum()) < 140


def test_a_finished_run_s_classes_are_used_and_others_refused(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", samples(0, 10, lambda row: "bc"[row % 2]))
    run = schema(class_names=("a", "b", "c"), outputs=3)
    assert load(path, schema=run).targets.tolist() == [1, 2] * 5
    with pytest.raises(DataError, match="c is not one of the run's classes"):
        load(path, schema=schema(class_names=("a", "b")))


def test_samples_without_a_label_are_useful_to_a_teacher_only(load: Load, tmp_path: Path) -> None:
    members = samples(0, 10)
    del members["s/003.cls"]
    path = write(tmp_path / "a.tar", members)
    for named in (members, members | {"s/003.cls": b" \n"}):
        write(path, named)
        with pytest.raises(
            DataError, match=r"1 of 10 samples has no \.cls, or an empty one, first .*a.tar:s/003.png: add"
        ):
            load(path)
    assert load(path, unlabeled=True).targets.tolist() == [0, 1, 0, -1, 0, 1, 0, 1, 0, 1]


def test_what_is_wrong_with_a_tar_is_named(load: Load, tmp_path: Path) -> None:
    wrong = {
        "a second image of this sample": samples(0, 4) | {"s/001.jpg": b""},
        "s/001.cls: this sample has no image": {
            key: value for key, value in samples(0, 4).items() if key != "s/001.png"
        },
        "s/002.png: cannot be read as an image": samples(0, 4) | {"s/002.png": b"none"},
        "s/002.png: cannot be read as an image: it is empty": samples(0, 4) | {"s/002.png": b""},
        "has only one class": samples(0, 4, lambda row: "a"),
        "has no images": {"a.txt": b""},
    }
    for number, (message, members) in enumerate(wrong.items()):
        with pytest.raises(DataError, match=message):
            load(write(tmp_path / f"{number}.tar", members))
    with pytest.raises(DataError, match="cannot be read as a tar; if it is compressed, unpack it first"):
        load(write(tmp_path / "p.tar", samples(0, 4), "w:gz"))
    whole = write(tmp_path / "w.tar", samples(0, 4))
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"w\.tar"):
        load(whole)


@pytest.mark.soak
def test_a_tar_that_ends_early_or_is_damaged_loses_no_sample_silently(load: Load, tmp_path: Path) -> None:
    source = seed("damaged tars")
    whole = write(tmp_path / "whole.tar", samples(0, 12)).read_bytes()
    headers = [place for place in range(0, len(whole), 512) if whole[place : place + 2] == b"s/"]
    assert len(headers) == 24
    for number in range(cases(12)):
        content, path = bytearray(whole), tmp_path / f"{number}.tar"
        if source.random() < 0.5:
            del content[source.choice((source.randrange(6000, len(whole) - 9000), source.choice(headers[9:]))) :]
        else:
            place = source.choice(headers[9:])
            sizes = (
                b"\xff" * 4 + source.choice((-512, -1024, -(2**40), 2**62)).to_bytes(8, "big", signed=True),
                bytes(12),
            )
            content[place + 124 : place + 136] = source.choice(sizes)
            if source.random() < 0.5:  # with the right checksum
                content[place + 148 : place + 156] = b" " * 8
                content[place + 148 : place + 156] = b"%06o\0 " % sum(content[place : place + 512])
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{number}\.tar"):
            load(path)
        try:
            found = load(path, damaged="skip")
        except DataError as error:  # such as a label that is empty now
            if path.name not in str(error):
                raise
            continue
        assert found.inputs[:, 0, 0, 0].tolist() == [*range(len(found.targets))]
        assert any("no more members are found" in note or "skipped" in note for note in found.notes)


def test_a_label_that_is_no_text_is_named_and_becomes_no_class(load: Load, tmp_path: Path) -> None:
    members = samples(0, 6) | {"s/001.cls": "é".encode("latin-1"), "s/003.cls": "è".encode("latin-1")}
    with pytest.raises(DataError, match=r"s/001\.cls: byte 0 is not UTF-8"):
        load(write(tmp_path / "a.tar", members))


def test_a_damaged_image_is_skipped_with_a_note(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", samples(0, 10) | {"s/002.png": b"none"})
    found = load(path, damaged="skip")
    assert found.inputs[:, 0, 0, 0].tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert found.targets.tolist() == [0, 1, 1, 0, 1, 0, 1, 0, 1]
    assert any("skipped 1 of 10 images" in note for note in found.notes)


def test_images_stay_on_disk_if_they_take_more_than_half_of_the_memory_that_is_free(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", samples(0, 10))
    assert load(path, room=Room(2 * 120 + 1)).stored is None
    assert load(path, room=Room(2 * 120 - 1)).stored is not None
