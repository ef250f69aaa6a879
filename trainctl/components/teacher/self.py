"""Pseudo-labels: learn from the model's own confident predictions; with augmentation, FixMatch."""

from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional

from trainctl.components.teacher.base import Task, Teacher, need_task


def self(
    *,
    threshold: Annotated[float, "[0, 1]"],
    weight: Annotated[float, "(0, inf)"],
    warmup_fraction: Annotated[float, "[0, 1]"],
    ramp_fraction: Annotated[float, "[0, 1]"],
    unlabeled_factor: Annotated[int, "[1, inf)"],
    model: nn.Module,
    task: Task,
    total_steps: int,
) -> Teacher:
    r"""Learn the classes that the model itself predicts with confidence: pseudo-labels; with augmentation, FixMatch.

    With the loss :math:`L` on the rows with a label, the outputs :math:`z` for a row without one as the model sees it,
    augmented, and its outputs :math:`z'` for the row as it is, :math:`p = \mathrm{softmax}(z')`:

    .. math::
        L + a(s) \; \mathbb{1}[\max_k p_k \ge \tau] \; \mathrm{CE}(\arg\max_k p_k, z)

    averaged over all rows without a label of the batch, those below the threshold included. The weight is

    .. math::
        a(s) = a \, \min\left(1, \max\left(0, \frac{s - W}{R}\right)\right)

    at step :math:`s`, where :math:`W` and :math:`R` are ``warmup_fraction`` and ``ramp_fraction`` of all steps.
    :math:`z'` is computed with the weights before the step, in evaluation mode (no dropout, running statistics of norm
    layers) and without a gradient. Statistics of batch norm are those of the rows with and without labels together.
    (FixMatch has a weak augmentation in place of the row as it is, and computes both in training mode.)

    Args:
        threshold: :math:`\tau` [1]; 0: every prediction is a label, as in Lee's paper.
        weight: :math:`a` [1], reached at the end of the ramp.
        warmup_fraction: Length of the time without pseudo-labels, as a fraction of the run.
        ramp_fraction: Length of the ramp after it, as a fraction of the run; 0: the weight is reached at once.
        unlabeled_factor: Rows without a label in a batch, for each row with one.
        model: The trained model. Supplied by ``assemble``.
        task: The task of the model. Supplied by ``assemble``.
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If the task is not a classification.

    Source: D.-H. Lee, Pseudo-label, ICML workshop 2013, equations 15 and 16; K. Sohn et al., FixMatch, NeurIPS 2020,
    equation 4, for the threshold and the two views.
    """
    need_task("self", task, ("classification",), "teacher=mean" if task == "regression" else "teacher=none")
    begin, length = warmup_fraction * total_steps, ramp_fraction * total_steps

    def ramped(step: int) -> float:
        if step < begin:
            return 0.0
        return weight * min(1.0, (step - begin) / length) if length else weight

    def distance(outputs: Tensor, probabilities: Tensor) -> Tensor:
        confidence, classes = probabilities.max(1)
        return functional.cross_entropy(outputs, classes, reduction="none") * (confidence >= threshold)

    return Teacher(model, distance, ramped, says=lambda outputs: outputs.softmax(1), only_unlabeled=True)
