"""Image files of many kinds are read as people see them."""

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from tests.fileformat import pictures
from tests.soak import cases, seed
from trainctl.errors import DataError
from trainctl.fileformat.image import formats, image_range, read_bytes, read_image, suffixes, to_pixels
from trainctl.fileformat.pixels import BACKGROUNDS, GROUNDS, PixelFormat

LEVELS = np.linspace(0, 65535, 16).reshape(4, 4)


def to(channels, side=4, **changes):
    return PixelFormat(**{"channels": channels, "height": side, "width": side} | changes)


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
def test_pixels_without_a_known_range_need_one(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "wide.tif")
    with pytest.raises(
        DataError,
        match=r"wide\.tif: cannot be read as an image: its pixels have neither 8 nor 16 bits \(.*set dataset\.range=",
    ):
        read_image(tmp_path / "wide.tif", to(1))
    low, high = image_range(tmp_path / "wide.tif")
    assert (low, high) == (values.min(), values.max())
    pixels = read_image(tmp_path / "wide.tif", to(1, pixel_range=(low, high)))
    assert pixels[0].tolist() == (LEVELS / 257).round().tolist()


def test_values_that_are_not_finite_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(DataError, match=r"nan\.tif: cannot be read as an image: it has values that are not finite"):
        read_image(tmp_path / "nan.tif", to(1, pixel_range=(0, 1)))


def test_values_beyond_the_range_are_clipped_and_8_bits_stay(tmp_path):
    Image.fromarray(np.array([[0, 1000], [2000, 9000]], np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", to(1, 2, pixel_range=(1000, 2000)))[0].tolist() == [[0, 0], [255, 255]]
    Image.new("L", (2, 2), 9).save(tmp_path / "b.png")
    assert (read_image(tmp_path / "b.png", to(1, 2, pixel_range=(1000, 2000))) == 9).all()
    assert image_range(tmp_path / "b.png") is None


def test_colours_become_grey_and_grey_becomes_colours(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 255)).save(tmp_path / "red.png")
    assert (read_image(tmp_path / "red.png", to(1)) == 76).all()
    Image.new("L", (4, 4), 9).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png", to(3)) == 9).all()


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_what_is_transparent_shows_the_ground_not_what_the_file_hides(tmp_path, mode, background):
    file = tmp_path / "hidden.png"
    if mode in ("P", "L", "RGB"):  # one colour is declared transparent
        Image.new(mode, (4, 4)).save(file, transparency=(0, 0, 0) if mode == "RGB" else 0)
    else:
        Image.new(mode, (4, 4), 0).save(file)
    pixels, seen = to_pixels(file, read_bytes(file), to(3, background=background))
    assert (pixels == GROUNDS.get(background, 0)).all()
    assert seen.transparent


def test_the_first_frame_of_an_animation_is_read_and_that_is_known(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        pixels, seen = to_pixels(tmp_path / name, read_bytes(tmp_path / name), to(3))
        assert np.abs(pixels[:, 0, 0] - np.array([255, 0, 0])).max() <= 2  # WebP is lossy
        assert seen.animated
    frames[0].save(tmp_path / "b.gif")
    assert not to_pixels(tmp_path / "b.gif", read_bytes(tmp_path / "b.gif"), to(3))[1].animated


def test_formats_that_this_pillow_can_read_have_their_suffixes():
    assert {".jpg", ".jfif", ".png", ".webp", ".tiff", ".bmp", ".gif", ".pgm"} <= suffixes()
    assert (".avif" in suffixes()) == ("avif" in features.get_supported_modules())
    assert all(suffix == suffix.lower() for suffix in suffixes())
    assert not {"EPS", "PDF"} & set(formats())


def values_of(source: random.Random, shape: tuple[int, ...], high: int) -> np.ndarray:
    return np.random.default_rng(source.randrange(2**32)).integers(0, high + 1, shape)


def drawn(source: random.Random) -> tuple[str, bytes, np.ndarray, np.ndarray, dict[str, Any]]:
    """Return a kind of image, its file, its colours ``(H, W, 3)`` of 0..255, alpha of 0..1, and settings."""
    height, width = source.randint(1, 9), source.randint(1, 9)
    orientation = source.randint(1, 8)
    kind = source.choice(("8", "palette", "1", "16 grey", "16 png", "16 tiff", "float", "cmyk"))
    settings: dict[str, Any] = {"background": source.choice(BACKGROUNDS)}
    opaque = np.ones((height, width))
    stream = io.BytesIO()
    if kind == "8":
        mode = source.choice(("L", "LA", "RGB", "RGBA"))
        values = values_of(source, (height, width, len(mode)), 255).astype(np.uint8)
        image = Image.fromarray(values[..., 0] if mode == "L" else values)
        image.save(stream, source.choice(("PNG", "TIFF")), exif=pictures.exif(orientation))
        colours = values[..., :3] if mode[:3] == "RGB" else values[..., [0, 0, 0]]
        alpha = values[..., -1] / 255 if mode in ("LA", "RGBA") else opaque
    elif kind == "palette":
        table = values_of(source, (16, 3), 255).astype(np.uint8)
        chosen = values_of(source, (height, width), 15).astype(np.uint8)
        image = Image.fromarray(chosen)
        image.putpalette(table.tobytes())  # the image is now of mode P
        clear = source.randrange(16)
        image.save(stream, "PNG", transparency=clear, exif=pictures.exif(orientation))
        colours, alpha = table[chosen], (chosen != clear).astype(float)
    elif kind == "1":
        bits = values_of(source, (height, width), 1).astype(bool)
        Image.fromarray(bits).save(stream, source.choice(("PNG", "TIFF")), exif=pictures.exif(orientation))
        colours, alpha = np.repeat(bits[..., None] * 255, 3, 2), opaque
    elif kind == "16 grey":
        values = values_of(source, (height, width), 65535)
        stream.write(pictures.png_of_16_bits(values, pictures.GREY, orientation))
        colours, alpha = np.repeat((values / 257).round()[..., None], 3, 2), opaque
    elif kind in ("16 png", "16 tiff"):
        high = source.choice((4095, 65535))
        settings["pixel_range"] = (0, high)
        png_kind = (
            source.choice((pictures.RGB, pictures.GREY_ALPHA, pictures.RGBA)) if kind == "16 png" else pictures.RGB
        )
        bands = pictures.BANDS[png_kind]
        values = values_of(source, (height, width, bands), high)
        if bands in (2, 4):
            values[..., -1] = values_of(source, (height, width), 255) * 257
        if kind == "16 png":
            stream.write(pictures.png_of_16_bits(values, png_kind, orientation))
        else:
            stream.write(pictures.tiff_of_16_bits(values, source.choice("<>"), orientation))
        colours = (values[..., :3] if bands > 2 else values[..., [0, 0, 0]]) * 255 / high
        alpha = values[..., -1] / 65535 if bands in (2, 4) else opaque
    elif kind == "float":
        low, spread = source.uniform(-9, 9), source.uniform(0.1, 9)
        settings["pixel_range"] = (low, low + spread)
        share = values_of(source, (height, width), 1000) / 1000
        Image.fromarray((low + spread * share).astype(np.float32)).save(stream, "TIFF", exif=pictures.exif(orientation))
        colours, alpha = np.repeat(share[..., None] * 255, 3, 2), opaque
    else:
        values = values_of(source, (height, width, 4), 255).astype(np.uint8)
        Image.frombytes("CMYK", (width, height), values.tobytes()).save(stream, "JPEG", exif=pictures.exif(orientation))
        decoded = Image.open(io.BytesIO(stream.getvalue()))  # lossy: what Pillow decodes is the truth
        return kind, stream.getvalue(), np.array(ImageOps.exif_transpose(decoded).convert("RGB")), opaque, settings
    return kind, stream.getvalue(), pictures.turned(colours, orientation), pictures.turned(alpha, orientation), settings


@pytest.mark.soak
def test_images_of_any_kind_are_what_numpy_makes_of_their_values(tmp_path):
    source, kinds = seed("images"), set()
    for trial in range(cases(60)):
        kind, content, colours, alpha, settings = drawn(source)
        kinds.add(kind)
        height, width = colours.shape[:2]
        ground = GROUNDS.get(settings["background"])
        wanted = (
            colours if ground is None or alpha.shape != (height, width) else pictures.on_ground(colours, alpha, ground)
        )
        file = tmp_path / "image"
        file.write_bytes(content)
        pixels = read_image(file, PixelFormat(channels=3, height=height, width=width, **settings))
        difference = np.abs(pixels.transpose(1, 2, 0) - wanted).max()
        assert difference <= 1, (trial, kind, settings, difference)
        grey = read_image(file, PixelFormat(channels=1, height=height, width=width, **settings))[0]
        assert np.abs(grey.astype(int) - pictures.grey_of(pixels.transpose(1, 2, 0))).max() <= 1
    assert len(kinds) == 8
