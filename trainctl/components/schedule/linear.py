"""Linear decay."""

from trainctl.components.schedule.base import Fraction, Multiplier, WarmupSteps, warmed_up


def linear(*, warmup_steps: WarmupSteps, final_fraction: Fraction, total_steps: int) -> Multiplier:
    r"""Decay the learning rate linearly, after a linear warmup.

    .. math:: m(t) = 1 - (1 - f)\, \tfrac{t - W}{T - W}

    With ``final_fraction=1`` the rate is constant after the warmup.

    Args:
        warmup_steps: :math:`W` [optimizer steps], less than the run's length; 0 disables it.
        final_fraction: :math:`f`, multiplier at the end [1].
        total_steps: :math:`T` [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: the schedule of J. Devlin et al., BERT, NAACL 2019, appendix A.2; without warmup it equals PyTorch's
    ``LinearLR`` from 1 to :math:`f` over the whole run.

    >>> m = linear(warmup_steps=2, final_fraction=0.0, total_steps=10)
    >>> [m(t) for t in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    def fall(step: int) -> float:
        return 1 - (1 - final_fraction) * min(1.0, step / (total_steps - warmup_steps))

    return warmed_up(fall, warmup_steps, total_steps)
