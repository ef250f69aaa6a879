"""The types that augmentations return, and functions that several of them use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainctl.errors import ConfigError


@dataclass(frozen=True)
class Mixing:
    """How the samples of a batch were mixed: sample ``i`` with ``weight``, sample ``partner[i]`` with ``1 - weight``.

    The loss is mixed in the same way, which for classes equals soft targets. The host never waits for these numbers.

    Args:
        weight: A scalar in [0, 1], on the device.
        partner: Indices into the batch ``(N,)``.
    """

    weight: Tensor
    partner: Tensor

    def parts(self, targets: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Return the targets of the mixed samples as ``(weight, targets)``, from the targets before mixing."""
        own = [(weight * self.weight, values) for weight, values in targets]
        return own + [(weight * (1 - self.weight), values[self.partner]) for weight, values in targets]


# (batch as it is stored, generator seeded from (seed, step)) -> batch of the same shape and type
Augment = Callable[[Tensor, torch.Generator], Tensor]
# The same for an augmentation that mixes samples and therefore their targets.
Mixer = Callable[[Tensor, torch.Generator], tuple[Tensor, Mixing]]


Limits = Callable[[], tuple[float, float]]  # returns the range of the pixels of the training split


@dataclass(frozen=True)
class Visit:
    """Which rows a batch (or micro-batch) contains, and in which epoch.

    Args:
        epoch: Number of epochs completed before this one.
        rows: Row numbers in the training split ``(N,)``, on the device.
    """

    epoch: int
    rows: Tensor


class Tracker(Protocol):
    """An augmentation that depends on the rows in the batch; it receives them as the parameter ``visit``."""

    def __call__(self, batch: Tensor, generator: torch.Generator, *, visit: Visit) -> Tensor:
        """Return a batch of the same shape and type."""
        ...


def need_images(name: str, input_shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless samples are images ``(C, H, W)``."""
    if len(input_shape) != 3:
        raise ConfigError(f"augment={name} needs images; this data set's samples have shape {input_shape}")


def need_numbers(name: str, dtype: torch.dtype) -> None:
    """Raise ConfigError unless samples are pixels or real numbers: token ids cannot be interpolated."""
    if dtype != torch.uint8 and not dtype.is_floating_point:
        raise ConfigError(
            f"augment={name} needs pixels or real numbers; this data set's samples are token ids ({dtype})"
        )


def need_targets(name: str, task: str) -> None:
    """Raise ConfigError if the task is reconstruction, which has no targets that could be mixed."""
    if task == "reconstruction":
        raise ConfigError(f"augment={name} mixes targets, which a reconstruction does not have; use augment=noise")


def stored(values: Tensor, dtype: torch.dtype, pixels: tuple[float, float] | None = None) -> Tensor:
    """Convert a batch back to the type in which it is stored; images are clipped to the range of their pixels.

    Args:
        values: The batch, in floating point.
        dtype: Its type; bytes are rounded and clipped to 0..255.
        pixels: The range of its pixels; None for rows that are not images, which have none.
    """
    if dtype == torch.uint8:
        return values.round().clamp(0, 255).to(dtype)
    return (values if pixels is None else values.clamp(*pixels)).to(dtype)


def common_range(lowest: float, highest: float) -> tuple[float, float]:
    """Return the usual range of pixels that contains those of a data set: 0..1, -1..1 or 0..255; else their own.

    >>> common_range(0.1, 0.9), common_range(-0.5, 0.5), common_range(3.0, 200.0), common_range(-2.1, 2.6)
    ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-2.1, 2.6))
    """
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if low <= lowest and highest <= high:
            return low, high
    return lowest, highest


def pixel_range(batch: Tensor, limits: Limits | None) -> tuple[float, float]:
    """Return the range of the pixels of images: that of bytes, or of the training split; without one, of the batch."""
    if batch.dtype == torch.uint8:
        return 0.0, 255.0
    return common_range(float(batch.min()), float(batch.max())) if limits is None else limits()


def background(pixels: tuple[float, float]) -> float:
    """Return the pixel that fills what an image does not cover: 0, or the limit of the range that is nearest to 0."""
    return min(max(0.0, pixels[0]), pixels[1])


def uniform(low: float, high: float, rows: int, generator: torch.Generator) -> Tensor:
    """Draw a number between ``low`` and ``high`` for each image of a batch, ``(N, 1, 1, 1)``."""
    return low + (high - low) * torch.rand(rows, 1, 1, 1, generator=generator, device=generator.device)


def windows(padded: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Cut a window of the same size out of each image, at that image's corner ``(N,)``."""
    y = top[:, None] + torch.arange(height, device=padded.device)
    x = left[:, None] + torch.arange(width, device=padded.device)
    row = torch.arange(len(padded), device=padded.device)[:, None, None]
    return padded[row, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2).contiguous()


def beta(alpha: float, generator: torch.Generator) -> Tensor:
    """Draw a weight in [0, 1] from Beta(alpha, alpha), a scalar on the generator's device."""
    # torch.distributions accepts no generator; this is the function that it calls. Tiny: both draws may underflow to 0.
    shape = torch.full((2,), alpha, dtype=torch.float64, device=generator.device)
    draws = torch._standard_gamma(shape, generator=generator).clamp_min(torch.finfo(torch.float64).tiny)
    return (draws[0] / draws.sum()).float()
