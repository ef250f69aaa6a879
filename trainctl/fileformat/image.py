"""Read image files as pixels of a given size."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 2**26  # 200 MB in memory; a small file may decompress to many more
MOST_BYTES = 2**30  # of a file; MOST_PIXELS of 16 bits in four channels take half of it
# Not every format of Pillow: for some it starts other programs, e.g. Ghostscript for .eps.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP")
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"})


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Read an image, rotate it by its EXIF data, convert it to grayscale or RGB, and resize it (bilinear).

    Args:
        path: The file.
        channels: 1 for grayscale, 3 for RGB.
        height: Height of the result [pixels].
        width: Width of the result [pixels].

    Returns:
        Pixels ``(channels, height, width)`` as uint8.

    Raises:
        DataError: If the image is damaged, truncated or too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # here, because most runs read no images

    def explain(error: Exception) -> str | None:
        if isinstance(error, Image.DecompressionBombError):
            return f"{path}: has more than {MOST_PIXELS:,} pixels, by its header; scale it down, or remove it"
        if isinstance(error, UnidentifiedImageError):
            return f"{path}: cannot be read as an image: it is not one of {', '.join(FORMATS)}"
        return None

    check_file(path)
    with reading(path, what="cannot be read as an image", explain=explain), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about transparency and unusual metadata, both of which are discarded
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: is larger than {MOST_BYTES:,} bytes")
        content = io.BytesIO(path.read_bytes())  # when reading from a file, Pillow trusts the size in a chunk's header
        with Image.open(content, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            upright = _bytes(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
            pixels = np.array(upright.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))


def _bytes(image: "Image.Image") -> "Image.Image":
    """Return an image with 8 bits per channel; 16-bit gray is scaled down, since Pillow would clip it at 255.

    Raises:
        ValueError: If the range of the pixel values is unknown.
    """
    from PIL import Image

    if image.mode[:1] not in ("I", "F"):
        return image
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels have neither 8 nor 16 bits; save it with 8 or 16 bits")
    return Image.fromarray((values / 257).round().astype(np.uint8))
