"""Image files whose pixels are known: written byte by byte where Pillow cannot write them."""

import struct
import zlib

import numpy as np
from PIL import ExifTags, Image

GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6  # colour types of PNG
BANDS = {GREY: 0, RGB: 3, GREY_ALPHA: 2, RGBA: 4}


def exif(orientation: int) -> bytes:
    """Return EXIF data that say how an image is to be turned."""
    data = Image.Exif()
    data[ExifTags.Base.Orientation] = orientation
    return data.tobytes()


def png_of_16_bits(values: np.ndarray, kind: int, orientation: int = 1) -> bytes:
    """Return a PNG with values of 16 bits ``(H, W)`` or ``(H, W, bands)``."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0),
        *([b"eXIf" + exif(orientation).removeprefix(b"Exif\0\0")] if orientation > 1 else []),
        b"IDAT" + zlib.compress(rows),
        b"IEND",
    ]
    packed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff_of_16_bits(values: np.ndarray, order: str, orientation: int = 1) -> bytes:
    """Return a TIFF with RGB values of 16 bits ``(H, W, 3)``; ``order`` is ``<`` or ``>``."""
    height, width, bands = values.shape
    data = values.astype(f"{order}u2").tobytes()
    entries = [  # tag, type (3: two bytes, 4: four), count, value
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, bands, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14),
        (274, 3, 1, orientation), (277, 3, 1, bands), (278, 3, 1, height), (279, 4, 1, len(data)),
    ]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 14 + len(data))
    bits = struct.pack(f"{order}3H", 16, 16, 16)
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(f"{order}H2x" if kind == 3 and count == 1 else f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind, count) + packed
    return head + bits + data + directory + bytes(4)


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return values as EXIF's orientation 1..8 says that they are to be shown."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    flips = {2: "h", 3: "hv", 4: "v", 6: "h", 7: "hv", 8: "v"}.get(orientation, "")
    values = values[:, ::-1] if "h" in flips else values
    return values[::-1] if "v" in flips else values


def grey_of(rgb: np.ndarray) -> np.ndarray:
    """Return the brightness of colours, ITU-R BT.601, as Pillow computes it."""
    weighted = rgb.astype(np.int64) @ np.array([19595, 38470, 7471])
    return (weighted + 0x8000) >> 16


def on_ground(colours: np.ndarray, alpha: np.ndarray, ground: int) -> np.ndarray:
    """Return colours ``(H, W, 3)`` in front of a ground, as seen through alpha ``(H, W)`` of 0..1."""
    return colours * alpha[..., None] + ground * (1 - alpha[..., None])
