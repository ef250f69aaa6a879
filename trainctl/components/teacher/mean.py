"""Mean Teacher: agree with an average of the model's own weights."""

import math
from typing import Annotated

from torch import nn

from trainctl.components.teacher.base import Task, Teacher, approach, need_task, squared, squared_probabilities, twin


def mean(
    *,
    decay: Annotated[float, "[0, 1)"],
    weight: Annotated[float, "(0, inf)"],
    ramp_fraction: Annotated[float, "[0, 1]"],
    unlabeled_factor: Annotated[int, "[1, inf)"],
    model: nn.Module,
    task: Task,
    total_steps: int,
) -> Teacher:
    r"""Agree with an exponential average of the model's own weights: Mean Teacher.

    With the loss :math:`L` on the rows with a label, and the outputs :math:`z` of the model and :math:`z'` of the
    average, over all rows:

    .. math::
        L + w(s)\, |\mathrm{softmax}(z) - \mathrm{softmax}(z')|^2, \qquad
        w(s) = w \exp\left(-5\, (1 - \min(1, s / R))^2\right)

    at step :math:`s`, where :math:`R` is ``ramp_fraction`` of all steps. A regression has :math:`|z - z'|^2`, averaged
    over the outputs, in its place. After step :math:`n`, the average moves:
    :math:`a \leftarrow d\, a + (1 - d)\, w`, :math:`d = \min(\mathrm{decay}, 1 - 1 / (n + 1))`, statistics of norm layers
    included.

    The average is in evaluation mode and sees the rows as they are; the model sees them augmented. (In the paper both
    are augmented, each in its own way, and the teacher has dropout.) ``average=ema`` evaluates an average as well.

    Args:
        decay: Largest :math:`d` [1]; the average covers about the last :math:`1 / (1 - d)` steps.
        weight: :math:`w` [1], reached at the end of the ramp.
        ramp_fraction: Length of the ramp, as a fraction of the run.
        unlabeled_factor: Rows without a label in a batch, for each row with one; not used if all rows have labels.
        model: The trained model. Supplied by ``assemble``.
        task: The task of the model. Supplied by ``assemble``.
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If the model reconstructs its input.

    Source: A. Tarvainen, H. Valpola, Mean teachers are better role models, NeurIPS 2017, section 2 and appendix B.
    """
    need_task("mean", task, ("classification", "regression"), "teacher=none, as a reconstruction needs no labels")
    follower = twin(model)
    length = ramp_fraction * total_steps

    def ramped(step: int) -> float:
        return weight * math.exp(-5 * (1 - min(1.0, step / length)) ** 2) if length else weight

    def follow(number: int) -> None:
        approach(follower, model, 1 - min(decay, 1 - 1 / (number + 1)))

    if task == "regression":
        return Teacher(follower, squared, ramped, follow=follow)
    return Teacher(follower, squared_probabilities, ramped, says=lambda outputs: outputs.softmax(1), follow=follow)
