"""The finished runs that teach a model, as one model: rows as they are stored in, their mean answer out."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from trainctl.components.compress import int8
from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.rows import Data, Fitted, Rows
from trainctl.data.schema import NAMES, SHAPES, Schema
from trainctl.errors import CheckpointError
from trainctl.run.model import build_model
from trainctl.run.parent import Parent

PORTION = 1024  # rows in a forward pass; fixed, because the last bits of a product may depend on it


class Member(nn.Module):
    """One run of a panel.

    Args:
        model: Its model, with its weights.
        fitted: Its cleaning and scalings.
        shift: What to add to the run's rows to get rows around its own centres ``(F,)``; None: nothing.
        units: Converts its outputs to the units of the run that it teaches: ``y * factor + offset``; None for classes.
        reconstructs: Whether its outputs are its scaled inputs.
        scale: The scaling of the inputs of the run that it teaches.
    """

    def __init__(
        self,
        model: nn.Module,
        fitted: Fitted,
        shift: Tensor | None,
        units: Affine | None,
        *,
        reconstructs: bool,
        scale: Affine,
    ) -> None:
        super().__init__()
        self.model, self.fitted, self.shift, self.units = model, fitted, shift, units
        self.reconstructs, self.scale = reconstructs, scale

    def forward(self, rows: Tensor) -> Tensor:
        """Return outputs: log probabilities ``(N, K)``, values ``(N, K)`` or a reconstruction, in the units of the run."""
        if self.shift is not None:
            rows = rows + self.shift
        outputs: Tensor = self.model(self.fitted.input_scale(self.fitted.cleaner(rows))).float()
        if self.reconstructs:
            rebuilt = self.fitted.input_scale.inverse(outputs)
            return self.scale(rebuilt if self.shift is None else rebuilt - self.shift)
        return outputs.log_softmax(1) if self.units is None else self.units(outputs)


class Panel(nn.Module):
    r"""Several runs: :math:`\log \frac1n \sum_i p_i` of their probabilities, or the mean of their numbers.

    Args:
        members: The runs.
        probabilities: Whether their outputs are logarithms of probabilities.
    """

    def __init__(self, members: Sequence[Member], *, probabilities: bool) -> None:
        super().__init__()
        self.members, self.probabilities = nn.ModuleList(members), probabilities
        self.requires_grad_(False).eval()

    def forward(self, rows: Tensor) -> Tensor:
        """Return what the runs say about rows ``(N, ...)`` in the form in which they are stored."""
        outputs = [member(rows) for member in self.members]
        if len(outputs) == 1:
            whole: Tensor = outputs[0]
            return whole
        together = torch.stack(outputs)
        if not self.probabilities:
            return together.mean(0)
        return together.logsumexp(0) - torch.tensor(float(len(outputs))).log().item()


def panel(parents: Sequence[Parent], data: Data, task: Task, device: torch.device) -> Panel | None:
    """Return the teachers of a run as one model; None if there are none.

    Args:
        parents: Those of the run's parents that teach.
        data: The data of the run.
        task: Its task.
        device: Where it trains.

    Raises:
        CheckpointError: If one of them does not fit the data; names it, and the first difference.
    """
    members = [_member(parent, data, task, device) for parent in parents]
    return Panel(members, probabilities=task == "classification") if members else None


@torch.no_grad()
def answers(teachers: nn.Module, parts: Sequence[Rows]) -> Tensor:
    """Return what teachers say about all rows of some splits, one after the other ``(N, ...)``, on the rows' device."""
    return torch.cat([teachers(inputs).float() for inputs in _portions(parts)])


def _portions(parts: Sequence[Rows]) -> Iterator[Tensor]:
    return (inputs for rows in parts for inputs, _ in rows.portions(PORTION))


def _member(parent: Parent, data: Data, task: Task, device: torch.device) -> Member:
    schema = data.schema
    model, own_task = build_model(parent.config, parent.schema, device)
    _require_same(parent, own_task, task, schema)
    model.load_state_dict(parent.model)
    int8.fix(model)
    fitted = _on(parent.fitted, device)
    centres = [_centre(one, schema.input_shape[-1]) for one in (schema.input_centre, parent.schema.input_centre)]
    moved = bool(schema.input_centre or parent.schema.input_centre) and centres[0] != centres[1]
    shift = torch.tensor(centres[0], dtype=torch.float64) - torch.tensor(centres[1], dtype=torch.float64)
    return Member(
        model.eval(),
        fitted,
        shift.float().to(device) if moved else None,
        _units(parent, data, device) if task == "regression" else None,
        reconstructs=task == "reconstruction",
        scale=data.input_scale,
    )


def _units(parent: Parent, data: Data, device: torch.device) -> Affine:
    """Return the conversion of a teacher's scaled outputs to the scaled targets of the run, computed in float64."""
    theirs, ours, outputs = parent.fitted.target_scale, data.target_scale, data.schema.outputs
    assert theirs is not None
    assert ours is not None
    centres = [
        torch.tensor(_centre(one.target_centre, outputs), dtype=torch.float64) for one in (parent.schema, data.schema)
    ]
    factor, offset = theirs.factor.double().cpu(), theirs.offset.double().cpu()
    own_factor, own_offset = ours.factor.double().cpu(), ours.offset.double().cpu()
    # value = (output - offset) / factor + their centre; target = (value - our centre) * own factor + own offset
    slope = own_factor / factor
    move = (-offset / factor + centres[0] - centres[1]) * own_factor + own_offset
    return Affine(slope.float().to(device), move.float().to(device))


def _centre(centre: Sequence[float], columns: int) -> list[float]:
    return list(centre) if centre else [0.0] * columns


def _on(fitted: Fitted, device: torch.device) -> Fitted:
    cleaner = type(fitted.cleaner)(
        **{key: None if value is None else value.to(device) for key, value in vars(fitted.cleaner).items()}
    )
    target = None if fitted.target_scale is None else fitted.target_scale.to(device)
    return Fitted(cleaner, fitted.input_scale.to(device), target)


def _require_same(parent: Parent, own_task: Task, task: Task, schema: Schema) -> None:
    """Raise CheckpointError for the first difference between the data of a teacher and those of the run."""
    where = f"teacher.runs: {parent.name}"
    if own_task != task:
        raise CheckpointError(f"{where}: its task is a {own_task}, but the run's is a {task}")
    for key, word in SHAPES.items():
        theirs, ours = getattr(parent.schema, key), getattr(schema, key)
        if theirs != ours and not (task == "reconstruction" and key != "input_shape"):
            raise CheckpointError(f"{where}: its {word} is {theirs}, but the run's is {ours}")
    for key, word in {**NAMES, "vocabulary": "vocabulary"}.items():
        theirs, ours = getattr(parent.schema, key), getattr(schema, key)
        if theirs == ours or (task == "reconstruction" and key in ("class_names", "target_names")):
            continue
        first = next((pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]), None)
        difference = f"{first[0]} in place of {first[1]}" if first else f"{len(theirs)} in place of {len(ours)}"
        raise CheckpointError(f"{where}: its {word} differ from the run's: {difference}")
