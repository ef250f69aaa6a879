"""A decoded image -> bytes of a given size: its range of values, its transparency, its channels.

Imports no torch; Pillow only where it is used, because most runs read no images.
"""

import io
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Background = Literal["white", "grey", "black", "ignore"]
BACKGROUNDS: tuple[Background, ...] = get_args(Background)
GROUNDS = {"white": 255, "grey": 128, "black": 0}
TOP, TOP_OF_12_BITS = 65535, 4095
BITS_PER_SAMPLE = 258  # tag of a TIFF
DEEP_COLOURS = re.compile(r"(RGB|RGBX|RGBA);16([LBN])")  # Pillow's names for 16 bits, of which it keeps the upper 8
DEEP_GREY_WITH_ALPHA = "LA;16B"


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """How images are converted.

    Args:
        channels: 1 for grey, 3 for RGB.
        height: Of the result [pixels].
        width: Of the result [pixels].
        background: What lies behind transparent pixels; ``ignore``: their colour is taken as it is stored.
        pixel_range: The values that become 0 and 255 in images of more than 8 bits; values beyond them are clipped.
            None: 0..65535.
    """

    channels: int
    height: int
    width: int
    background: Background = "ignore"
    pixel_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Seen:
    """What an image was before its conversion.

    Args:
        transparent: Whether a pixel is transparent.
        animated: Whether it has several frames or pages, of which the first is taken.
        low: Its smallest value, if it has more than 8 bits.
        high: Its largest value.
        levels: Which of the 256 levels its values became ``(256,)``, before it was resized.
        size: Its width and height, upright [pixels]; None if they are not known.
        mode: What its pixels are, by Pillow's name.
    """

    transparent: bool = False
    animated: bool = False
    low: float | None = None
    high: float | None = None
    levels: np.ndarray | None = None
    size: tuple[int, int] | None = None
    mode: str = ""


def convert(image: "Image.Image", content: bytes, formats: tuple[str, ...], to: PixelFormat) -> tuple[np.ndarray, Seen]:
    """Convert an image that was opened; its first frame if it has several.

    Args:
        image: As Pillow opened it.
        content: The bytes of its file.
        formats: Those that Pillow may recognise.
        to: What it becomes.

    Returns:
        Pixels ``(channels, height, width)`` as uint8, and what it was.

    Raises:
        ValueError: If the range of its values is not known, or some are not finite.
    """
    from PIL import Image

    seen = Seen(animated=bool(getattr(image, "is_animated", False)))
    top = _top(image)
    values = deep_values(image, content, formats)
    if values is None:
        eight = image
    else:
        eight = _to_bytes(image, values, top, to.pixel_range)
        levels = np.bincount(np.array(eight)[..., : 3 if values.ndim == 3 else None].ravel(), minlength=256) > 0
        colours = values[..., : _colours(values)] if values.ndim == 3 else values
        seen = replace(seen, low=float(colours.min()), high=float(colours.max()), levels=levels)
    grounded, transparent = _on_ground(_upright(eight, image), to.background)
    resized = grounded.convert("L" if to.channels == 1 else "RGB").resize(
        (to.width, to.height), Image.Resampling.BILINEAR
    )
    pixels = np.array(resized, dtype=np.uint8).reshape(to.height, to.width, to.channels).transpose(2, 0, 1)
    was = replace(seen, transparent=transparent, size=grounded.size, mode=image.mode)
    return np.ascontiguousarray(pixels), was


def is_deep(image: "Image.Image") -> bool:
    """Return whether an image that was opened has more than 8 bits a value."""
    return image.mode[:1] in ("I", "F") or _deep_rawmode(image) is not None


def deep_values(image: "Image.Image", content: bytes, formats: tuple[str, ...]) -> np.ndarray | None:
    """Return the values of an image of more than 8 bits, ``(H, W)`` or ``(H, W, bands)``; None for other images.

    Pillow keeps the upper 8 of 16 bits of colours. They are decoded a second time with the two bytes exchanged, which
    gives the lower ones.

    Raises:
        ValueError: If values are not finite.
    """
    if image.mode[:1] in ("I", "F"):
        values = np.array(image)
        if not np.isfinite(values).all():
            raise ValueError("it has values that are not finite")
        return values
    if (rawmode := _deep_rawmode(image)) is None:
        return None
    if rawmode == DEEP_GREY_WITH_ALPHA:  # four bytes a pixel: two of grey, two of alpha
        both = np.array(_decoded(content, formats, "RGBA")).astype(np.uint16)
        return both[..., 0::2] * 256 + both[..., 1::2]
    swapped = _swapped(rawmode)
    image.load()
    upper, lower = (np.array(part).astype(np.uint16) for part in (image, _decoded(content, formats, swapped)))
    return upper * 256 + lower


def _colours(values: np.ndarray) -> int:
    """Return how many bands are colours; the others are alpha."""
    return {2: 1, 3: 3, 4: 3}[values.shape[-1]]


def _top(image: "Image.Image") -> int:
    """Return the largest value that an image of more than 8 bits can have."""
    tags = getattr(image, "tag_v2", {})
    return TOP_OF_12_BITS if tags.get(BITS_PER_SAMPLE) == (12,) else TOP


def _deep_rawmode(image: "Image.Image") -> str | None:
    """Return Pillow's name for how 16 bits a colour are stored; None for other images."""
    modes = {_rawmode(tile[3]) for tile in getattr(image, "tile", ())}
    mode = modes.pop() if len(modes) == 1 else ""
    return mode if DEEP_COLOURS.fullmatch(mode) or mode == DEEP_GREY_WITH_ALPHA else None


def _rawmode(arguments: object) -> str:
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _swapped(rawmode: str) -> str:
    """Return the name of the other order of bytes.

    >>> _swapped("RGB;16B")
    'RGB;16L'
    """
    native = {"little": "L", "big": "B"}[sys.byteorder]
    order = native if rawmode[-1] == "N" else rawmode[-1]
    return rawmode[:-1] + {"L": "B", "B": "L"}[order]


def _decoded(content: bytes, formats: tuple[str, ...], rawmode: str) -> "Image.Image":
    """Decode an image with its bytes in another order."""
    from PIL import Image

    image = Image.open(io.BytesIO(content), formats=formats)
    tiles = [(*tile[:3], (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode) for tile in image.tile]
    image.tile = tiles  # type: ignore[assignment]  # older versions of Pillow have plain tuples
    image.load()
    return image


def _to_bytes(
    image: "Image.Image", values: np.ndarray, top: int, pixel_range: tuple[float, float] | None
) -> "Image.Image":
    """Return an image of 8 bits.

    Raises:
        ValueError: If the range of its values is unknown.
    """
    from PIL import Image

    if pixel_range is None and values.ndim == 3:
        return image  # Pillow's upper 8 bits
    if pixel_range is None:
        if image.mode == "F" or values.min() < 0 or values.max() > TOP:
            raise ValueError(
                f"its pixels have neither 8 nor 16 bits ({values.min():g}..{values.max():g}): set"
                " dataset.range=[LOW,HIGH] or dataset.range=auto, or save it with 8 or 16 bits"
            )
        return Image.fromarray((values / (top / 255)).round().astype(np.uint8))
    low, high = pixel_range
    share = (values.astype(np.float64) - low) / (high - low)
    bands = (share.clip(0, 1) * 255).round().astype(np.uint8)
    if values.ndim == 3 and values.shape[-1] != _colours(values):
        bands[..., -1] = values[..., -1] >> 8  # alpha has its own range
    if values.ndim == 3 and values.shape[-1] == 2:
        return Image.fromarray(bands[..., [0, 0, 0, 1]])
    return Image.fromarray(bands)


def _upright(eight: "Image.Image", image: "Image.Image") -> "Image.Image":
    """Turn an image as the EXIF data of its file say."""
    from PIL import ExifTags, Image, ImageOps

    if eight is image:
        return ImageOps.exif_transpose(image)
    image.load()  # of a TIFF, Pillow turns the pixels and removes the tag
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    turn = turns.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return eight if turn is None else eight.transpose(turn)


def _on_ground(image: "Image.Image", background: Background) -> tuple["Image.Image", bool]:
    """Put an image on a ground; return it, and whether it was transparent anywhere."""
    from PIL import Image

    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image, False
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    least = np.array(rgba.getchannel("A")).min()
    if least == 255 or background == "ignore":
        return image, bool(least < 255)
    ground = (GROUNDS[background],) * 3
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*ground, 255)), rgba), True
