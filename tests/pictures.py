"""What a picture shows, as far as a test can tell."""

from pathlib import Path

from PIL import Image

FEW = 20  # colours of a picture in which nothing is drawn; text and lines have many, because their edges are smoothed


def is_drawn(path: Path) -> bool:
    """Return whether a picture has more than a few colours."""
    with Image.open(path) as image:
        return image.convert("RGBA").getcolors(FEW) is None
