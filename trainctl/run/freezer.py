"""Hold the frozen layers of a model, as a function of the step."""

from collections.abc import Iterable

from torch import Tensor, nn

from trainctl.components.freeze.base import Freeze
from trainctl.run.layers import layers
from trainctl.run.model import batch_norms


class Freezer:
    """Keeps the layers of a model from changing while they are frozen.

    Args:
        model: The model to train.
        freeze: How many layers are held in each step.
    """

    def __init__(self, model: nn.Module, freeze: Freeze) -> None:
        self.freeze, self.held = freeze, 0
        parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
        statistics = set(batch_norms(model))
        self.layers: list[list[nn.Parameter]] = []
        self.norms: list[list[nn.Module]] = []
        for layer in layers(model):
            own = [parameters[name] for name in layer.parameters if name in parameters]  # not those that are shared
            self.layers.append([parameter for parameter in own if parameter.requires_grad])
            self.norms.append([modules[name] for name in layer.modules if modules[name] in statistics])
        self.copies: list[tuple[nn.Parameter, Tensor]] = []

    @property
    def active(self) -> bool:
        """Whether any layer is held in the first step: a layer that was thawed is never frozen again."""
        return self.freeze.held(0) > 0

    def begin(self, step: int) -> None:
        """Hold the layers that are frozen in a step; called before each step, as an evaluation changes modes."""
        held = min(self.freeze.held(step), len(self.layers))
        for norm in self._among(self.norms[:held]):
            norm.eval()
        if held == self.held and self.copies:
            return
        for number, (parameters, norms) in enumerate(zip(self.layers, self.norms, strict=True)):
            for parameter in parameters:
                parameter.requires_grad_(number >= held)
            for norm in norms:
                norm.train(number >= held)
        self.held = held
        self.copies = [(parameter, parameter.detach().clone()) for parameter in self._among(self.layers[:held])]

    def restore(self) -> None:
        """Give the frozen weights the values back that they had when they were frozen."""
        for parameter, copy in self.copies:
            parameter.data.copy_(copy)

    def _among(self, lists: Iterable[list]) -> list:  # type: ignore[type-arg]
        return [item for each in lists for item in each]
