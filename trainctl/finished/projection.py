"""Codes in two dimensions, to be drawn."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PERPLEXITY = 30.0  # of t-SNE, for enough rows
START = 1e-4  # standard deviation of the first component at the start of t-SNE, as in scikit-learn


@dataclass(frozen=True)
class Projection:
    """Codes in two dimensions.

    Args:
        places: ``(N, 2)``.
        axes: What the two axes are.
    """

    places: np.ndarray
    axes: tuple[str, str]


def principal(codes: Tensor) -> Projection:
    """Project codes ``(N, D)`` onto the two directions in which they vary most.

    The sign of a direction is such that its largest number is positive. Codes of one number have one direction.

    Source: K. Pearson, On lines and planes of closest fit, 1901.
    """
    centred = codes.double() - codes.double().mean(0)
    _, spreads, directions = torch.linalg.svd(centred, full_matrices=False)
    shares = spreads.square() / max(float(spreads.square().sum()), 1e-300)
    largest = directions.abs().argmax(1, keepdim=True)
    directions = directions * torch.where(directions.gather(1, largest) < 0, -1.0, 1.0)
    places = torch.zeros(len(codes), 2, dtype=torch.float64)
    names = []
    for index in range(2):
        if index < len(directions):
            places[:, index] = centred @ directions[index]
        share = float(shares[index]) if index < len(shares) else 0.0
        names.append(f"component {index + 1} ({share:.0%} of the variance)")
    return Projection(places.numpy(), (names[0], names[1]))


def neighbours(codes: Tensor, seed: int) -> Projection:
    """Place codes ``(N, D)`` so that similar ones are close to each other, with scikit-learn's t-SNE.

    Source: L. van der Maaten, G. Hinton, Visualizing data using t-SNE, 2008. Distances between clusters mean nothing.
    """
    from sklearn.manifold import TSNE

    start = principal(codes).places[:, :2]
    spread = float(start[:, 0].std())
    made = TSNE(
        perplexity=max(1.0, min(PERPLEXITY, (len(codes) - 1) / 3)),
        init=(start / spread * START).astype(np.float32) if spread > 0 else "random",  # scikit-learn's own fails there
        random_state=seed % 2**32,
    )
    places: np.ndarray = made.fit_transform(codes.numpy())
    return Projection(places, ("t-SNE 1", "t-SNE 2"))
