"""Read the weights of a model from a file of PyTorch (.pth, .pt) or safetensors, without executing anything in it."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.fetch import is_web_page
from trainctl.fileformat.place import open_regular

if TYPE_CHECKING:
    from torch import Tensor

PORTION = 1 << 20  # bytes that are hashed at once
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
# Where training scripts put the weights among other things: averaged ones first, as they are the better ones.
NESTED = ("model_ema", "state_dict_ema", "state_dict", "model_state_dict", "model", "net", "weights")
# What wrappers put in front of every name: data parallelism, torch.compile, Lightning, and trainctl's own export.
PREFIXES = ("module.", "_orig_mod.", "model.", "body.")
EXPECTED = "expected a state dict of PyTorch (.pth, .pt) or safetensors"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        DataError: If it is not a regular file, or cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file, reading(path):
        while portion := file.read(PORTION):
            digest.update(portion)
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, "Tensor"]:
    """Return the tensors of a file by their names, on the CPU, without what wrappers put in front of the names.

    Raises:
        DataError: If it is no such file, is damaged, or holds anything but tensors and plain values.
        UnavailableError: If there is not enough memory.
    """
    with open_regular(path) as file:
        head = file.read(64)
        file.seek(0)
        weights = _state(_load(file, head, path), path)
    for name, tensor in weights.items():
        if kind := _odd(tensor):
            raise DataError(f"{path}: {name} is {kind}; expected plain tensors; {EXPECTED}")
    return _plain_names(weights)


def _odd(tensor: "Tensor") -> str:
    """Return what a tensor is that is no plain one in memory; empty if it is one. Other kinds lack operations."""
    import torch

    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type}, without values"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "sparse or nested"
    if tensor.is_quantized or tensor.is_complex() or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"of type {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "larger than its values in the file"  # one value, repeated by strides of 0
    return ""


def _load(file: BinaryIO, head: bytes, path: Path) -> object:
    if is_web_page(head):
        raise DataError(f"{path}: is a web page, not weights; {EXPECTED}")
    if head.startswith((ZIP, PICKLE)):
        if head.startswith(ZIP):
            _require_stored(path)
            file.seek(0)
        import torch

        with reading(path, what=f"cannot be read as weights ({EXPECTED})", explain=lambda error: _refused(error, path)):
            return torch.load(file, map_location="cpu", weights_only=True)
    if head[8:9] == b"{":  # after the length of the header
        import safetensors.torch

        with reading(path, what="cannot be read as safetensors"):
            return safetensors.torch.load(file.read())
    raise DataError(f"{path}: not a file with weights; {EXPECTED}")


def _require_stored(path: Path) -> None:
    """Raise DataError if a file of PyTorch is packed, which PyTorch never does: a small one could fill the memory."""
    with reading(path, what="damaged"), zipfile.ZipFile(path) as archive:
        packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise DataError(f"{path}: {packed[0]} is compressed; PyTorch never writes such files")


def _refused(error: Exception, path: Path) -> str | None:
    """Explain that a file contains objects, which would have to be executed."""
    if "weights only" not in str(error).lower() and "weights_only" not in str(error):
        return None
    return (
        f"{path}: contains objects other than tensors and plain values, which are never loaded, because that executes code;"
        " save the weights alone: torch.save(model.state_dict(), FILE)"
    )


def _state(content: object, path: Path) -> Mapping[str, "Tensor"]:
    """Return the part of a file that holds the weights."""
    if isinstance(content, Mapping):
        if (tensors := _tensors(content)) is not None:
            return tensors
        for key in NESTED:
            if isinstance(inner := content.get(key), Mapping) and (tensors := _tensors(inner)) is not None:
                return tensors
        keys = ", ".join(str(key) for key in list(content)[:5])
        raise DataError(f"{path}: no weights found among its entries ({keys}); {EXPECTED}")
    raise DataError(f"{path}: contains a {type(content).__name__}; {EXPECTED}")


def _tensors(entries: Mapping[Any, Any]) -> "dict[str, Tensor] | None":
    """Return the entries if they are named tensors, perhaps with a counter among them; None if not."""
    from torch import Tensor

    tensors = {key: value for key, value in entries.items() if isinstance(key, str) and isinstance(value, Tensor)}
    return tensors if len(tensors) > 1 and len(tensors) == len(entries) else None


def _plain_names(tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Return tensors without a prefix that all names have, but for a counter such as ``n_averaged``."""
    named = {key: value for key, value in tensors.items() if key != "n_averaged"}
    for _ in PREFIXES:
        for prefix in PREFIXES:
            if named and all(key.startswith(prefix) for key in named):
                named = {key.removeprefix(prefix): value for key, value in named.items()}
    return named
