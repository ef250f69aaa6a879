"""Download a file whose name contains the start of its SHA-256, once. Imports no torch.

PyTorch names the files of its model hub so: ``resnet18-f37072fd.pth``. They are kept where PyTorch and torchvision keep
them, so that each of them finds what the other has downloaded.
"""

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from trainctl.errors import StorageError, UnavailableError, format_bytes
from trainctl.fileformat.boundary import reason
from trainctl.fileformat.place import is_file
from trainctl.fileformat.waiting import waiting

DIGEST = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 20  # bytes
LARGEST = 1 << 33  # bytes; the largest weights of torchvision have 2.5 GB
WEB_PAGES = (b"<!doctype", b"<html", b"<?xml")


def cache_directory() -> Path:
    """Return the directory of PyTorch's hub for files with weights, which the variable TORCH_HOME moves.

    Raises:
        UnavailableError: If there is no home directory.
    """
    if home := os.environ.get("TORCH_HOME"):
        return Path(os.path.expanduser(home)) / "hub" / "checkpoints"  # noqa: PTH111 - pathlib's raises
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise UnavailableError("there is no home directory for downloaded weights: set HOME or TORCH_HOME") from error
    return Path(cache) / "torch" / "hub" / "checkpoints"


def fetch(url: str, directory: Path, advice: str) -> tuple[Path, str]:
    """Return the local copy of a file, and its SHA-256; it is downloaded if there is no undamaged copy.

    Args:
        url: Its address; the name ends in ``-<the first digits of the SHA-256>.<suffix>``.
        directory: Where copies are kept.
        advice: What to do without a network, for the message.

    Raises:
        StorageError: If the copy cannot be written.
        UnavailableError: If it cannot be downloaded, or what arrives is not the file.
    """
    name = Path(urlsplit(url).path).name
    match = DIGEST.search(name)
    if not match:
        raise UnavailableError(f"{url}: its name does not contain its SHA-256, so it cannot be checked; {advice}")
    path, expected = directory / name, match[1]
    if is_file(path):
        with suppress(OSError), path.open("rb") as file:
            if (digest := hashlib.file_digest(file, "sha256").hexdigest()).startswith(expected):
                return path, digest
    return path, _download(url, path, expected, advice)


def _download(url: str, path: Path, expected: str, advice: str) -> str:
    """Download a file; it appears under its name only when it is complete, and has the right SHA-256."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StorageError(
            f"{path.parent}: cannot be written: {reason(error)}; set TORCH_HOME to another directory"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _receive(url, file, expected, advice)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - both are texts
        return digest
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        with suppress(OSError):
            os.remove(temporary)  # noqa: PTH107


def _receive(url: str, file: Any, expected: str, advice: str) -> str:
    """Write what a server sends to a file; return its SHA-256.

    Raises:
        UnavailableError: If the transfer fails or is cut off, or it is another file.
    """
    digest, head, received = hashlib.sha256(), b"", 0
    try:
        response = urlopen(Request(url, headers={"User-Agent": "trainctl"}), timeout=TIMEOUT)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the response, too
        raise UnavailableError(f"{url}: cannot be downloaded: {_why(error)}; {advice}") from error
    with response:
        announced = response.headers.get("Content-Length", "")
        total = int(announced) if announced.isdecimal() else None
        with waiting(f"downloading {urlsplit(url).path.rpartition('/')[2]}", total, "bytes") as wait:
            while chunk := _chunk(response, url, received, advice):
                head, received = head or chunk[:64], received + len(chunk)
                if received > LARGEST:
                    raise UnavailableError(f"{url}: larger than {format_bytes(LARGEST)}; {advice}")
                digest.update(chunk)
                file.write(chunk)
                wait.advance(len(chunk))
    if total is not None and received < total:
        raise UnavailableError(
            f"{url}: the transfer was cut off after {received:,} of {total:,} bytes; run the command again, or {advice}"
        )
    if not digest.hexdigest().startswith(expected):
        what = (
            "a web page (of a proxy or a login?)" if is_web_page(head) else f"a file with SHA-256 {digest.hexdigest()}"
        )
        raise UnavailableError(f"{url}: what was downloaded is {what}, expected SHA-256 {expected}...; {advice}")
    return digest.hexdigest()


def _chunk(response: Any, url: str, received: int, advice: str) -> bytes:
    try:
        data: bytes = response.read(CHUNK)
        return data
    except (OSError, HTTPException) as error:
        raise UnavailableError(
            f"{url}: the transfer broke off after {received:,} bytes: {_why(error)}; run the command again, or {advice}"
        ) from error


def _why(error: BaseException) -> str:
    """Return the reason of an error of urllib, which wraps that of the system."""
    inner = getattr(error, "reason", None)
    return reason(inner) if isinstance(inner, BaseException) else reason(error)


def is_web_page(head: bytes) -> bool:
    r"""Return whether the first bytes of a file are those of HTML, which servers send in place of a file.

    >>> is_web_page(b"\n<!DOCTYPE html>"), is_web_page(b"PK")
    (True, False)
    """
    return head.lstrip().lower().startswith(WEB_PAGES)
