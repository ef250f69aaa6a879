"""Image files of many kinds."""

import numpy as np
import pytest
from PIL import Image

from trainctl.errors import DataError
from trainctl.fileformat.image import read_image

LEVELS = np.linspace(0, 65535, 16).reshape(4, 4)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_levels_of_16_bits_are_scaled_down_not_cut_off(tmp_path, ending, channels):
    file = tmp_path / f"grey.{ending}"
    if ending == "pgm":  # Pillow 10.0 reads 16 bits of it but does not write them
        file.write_bytes(b"P5 4 4 65535\n" + LEVELS.astype(">u2").tobytes())
    else:
        Image.fromarray(LEVELS.astype(np.uint16)).save(file)
    pixels = read_image(file, to(channels))
    assert pixels.shape == (channels, 4, 4)
    assert pixels[0].tolist() == (LEVELS / 257).round().tolist()


@pytest.mark.parametrize(
    "values", [LEVELS.astype(np.float32), LEVELS.astype(np.int32) * 2, LEVELS.astype(np.int32) - 1]
)
def test_pixels_without_a_known_range_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "wide.tif")
    with pytest.raises(
        DataError, match=r"wide\.tif: cannot be read as an image: its pixels have neither 8 nor 16 bits"
    ):
        read_image(tmp_path / "wide.tif", to(1))


def test_colours_become_grey_and_grey_becomes_colours(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "red.png")
    assert (read_image(tmp_path / "red.png", to(1)) == 76).all()
    Image.new("L", (4, 4), 9).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png", to(3)) == 9).all()
