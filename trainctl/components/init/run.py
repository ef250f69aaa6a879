"""Start from the weights of another run."""

from collections.abc import Callable
from typing import Annotated, Literal

from torch import nn

from trainctl.errors import ConfigError


def run(
    *,
    run: Annotated[str, "path"] | None,
    which: Literal["best", "last"],
    layers: Literal["all", "body"],
    model: nn.Module,
    start: Callable[..., None],
) -> None:
    """Start from the weights of another run, layer by layer from the input.

    A layer is taken if its weights have the same shape, and resized if only widths differ. Wider layers copy units and
    divide what reads them between the copies, and new hidden layers are the identity, so the model computes the same as
    before; where that is impossible (because of a norm over units, or an activation), the run does not start. Narrower
    layers keep the units with the largest weights. The output layer is new if its classes or targets differ. All
    layers that are new keep PyTorch's own initialisation. Each layer is listed at the start of the run.

    Where inputs are of the same kind, the other run's vocabulary, cleaning and scaling are used, too. What is needed of
    the other run is copied into the new run's directory. ``trainctl finetune RUN`` also takes over RUN's settings.

    Args:
        run: Directory of the other run, or its name below ``output.root``.
        which: Its ``best`` or ``last`` weights.
        layers: ``body``: the output layer is new in any case.
        model: The model. Supplied by ``assemble``.
        start: Loads the weights into a model. Supplied by ``assemble``.

    Raises:
        CheckpointError: If the other run is missing or damaged, or none of its weights fit.
        ConfigError: If ``run`` is null, or the outputs of a wider or deeper model could not stay the same.

    Source: J. Yosinski et al., How transferable are features in deep neural networks?, 2014; T. Chen, I. Goodfellow,
    J. Shlens, Net2Net: accelerating learning via knowledge transfer, 2016.
    """
    if run is None:
        raise ConfigError("init=run needs init.run=RUN, the directory of a run")
    start(model, body_only=layers == "body")
