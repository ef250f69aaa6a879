"""Locate the origin of a non-finite number: the layer, the gradients and the rows of the faulty step."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.errors import NonFiniteError
from trainctl.run.rate import learning_rate, schedule_position
from trainctl.run.run import Run
from trainctl.step.eager import Step
from trainctl.step.sharded import trained_names
from trainctl.wording import listed

FILE = "nonfinite.json"
SHOWN = 8  # rows, or gradients, named in a message


def explain(
    run: Run, error: NonFiniteError, batch: tuple[Tensor, ...], take_closely: Step
) -> tuple[str, dict[str, Any]]:
    """Locate the origin of a non-finite number; return a message and the content of a file.

    The batch is computed once more.

    Args:
        run: The run before the faulty step.
        error: The error that the step raised.
        batch: Its batch, as the step receives it; the first tensor contains the inputs, in stored form.
        take_closely: Takes the step; raises before it changes a weight.
    """
    rows = run.order.row_numbers(run.state.step)
    pairs = zip(trained_names(run), error.gradients, strict=False)
    gradients = [name for name, gradient in pairs if _bad(gradient)]
    found = run.world.share(first_layer(run.model, lambda: take_closely(*batch)))  # each process computes other rows
    layer = next(filter(None, found), "")
    bad_rows = [row for row, finite in zip(rows, _finite_rows(batch[0]), strict=True) if not finite]
    rate = learning_rate(run, schedule_position(run))
    facts = {
        "step": run.state.step + 1, "learning_rate": rate, "loss": str(error.loss), "layer": layer,
        "gradients": gradients, "rows_with_bad_inputs": bad_rows, "rows": rows,
    }  # fmt: skip
    parts = [str(error)]
    parts += [f"the first non-finite values are in the output of {layer}"] if layer else []
    parts += [f"the gradient of {_few(gradients)} is not finite"] if gradients else []
    parts += [f"the inputs of row {_few(bad_rows)} are not finite"] if bad_rows else []
    parts.append(f"rows of the batch: {_few(rows)} of the training split (all in {FILE})")
    return "; ".join(parts), facts


def first_layer(model: nn.Module, compute: Callable[[], object]) -> str:
    """Return the name and class of the first layer with finite inputs and non-finite outputs; empty if there is none."""
    blamed: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not blamed and any(map(_bad, _flat(output))) and not any(map(_bad, _flat(inputs))):
                blamed.append(f"{name} ({type(module).__name__})")

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not any(module.children())]
    handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
    try:
        compute()
    except NonFiniteError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return blamed[0] if blamed else ""


def _flat(value: Any) -> list[Any]:
    return [part for item in value for part in _flat(item)] if isinstance(value, (tuple, list)) else [value]


def _bad(value: Any) -> bool:
    return isinstance(value, Tensor) and not bool(torch.isfinite(value).all())


def _finite_rows(inputs: Tensor) -> list[bool]:
    finite: list[bool] = torch.isfinite(inputs.flatten(1)).all(1).tolist()
    return finite


def _few(values: Sequence[object]) -> str:
    return listed([str(value) for value in values], most=SHOWN)
