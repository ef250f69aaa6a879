"""Reading a small file takes little memory, however large a file may be."""

import gzip
import io
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from trainctl.fileformat import decompress, image, standard_input, utf8
from trainctl.store import journal, runpath

MOST = 8 << 20  # bytes


def read_events(path: Path) -> list[Any]:
    (path.parent / "journal").mkdir()
    (path.parent / "journal" / "one.jsonl").write_text('{"event": "begin"}\n')
    return list(journal.Reader(runpath.hold(path.parent)).new_events())


def read_packed(path: Path) -> bytes:
    path.write_bytes(gzip.compress(b"a,b\n"))
    return decompress.read_unpacked(path)


READERS = {
    "an image": image.read_bytes,
    "a packed table": read_packed,
    "standard input": lambda path: standard_input.read_all(),
    "a journal": read_events,
    "text": lambda path: utf8.read_text(path, largest=1 << 28),
}


@pytest.mark.parametrize("name", READERS)
def test_a_small_file_takes_little_memory(name, tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(content := io.BytesIO(), "png")
    path = tmp_path / "file.png"
    path.write_bytes(b"text" if name == "text" else content.getvalue())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(b"a,b\n")), closed=False))
    tracemalloc.start()
    try:
        assert READERS[name](path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
