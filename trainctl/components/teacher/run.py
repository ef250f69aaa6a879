"""Knowledge distillation: learn from the outputs of finished runs."""

from functools import partial
from typing import Annotated, Literal

from torch import nn

from trainctl.components.teacher.base import (
    Task,
    Teacher,
    View,
    divergence,
    pull_of_divergence,
    pull_of_squared,
    softened,
    squared,
)
from trainctl.errors import ConfigError


def run(
    *,
    runs: list[Annotated[str, "path"]],
    which: Literal["best", "last"],
    temperature: Annotated[float, "(0, inf)"],
    weight: Annotated[float, "[0, 1]"],
    view: View,
    unlabeled_factor: Annotated[int, "[1, inf)"],
    panel: nn.Module | None,
    task: Task,
) -> Teacher:
    r"""Learn from the outputs of finished runs: knowledge distillation.

    For classes, with the loss :math:`L`, the outputs :math:`z`, the mean :math:`p` of the teachers' probabilities and
    :math:`t = \log p`:

    .. math::
        (1 - w)\, L + w\, T^2\, \mathrm{KL}\left(\mathrm{softmax}(t / T) \,\|\, \mathrm{softmax}(z / T)\right)

    For numbers and reconstructions, with the teachers' mean output :math:`t` in the units of the run:
    :math:`(1 - w)\, L + w\, |z - t|^2`, averaged over the outputs.

    Every row teaches, also those without a label, which :math:`L` does not count. The teachers are in evaluation mode
    and never change. They see the rows after the cleaning of the run, and apply their own limits and scaling. Without
    augmentation, or with ``view=plain``, their outputs are computed once, before the first step, and stored with the rows.
    With ``view=plain`` and mixed rows (mixup, cutmix), the target is the mixture of what the teachers say about the rows
    that were mixed.

    What is needed of the teachers lies in ``parents/`` of the new run, which does not need their directories any more.

    Args:
        runs: The teachers: paths or names of finished runs.
        which: Their weights: ``best`` or ``last``.
        temperature: :math:`T` [1]; a higher one shows more of how similar the classes are to the teachers.
        weight: :math:`w` [1]; 1: labels are not used.
        view: ``augmented``: the teachers see rows as the model sees them, augmented and mixed; ``plain``: as they are.
        unlabeled_factor: Rows without a label in a batch, for each row with one; not used if all rows have labels.
        panel: The teachers as one model, whose outputs are :math:`t`. Supplied by ``assemble``.
        task: The task of the model. Supplied by ``assemble``.

    Raises:
        ConfigError: If no teacher is given.

    Source: G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, 2015, section 2; the same view
    for both: L. Beyer et al., Knowledge distillation: a good teacher is patient and consistent, CVPR 2022.
    """
    if not runs or panel is None:
        raise ConfigError("teacher.runs=[]: needs at least one run to learn from: set teacher.runs=[RUN]")
    shared = {"weight": lambda step: weight, "label_weight": 1 - weight, "view": view, "fixed": True, "scales": True}
    if task != "classification":
        return Teacher(panel, squared, pull=pull_of_squared, **shared)  # type: ignore[arg-type]
    return Teacher(
        panel,
        partial(divergence, temperature=temperature),
        says=partial(softened, temperature=temperature),
        pull=partial(pull_of_divergence, temperature=temperature),
        **shared,  # type: ignore[arg-type]
    )
