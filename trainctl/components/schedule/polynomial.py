"""Polynomial decay."""

from typing import Annotated

from trainctl.components.schedule.base import Fraction, Multiplier, WarmupSteps, warmed_up


def polynomial(
    *,
    warmup_steps: WarmupSteps,
    power: Annotated[float, "(0, inf)"],
    final_fraction: Fraction,
    total_steps: int,
) -> Multiplier:
    r"""Decay the learning rate with a power of the remaining fraction of the run, after a linear warmup.

    .. math:: m(t) = f + (1 - f) \left(1 - \tfrac{t - W}{T - W}\right)^p

    Args:
        warmup_steps: :math:`W` [optimizer steps], less than the run's length; 0 disables it.
        power: :math:`p`; 1 is linear, larger values decay faster at the beginning.
        final_fraction: :math:`f`, multiplier at the end [1].
        total_steps: :math:`T` [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: the "poly" policy of L.-C. Chen et al., DeepLab, TPAMI 2018, section 4.1, with its power 0.9; with
    :math:`f = 0` it equals PyTorch's ``PolynomialLR`` over the whole run. The warmup is added.

    >>> m = polynomial(warmup_steps=0, power=2.0, final_fraction=0.0, total_steps=10)
    >>> [round(m(t), 3) for t in (0, 5, 9, 10)]
    [1.0, 0.25, 0.01, 0.0]
    """

    def fall(step: int) -> float:
        remaining = max(0.0, 1 - step / (total_steps - warmup_steps))
        return float(final_fraction + (1 - final_fraction) * remaining**power)

    return warmed_up(fall, warmup_steps, total_steps)
