"""Tensors <-> a safetensors file: written tensor by tensor, so that no copy of all of them is made; read with its SHA-256 checked.

The format: 8 bytes with the header's length, little-endian; the header, a JSON object with the dtype, shape and place of
each tensor, padded with spaces to a multiple of 8 bytes; then the tensors' bytes without gaps. The order is that of the
safetensors library, so the bytes of a file are the same as if that had written it.

Source: https://huggingface.co/docs/safetensors, section "Format"; safetensors 0.8, ``tensor.rs``.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from trainctl.errors import CheckpointError, StorageError
from trainctl.fileformat.boundary import reading
from trainctl.store import files, rundir

# In the order in which the library sorts tensors: the widest numbers first, so that all are aligned.
DTYPES = {
    torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.complex64: "C64", torch.float32: "F32",
    torch.uint32: "U32", torch.int32: "I32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16",
    torch.int16: "I16", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
WIDEST_FIRST = {dtype: position for position, dtype in enumerate(DTYPES)}
START = 512  # bytes from which a foreign file is recognised


@dataclass(frozen=True)
class Payload:
    """A file of tensors, as a checkpoint's manifest names it.

    Args:
        file: Its name, in the manifest's directory.
        sha256: Of its content [hex].
    """

    file: str
    sha256: str


def write(path: Path, tensors: Mapping[str, Tensor]) -> Payload:
    """Write tensors to a file, whole or not at all, and return its entry in a manifest.

    A file that exists already is never overwritten, as a checkpoint may name it: one of the same content is used as it
    is, and beside one of other content the new file gets another name.

    Args:
        path: Of the file.
        tensors: By name, on any device, of any layout; those off the CPU are copied one at a time.

    Raises:
        StorageError: If it cannot be written, or a tensor has a dtype that the format does not know.
    """
    header, names, size = _header(path, tensors)
    if path.exists():  # the same best weights; or this step was saved before its evaluation, and now after it
        sha256 = _sha256(header, names, tensors)
        try:
            check(path, sha256)
            return Payload(path.name, sha256)
        except CheckpointError:
            path = path.with_stem(f"{path.stem}-{sha256[:8]}")
    return Payload(path.name, files.write(path, _content(header, names, tensors), size))


def check(path: Path, sha256: str) -> None:
    """Check that a file has the content that a manifest names; it is read in portions.

    Raises:
        CheckpointError: If it is missing, damaged or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a pipe has no end
            raise CheckpointError(f"{path}: damaged (not a regular file)")
        with path.open("rb") as file:
            start = file.read(START)
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if found != sha256:
        kind = rundir.looks_like(start)
        hint = "" if kind == "something else" else f": {kind}"
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match{hint})")


def read(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read the tensors of a file, its SHA-256 checked.

    Raises:
        CheckpointError: If it is missing, damaged or of another format.
    """
    check(path, sha256)
    with reading(path, CheckpointError, "not a safetensors file"):
        return safetensors.torch.load(path.read_bytes())


def _header(path: Path, tensors: Mapping[str, Tensor]) -> tuple[bytes, list[str], int]:
    """Return the header with its length before it, the names in the order of their bytes, and the file's size [bytes]."""
    if unknown := [name for name, tensor in tensors.items() if tensor.dtype not in DTYPES]:
        dtype = tensors[unknown[0]].dtype
        raise StorageError(f"{path}: cannot be written: {unknown[0]} is of {dtype}, which safetensors does not know")
    names = sorted(tensors, key=lambda name: (WIDEST_FIRST[tensors[name].dtype], name.encode()))
    entries: dict[str, Any] = {}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.nbytes
        entries[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names, 8 + len(text) + end


def _content(header: bytes, names: list[str], tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield a file's content; a tensor's bytes are those in its memory, wherever that is possible."""
    yield header
    for name in names:
        plain = tensors[name].detach().cpu().contiguous()
        if plain.numel():
            yield plain.reshape(-1).view(torch.uint8).numpy().data


def _sha256(header: bytes, names: list[str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for portion in _content(header, names, tensors):
        digest.update(portion)
    return digest.hexdigest()
