"""Draw the printed digits of recipe=transfer_printed: python -m benchmarks.printed_digits recipes/printed_digits.npz

The fonts are those that come with matplotlib. Each digit is distorted at random, and scaled as the handwritten digits of
scikit-learn were: to a square of 32x32 black and white pixels, of which each 4x4 become one value in 0..16 (E. Alpaydin,
C. Kaynak, Optical recognition of handwritten digits, 1998). Another version of Pillow or of the fonts may draw them a
little differently.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = ("DejaVuSans*", "DejaVuSerif*", "STIXGeneral*", "cmr10", "cmss10", "cmtt10", "cmb10")
TIMES = 20  # that each digit of each font is drawn
PAD = 40  # pixels around a digit, so that no corner is cut off
SIZE = 32  # pixels of the square


def fonts() -> list[Path]:
    """Return the files of the fonts; those for displays have few characters."""
    directory = Path(mpl.get_data_path()) / "fonts" / "ttf"
    found = [path for pattern in FONTS for path in sorted(directory.glob(f"{pattern}.ttf"))]
    return [path for path in found if "Display" not in path.stem]


def draw(font: ImageFont.FreeTypeFont, digit: str, random: np.random.Generator) -> np.ndarray:
    """Return a distorted digit ``(8, 8)``, values in 0..16."""
    image = Image.new("L", (128, 128))
    width = int(random.integers(0, 4))
    ImageDraw.Draw(image).text((64, 64), digit, fill=255, font=font, anchor="mm", stroke_width=width)
    image = image.crop(image.getbbox())
    padded = Image.new("L", (image.width + 2 * PAD, image.height + 2 * PAD))
    padded.paste(image, (PAD, PAD))
    return _as_handwritten(_waves(_tilted(padded, random), random), random)


def _tilted(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Move the corners of an image, and turn it by up to 15 degrees."""
    width, height = image.size
    corners = np.array([0, 0, 0, 1, 1, 1, 1, 0]) + random.uniform(-0.15, 0.15, 8)
    quad = (corners * np.tile([width, height], 4)).tolist()
    moved = image.transform(image.size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    return moved.rotate(random.uniform(-15, 15), Image.Resampling.BILINEAR, expand=True)


def _waves(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Bend an image along a wave in each direction."""
    pixels = np.asarray(image)
    rows, columns = np.indices(pixels.shape)
    for axis, along in ((0, columns), (1, rows)):
        length, phase, height = random.uniform(0.5, 1.5), random.random(), random.uniform(0, 7)
        shift = height * np.sin(2 * np.pi * (along / pixels.shape[1 - axis] * length + phase))
        moved = ((rows, columns)[axis] + shift).round().astype(int).clip(0, pixels.shape[axis] - 1)
        pixels = pixels[moved, columns] if axis == 0 else pixels[rows, moved]
    return Image.fromarray(pixels)


def _as_handwritten(image: Image.Image, random: np.random.Generator) -> np.ndarray:
    """Return a digit as the preprocessing of the handwritten ones leaves it."""
    image = image.crop(image.point(lambda value: 255 * (value > 127)).getbbox())
    factor = SIZE / max(image.size)
    width = min(SIZE, max(4, round(image.width * factor * random.uniform(0.9, 1.3))))
    height = min(SIZE, round(image.height * factor))
    square = Image.new("L", (SIZE, SIZE))
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    square.paste(scaled, ((SIZE - width) // 2, (SIZE - height) // 2))
    counts: np.ndarray = (np.asarray(square) > 127).reshape(8, 4, 8, 4).sum((1, 3))
    return counts.astype(np.uint8)


def main(target: str) -> None:
    """Write the file."""
    random = np.random.default_rng(0)
    drawn = [(ImageFont.truetype(str(path), 80), str(digit)) for path in fonts() for digit in range(10)]
    inputs = np.stack([draw(font, digit, random)[None] for font, digit in drawn for _ in range(TIMES)])
    targets = np.array([int(digit) for _, digit in drawn for _ in range(TIMES)], np.uint8)
    np.savez_compressed(target, inputs=inputs, targets=targets)


if __name__ == "__main__":
    main(sys.argv[1])
