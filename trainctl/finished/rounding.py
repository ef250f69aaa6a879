"""How far a repetition may be from a run whose weights several processes have divided: their sums have no fixed order."""

from itertools import pairwise

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.finished.bitwise import EXACT, Allowed
from trainctl.finished.open import Finished
from trainctl.machine import world as worlds
from trainctl.run.run import Run
from trainctl.step.sharded import trained_names
from trainctl.store import records

FRACTION = 1e-4  # measured: 5e-6 at most after 50 steps, see docs/scale.md; rounding grows with the number of steps


def allowed(run: Finished, again: Run) -> Allowed:
    """Return how far a repetition may be from a run.

    Args:
        run: The run.
        again: The repetition.
    """
    recorded = records.read_facts(run.directory).shard
    if recorded is None:  # by an earlier version
        recorded = bool(run.saved.manifest.settings.get("distributed", {}).get("shard"))
    divides = worlds.current().size > 1 and run.config.distributed.shard
    return Allowed(FRACTION, _unsettled(again)) if recorded or divides else EXACT


def cause(allowed: Allowed) -> tuple[str, ...]:
    """Return a line about rounding as a likely cause of a difference; none where all bits must be the same."""
    line = (
        "distributed.shard=true: rounding grows with the number of steps, and fastest where batch norms follow biases;"
        " repeat fewer steps with trainctl verify steps=N"
    )
    return (line,) if allowed.fraction else ()


def _unsettled(run: Run) -> frozenset[str]:
    """Return the tensors that rounding alone determines: biases before batch norms, which take them away again.

    An optimizer such as adam makes the gradient of such a bias as large as any other, although nothing but rounding is left of it.
    """
    leaves = [(name, each) for name, each in run.model.named_modules() if not any(True for _ in each.children())]
    biases, means, trained = [], [], trained_names(run)
    for (name, layer), (next_name, following) in pairwise(leaves):
        if isinstance(following, _BatchNorm) and isinstance(getattr(layer, "bias", None), nn.Parameter):
            biases.append(f"{name}.bias")
            means.append(f"{next_name}.running_mean")
    weights = {f"{prefix}model.{name}" for prefix in ("", "best ") for name in (*biases, *means)}
    return frozenset(weights | {f"optimizer.{index}" for index, name in enumerate(trained) if name in biases})
