"""Several trained models as one: the mean of their probabilities or predictions."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainctl.components.model.base import Reconstruction
from trainctl.errors import ConfigError

# The tensors with which a part converts rows and outputs, if its cleaning or scaling is its own.
TENSORS = ("fill", "low", "high", "input_factor", "input_offset", "output_factor", "output_offset")


class Part(nn.Module):
    """A model of an ensemble, with its own cleaning and scaling of rows and outputs where these are its own.

    Args:
        model: The model.
        shapes: The shape of each tensor with which rows and outputs are converted, see :data:`TENSORS`.
    """

    fill: Tensor | None
    low: Tensor | None
    high: Tensor | None
    input_factor: Tensor | None
    input_offset: Tensor | None
    output_factor: Tensor | None
    output_offset: Tensor | None

    def __init__(self, model: nn.Module, shapes: Mapping[str, list[int]]) -> None:
        super().__init__()
        self.model = model
        for name in TENSORS:
            self.register_buffer(name, torch.zeros(shapes[name]) if name in shapes else None)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the model's outputs for the rows of the ensemble, in the unit of the ensemble's outputs."""
        if self.low is not None:
            rows = rows.clamp(self.low, self.high)  # NaN stays NaN
        if self.fill is not None:
            rows = torch.where(rows.isnan(), self.fill, rows)
        if self.input_factor is not None and self.input_offset is not None:
            rows = rows * self.input_factor + self.input_offset
        outputs: Tensor = self.model(rows)
        if self.output_factor is not None and self.output_offset is not None:
            outputs = outputs * self.output_factor + self.output_offset
        return outputs


class Ensemble(nn.Module):
    """The mean of several models.

    Args:
        parts: The models.
        task: ``classification``, whose outputs are logarithms of probabilities, or ``regression``.
    """

    def __init__(self, parts: list[nn.Module], task: str) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.task = task

    def forward(self, rows: Tensor) -> Tensor:
        """Return the outputs of the ensemble ``(N, K)``."""
        return self.mean(self.each(rows))

    def each(self, rows: Tensor) -> Tensor:
        """Return what each part predicts ``(M, N, K)``: logarithms of probabilities, or numbers."""
        outputs = torch.stack([part(rows).float() for part in self.parts])
        return outputs.log_softmax(2) if self.task == "classification" else outputs

    def mean(self, each: Tensor) -> Tensor:
        """Return the mean prediction of the parts ``(N, K)``; for a classification, the logarithm of the mean probability."""
        if self.task == "classification":
            return each.logsumexp(0) - math.log(len(self.parts))
        return each.mean(0)

    def disagreement(self, each: Tensor) -> Tensor:
        r"""Return how much the parts disagree on each row.

        For a classification ``(N,)``, the mean divergence of the parts from the ensemble, which is also the mutual
        information between the class and the choice of a part:

        .. math:: D = \frac1M \sum_m \mathrm{KL}(p_m \,\|\, \bar p)

        in nats: 0 if all parts agree, :math:`\ln M` if each is certain of another class. For numbers ``(N, K)``, their
        standard deviation over the parts.

        Args:
            each: What each part predicts ``(M, N, K)``.

        Source: B. Lakshminarayanan, A. Pritzel, C. Blundell, Simple and scalable predictive uncertainty estimation
        using deep ensembles, NeurIPS 2017, section 3.4 (the sum, where this is the mean).
        """
        if self.task == "classification":
            distances = torch.where(each.isneginf(), 0.0, each.exp() * (each - self.mean(each)))
            return distances.sum(2).mean(0).clamp(min=0)
        return each.std(0, correction=0)


def ensemble_in(model: nn.Module) -> Ensemble | None:
    """Return the ensemble that a model is; None if it is none."""
    inner = model.body if isinstance(model, Reconstruction) else model
    return inner if isinstance(inner, Ensemble) else None


def ensemble(
    *,
    parts: list[dict[str, Any]],
    task: Literal["classification", "regression"],
    build: Callable[[str, Mapping[str, Any], Mapping[str, Any]], nn.Module],
) -> nn.Module:
    r"""Return the mean of several trained models; ``trainctl ensemble RUN RUN`` makes such a run.

    .. math:: p(y \mid x) = \frac1M \sum_m p_m(y \mid x)

    For a classification, the outputs are :math:`\log p`, of which a softmax is :math:`p`. Numbers are averaged in the
    unit of the target. The parts may be of any kinds. Parts with other scalings or cleaning than the ensemble convert
    its rows themselves.

    Args:
        parts: For each part, ``model``, its settings with ``name``; ``tensors``, the shapes of the tensors of its own
            cleaning and scaling; and perhaps ``compress``, what computes in its layers, such as ``int8``. Written by ``trainctl ensemble``.
        task: Of the data. Supplied by ``assemble``.
        build: Builds a part from its place in the configuration, its settings and those of its compression. Supplied by ``assemble``.

    Raises:
        ConfigError: If there are no parts.

    Source: B. Lakshminarayanan, A. Pritzel, C. Blundell, Simple and scalable predictive uncertainty estimation using
    deep ensembles, NeurIPS 2017, section 2.4.
    """
    if not parts:
        raise ConfigError("model=ensemble consists of finished runs: use trainctl ensemble RUN RUN")
    built = []
    for number, part in enumerate(parts):
        where = f"model.parts[{number}]"
        settings, shapes, compress = part.get("model"), part.get("tensors", {}), part.get("compress", {})
        if not isinstance(settings, dict) or set(part) - {"model", "tensors", "compress"}:
            raise ConfigError(f"{where}: expected model, tensors and perhaps compress")
        if not isinstance(shapes, dict) or not all(map(_is_shape, shapes, shapes.values())):
            raise ConfigError(f"{where}.tensors: expected the shapes of {', '.join(TENSORS)}")
        if not isinstance(compress, dict) or not all(isinstance(member, dict) for member in compress.values()):
            raise ConfigError(f"{where}.compress: expected members of the group compress with their settings")
        built.append((build(f"{where}.model", settings, compress), shapes))
    reconstructs = [isinstance(model, Reconstruction) for model, _ in built]
    if len(set(reconstructs)) > 1:
        raise ConfigError("model.parts: either all or none of them must be autoencoders")
    averaged = Ensemble([Part(model, shapes) for model, shapes in built], "regression" if reconstructs[0] else task)
    return Reconstruction(averaged) if reconstructs[0] else averaged


def _is_shape(name: object, shape: object) -> bool:
    return (
        name in TENSORS
        and isinstance(shape, list)
        and len(shape) <= 4
        and all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 1 << 24 for size in shape)
    )
