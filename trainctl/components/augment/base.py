"""What every augmentation returns, and what several of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainctl.errors import ConfigError


@dataclass(frozen=True)
class Mixing:
    """How the rows of a batch were mixed: row ``i`` became ``share`` of itself and ``1 - share`` of row ``partner[i]``.

    The loss is mixed likewise, which for classes equals soft targets. No host waits for the numbers.

    Args:
        share: A scalar in [0, 1], on the device.
        partner: Indices of rows ``(N,)``.
    """

    share: Tensor
    partner: Tensor

    def parts(self, targets: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Return the targets of the mixed rows as ``(share, targets)``, given those of the rows before."""
        own = [(share * self.share, values) for share, values in targets]
        return own + [(share * (1 - self.share), values[self.partner]) for share, values in targets]


# (batch as it is stored, generator seeded from (seed, step)) -> batch of the same shape and type
Augment = Callable[[Tensor, torch.Generator], Tensor]
# The same for those that mix rows, and so their targets.
Mixer = Callable[[Tensor, torch.Generator], tuple[Tensor, Mixing]]


@dataclass(frozen=True)
class Visit:
    """Which rows a batch (micro-batch) holds, and when.

    Args:
        epoch: Epochs done before this one.
        rows: Their numbers in the training split ``(N,)``, on the device.
    """

    epoch: int
    rows: Tensor


class Tracker(Protocol):
    """An augmentation that has to know the rows: it is told by a parameter of this name."""

    def __call__(self, batch: Tensor, generator: torch.Generator, *, visit: Visit) -> Tensor:
        """Return a batch of the same shape and type."""
        ...


def need_images(name: str, input_shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless rows are images ``(C, H, W)``."""
    if len(input_shape) != 3:
        raise ConfigError(f"augment={name} needs images; this data set's rows have shape {input_shape}")


def need_numbers(name: str, dtype: torch.dtype) -> None:
    """Raise ConfigError unless rows hold pixels or real numbers: there is nothing between two codes of words."""
    if dtype != torch.uint8 and not dtype.is_floating_point:
        raise ConfigError(f"augment={name} needs pixels or real numbers; this data set's rows hold codes ({dtype})")


def need_targets(name: str, task: str) -> None:
    """Raise ConfigError for a reconstruction, which has no targets that could be mixed."""
    if task == "reconstruction":
        raise ConfigError(f"augment={name} mixes targets; a reconstruction has none of its own: try augment=noise")


def stored(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a batch to the type in which it is stored: bytes are rounded and clipped to 0..255."""
    return values.round().clamp(0, 255).to(dtype) if dtype == torch.uint8 else values.to(dtype)


def uniform(low: float, high: float, rows: int, generator: torch.Generator) -> Tensor:
    """Draw a number between two for each image of a batch, ``(N, 1, 1, 1)``."""
    return low + (high - low) * torch.rand(rows, 1, 1, 1, generator=generator, device=generator.device)


def windows(padded: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Cut a window of one size out of each image, at its own corner ``(N,)``."""
    y = top[:, None] + torch.arange(height, device=padded.device)
    x = left[:, None] + torch.arange(width, device=padded.device)
    row = torch.arange(len(padded), device=padded.device)[:, None, None]
    return padded[row, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2).contiguous()


def beta(alpha: float, generator: torch.Generator) -> Tensor:
    """Draw a share from Beta(alpha, alpha), a scalar on the generator's device."""
    # torch.distributions takes no generator; this is what it calls. Tiny: both draws may underflow to 0.
    shape = torch.full((2,), alpha, dtype=torch.float64, device=generator.device)
    draws = torch._standard_gamma(shape, generator=generator).clamp_min(torch.finfo(torch.float64).tiny)
    return (draws[0] / draws.sum()).float()
