"""What the parts of an ensemble predict for a row differs; predictions say by how much."""

from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.components.model.ensemble import ensemble_in
from trainctl.components.scale.base import Affine
from trainctl.data.schema import Schema


def outputs_and_disagreement(model: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return a model's outputs, and how much the parts of an ensemble disagree; None for other models.

    Args:
        model: The model.
        rows: Scaled rows ``(N, *shape)``.
    """
    averaged = ensemble_in(model)
    if averaged is None:
        return model(rows), None
    each = averaged.each(rows)
    return averaged.mean(each), averaged.disagreement(each)


def columns(model: nn.Module, task: Task, schema: Schema) -> list[str]:
    """Return the names of the columns of the disagreement; none unless the model is an ensemble."""
    if ensemble_in(model) is None:
        return []
    if task == "regression" and schema.outputs > 1:
        names = schema.target_names or tuple(map(str, range(schema.outputs)))
        return [f"disagreement_{name}" for name in names]
    return ["disagreement"]


def in_units(disagreement: Tensor, task: Task, units: Affine | None) -> Tensor:
    """Return the disagreement of each row ``(N, K)``, as it is shown.

    Args:
        disagreement: As the ensemble returns it.
        task: Its task.
        units: The scaling of the targets of a regression.
    """
    if task == "classification":
        return disagreement[:, None]
    if task == "regression":
        return disagreement / units.factor.abs() if units else disagreement
    return disagreement.flatten(1).square().mean(1, keepdim=True).sqrt()
