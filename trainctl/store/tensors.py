"""Write tensors to a safetensors file, and read them with a check of the SHA-256.

Tensors are written one at a time, so that they are never all copied.

The format: 8 bytes with the header's length, little-endian; the header, a JSON object with the dtype, shape and offsets
of each tensor, padded with spaces to a multiple of 8 bytes; then the tensors' bytes without gaps. Tensors are in the order
that the safetensors library uses, so both write identical files.

Source: https://huggingface.co/docs/safetensors, section "Format"; safetensors 0.8, ``tensor.rs``.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import safetensors.torch
import torch
from torch import Tensor

from trainctl.errors import CheckpointError, StorageError
from trainctl.fileformat.boundary import reading
from trainctl.store import files, finding, int8, runfile, runpath
from trainctl.store.runpath import AnyPath

# In the library's order: the widest dtypes first, so that all tensors are aligned.
DTYPES = {
    torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.complex64: "C64", torch.float32: "F32",
    torch.uint32: "U32", torch.int32: "I32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16",
    torch.int16: "I16", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
WIDEST_FIRST = {dtype: index for index, dtype in enumerate(DTYPES)}
START = 512  # bytes that are read to recognise a file of another kind


@dataclass(frozen=True)
class Payload:
    """A manifest's entry for a file of tensors.

    Args:
        file: The file's name, in the manifest's directory.
        sha256: SHA-256 of its content [hex].
    """

    file: Annotated[str, r"re:[A-Za-z0-9_.-]{1,200}", "a file's name"]
    sha256: Annotated[str, r"re:[0-9a-f]{64}", "a SHA-256"]


def write(path: AnyPath, tensors: Mapping[str, Tensor]) -> Payload:
    """Write tensors to a file atomically, and return its entry for a manifest.

    An existing file is never overwritten, since a checkpoint may refer to it: if its content is the same, it is used, and
    otherwise the new file gets another name.

    Args:
        path: The file's path.
        tensors: Tensors by name, on any device and of any layout; they are copied to the CPU one at a time.

    Raises:
        StorageError: If it cannot be written, or the format does not support a tensor's dtype.
    """
    header, names, size = _header(path, tensors)
    if runpath.kind(path):  # unchanged best weights, or this step was already saved before its evaluation
        sha256 = _sha256(header, names, tensors)
        try:
            check(path, sha256)
            return Payload(path.name, sha256)
        except CheckpointError:
            stem, dot, suffix = path.name.rpartition(".")
            path = path.with_name(f"{stem}-{sha256[:8]}.{suffix}" if dot else f"{path.name}-{sha256[:8]}")
    return Payload(path.name, files.write(path, _content(header, names, tensors), size))


def check(path: AnyPath, sha256: str) -> None:
    """Check a file against its SHA-256, without reading all of it into memory.

    Raises:
        CheckpointError: If it is missing, damaged or cannot be read.
    """
    with runfile.reader(path) as file:
        start = file.read(START)
        file.seek(0)
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    _require_same(path, actual, sha256, start)


def _require_same(path: AnyPath, actual: str, expected: str, start: bytes) -> None:
    if actual != expected:
        kind = finding.looks_like(start)
        hint = "" if kind == finding.ANOTHER else f": {kind}"
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match{hint})")


def read(path: AnyPath, sha256: str) -> dict[str, Tensor]:
    """Read the tensors of a file, and check its SHA-256; weights stored as integers are returned as floats.

    Raises:
        CheckpointError: If it is missing, damaged or has another format.
    """
    with runfile.reader(path) as file:
        content = file.read()
    _require_same(path, hashlib.sha256(content).hexdigest(), sha256, content[:START])  # of the same bytes that are used
    with reading(str(path), CheckpointError, "not a safetensors file"):
        return int8.decode(safetensors.torch.load(content), path)


def _header(path: AnyPath, tensors: Mapping[str, Tensor]) -> tuple[bytes, list[str], int]:
    """Return the length and the header, the names in the file's order, and the file's size [bytes]."""
    if unsupported := [name for name, tensor in tensors.items() if tensor.dtype not in DTYPES]:
        dtype = tensors[unsupported[0]].dtype
        raise StorageError(f"{path}: cannot be written: {unsupported[0]} has dtype {dtype}, which safetensors lacks")
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
    """Yield a file's content; contiguous tensors on the CPU are not copied."""
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
