"""The user's own .npy as rows on disk, in place: its blocks are hashed once, and remembered. Imports no torch."""

import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.cache_record import read_record, replace_file
from trainctl.fileformat.packed import Source
from trainctl.fileformat.pixel_cache import status_of
from trainctl.fileformat.place import check_file
from trainctl.fileformat.rows_file import RowsFile
from trainctl.fileformat.stored import Layout, Stored
from trainctl.fileformat.waiting import counted

CURE = "it has changed since the run read it first; start a new run, or restore the file"


def array_header(path: Path) -> RowsFile | None:
    """Return the rows of a .npy without reading them; None for other files, such as an .npz.

    Raises:
        DataError: If the file is damaged, or is one that cannot be read row by row.
    """
    check_file(path)
    with reading(path), path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            return None
        file.seek(0)
        version = np.lib.format.read_magic(file)
        if version > (1, 0) and int.from_bytes(file.read(4), "little") > path.stat().st_size:
            raise ValueError("its header is damaged")
        file.seek(np.lib.format.MAGIC_LEN)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(file)
        offset = file.tell()
    if kind.kind not in "biuf" or len(shape) < 2 or not all(length > 0 for length in shape):
        return None  # read_array explains what is wrong
    if fortran and sum(length > 1 for length in shape) > 1:
        raise DataError(
            f"{path}: its rows are not stored one after the other (Fortran order), so they cannot be read from disk: store"
            " numpy.ascontiguousarray(x), or set dataset.keep=memory"
        )
    found = RowsFile(path, offset, shape, kind, cure=CURE)
    if found.nbytes > path.stat().st_size - offset:
        raise DataError(f"{path}: cannot be read: the header declares {shape} of {kind}, but the file ends early")
    return found


def stored_in_place(source: Source, file: RowsFile, layout: Layout) -> Stored:
    """Return rows that are read where they are, with the hash of each block: the remembered ones if the file is the same.

    Raises:
        DataError: If the file cannot be read.
    """
    status = status_of(source.files, [os.fsencode(each) for each in source.files])
    record = source.cache / f"{source.key}.json"
    known = _remembered(record, status.digest, file)
    if known is None:
        known = _hashed(file)
        if status.settled:
            content = {"status": status.digest, "hashes": [one.hex() for one in known[0]], "finite": known[1]}
            with suppress(OSError):  # it is computed again next time
                source.cache.mkdir(parents=True, exist_ok=True)
                replace_file(record, json.dumps(content).encode())
    hashes, finite = known
    checked = RowsFile(file.path, file.offset, file.shape, file.dtype, hashes, CURE)
    return Stored(checked, layout, root=checked.root, finite=finite)


def _remembered(record: Path, status: str, file: RowsFile) -> tuple[list[bytes], bool] | None:
    if not status:
        return None
    content = read_record(record)
    if content.get("status") != status:
        return None
    try:
        hashes = [bytes.fromhex(one) for one in content["hashes"]]
    except (KeyError, TypeError, ValueError):
        return None
    return (hashes, content.get("finite") is True) if len(hashes) == file.blocks else None


def _hashed(file: RowsFile) -> tuple[list[bytes], bool]:
    """Read all blocks; return their hashes, and whether all numbers are finite."""
    hashes, finite = [], True
    blocks = counted(range(file.blocks), f"checking {file.path.name}", file.blocks, "blocks")
    for index in blocks:
        rows, digest = file.hash_block(index)
        hashes.append(digest)
        if finite and file.dtype.kind == "f":
            finite = bool(np.isfinite(rows.astype(np.float32, copy=False)).all())
    return hashes, finite
