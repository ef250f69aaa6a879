"""An image file -> pixels of a given size."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainctl.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 2**26  # 200 MB in memory; a small file may unpack to any number
# Not all that Pillow knows: for some formats it starts other programs, as Ghostscript for .eps.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP")
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"})


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Read an image, turned upright, to grey or RGB, and scaled to a size (bilinear).

    Args:
        path: The file.
        channels: 1 for grey, 3 for RGB.
        height: Of the result [pixels].
        width: Of the result [pixels].

    Returns:
        Pixels ``(channels, height, width)`` as uint8.

    Raises:
        DataError: If it cannot be read whole.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # here, because most runs read no images

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about transparency and odd metadata, which are dropped
            content = io.BytesIO(path.read_bytes())  # of a file, Pillow sets memory aside for what a chunk promises
            with Image.open(content, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                upright = _bytes(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
                pixels = np.array(upright.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: has more than {MOST_PIXELS:,} pixels, by its header; scale it down, or remove it"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: cannot be read as an image: holds none of {', '.join(FORMATS)}") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged content makes the formats' readers say
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as an image: {text}") from error
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))


def _bytes(image: "Image.Image") -> "Image.Image":
    """Return an image of 8 bits: 16 bits of grey are scaled down, which Pillow would cut off at 255.

    Raises:
        ValueError: If its values have no known range.
    """
    from PIL import Image

    if image.mode[:1] not in ("I", "F"):
        return image
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels are no bytes, nor 16 bits of grey; save it with 8 or 16 bits")
    return Image.fromarray((values / 257).round().astype(np.uint8))
