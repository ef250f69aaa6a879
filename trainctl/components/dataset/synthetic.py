"""Generated data of any size and shape."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.errors import ConfigError

Size = Annotated[int, "[1, inf)"]


def synthetic(
    *,
    kind: Literal["blobs", "spirals", "sine"],
    rows: Annotated[int, "[4, inf)"],
    shape: list[Size],
    classes: Annotated[int, "[2, inf)"],
    noise: Annotated[float, "[0, inf)"],
    seed: Annotated[int, "[0, 4294967295]"],
) -> Dataset:
    r"""Return generated data of any size and shape: blobs, spirals or a sine.

    ``blobs``: class :math:`k` has a centre :math:`c_k` with :math:`c_k \sim N(0, 1)` in every dimension, and its samples
    are :math:`c_k + \text{noise} \cdot \varepsilon`. ``spirals``: each class is an arm in the plane of the first two
    features, :math:`r (\cos \varphi, \sin \varphi)` with :math:`\varphi = 2 \pi k / K + 4 r`, :math:`r \in [0.1, 1]`,
    plus noise; all other features are only noise. ``sine``: a regression, :math:`y = \sin(\pi \, \overline{x})
    + \text{noise} \cdot \varepsilon` with :math:`\overline{x} = \sum_i x_i / \sqrt{F}`, :math:`x_i \in [-1, 1]`.
    In all cases :math:`\varepsilon \sim N(0, 1)`. A sample's class is its number modulo ``classes``.

    Args:
        kind: ``blobs``, ``spirals`` or ``sine``.
        rows: Number of samples.
        shape: Shape of a sample: ``[F]`` for a table, ``[T,F]`` for a sequence, ``[C,H,W]`` for an image (whose bytes
            0..255 cover four standard deviations on each side).
        classes: Number of classes; ignored for ``sine``, for which ``loss=mse`` is the usual loss.
        noise: Standard deviation of the noise [1].
        seed: Seed of the random numbers.

    Raises:
        ConfigError: If ``shape`` has more than three dimensions or is too small, or there are fewer rows than classes.

    Source: K. Lang, M. Witbrock, Learning to tell two spirals apart, 1988 (spirals); the others are common practice.
    """
    size = 1
    for length in shape:
        size *= length
    if not 1 <= len(shape) <= 3 or (kind == "spirals" and size < 2):
        least = "at least 2 numbers and " if kind == "spirals" else ""
        raise ConfigError(f"dataset.shape={shape}: needs {least}one to three dimensions: [F], [T,F] or [C,H,W]")
    if kind != "sine" and rows < classes:
        raise ConfigError(f"dataset.rows={rows} must be at least dataset.classes={classes}")
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(rows) % classes
    if kind == "blobs":
        points = torch.randn(classes, size, generator=generator)[targets]
        points = points + noise * torch.randn(rows, size, generator=generator)
    elif kind == "spirals":
        radius = 0.1 + 0.9 * torch.rand(rows, generator=generator)
        angle = 2 * torch.pi * targets / classes + 4 * radius
        points = noise * torch.randn(rows, size, generator=generator)
        points[:, 0] += radius * angle.cos()
        points[:, 1] += radius * angle.sin()
    else:
        points = 2 * torch.rand(rows, size, generator=generator) - 1
        mean = points.sum(1, keepdim=True) / size**0.5
        values = (torch.pi * mean).sin() + noise * torch.randn(rows, 1, generator=generator)
        names = _names(shape)
        return Dataset(_shaped(points, shape), values, "regression", input_names=names, target_names=("y",))
    return Dataset(
        _shaped(points, shape), targets, "classification", tuple(map(str, range(classes))), input_names=_names(shape)
    )


def _names(shape: list[int]) -> tuple[str, ...]:
    return tuple(f"x{column}" for column in range(shape[0])) if len(shape) == 1 else ()


def _shaped(points: Tensor, shape: list[int]) -> Tensor:
    if len(shape) == 3:
        points = (127.5 + points * 32).round().clamp(0, 255).to(torch.uint8)
    return points.reshape(-1, *shape)
