"""The weights of torchvision's models: where they come from, and how they get into a model."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.fetch import cache_directory, fetch
from trainctl.fileformat.tensors import read_weights, sha256

# Names of torchvision's weights that classify; a name is not offered for every architecture.
NAMED = ("IMAGENET1K_V1", "IMAGENET1K_V2", "IMAGENET1K_SWAG_E2E_V1", "IMAGENET1K_SWAG_LINEAR_V1")
# Weights of the auxiliary outputs of googlenet and inception_v3, which are not used here.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# densenet's files were written when names could contain dots: norm.1 is norm1 now.
DOTTED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
OFFLINE = "without a network: copy the file to {directory} on this machine, or set model.weights=FILE"


class Origin:
    """Where the weights of a model come from.

    Args:
        architecture: Torchvision's name of the model.
        weights: The setting.
        head: Whether the output layer is ``new`` or ``kept``.
        entry: The member of torchvision's enumeration.
        channels: Of the images, before they become colours.
        size: Height and width of the images.
    """

    def __init__(
        self, architecture: str, weights: str, head: str, entry: Any, channels: int, size: tuple[int, ...]
    ) -> None:
        self.architecture, self.weights, self.head, self.entry = architecture, weights, head, entry
        self.channels, self.size = channels, size

    @property
    def local(self) -> bool:
        """Whether they are in a file of the user."""
        return self.weights not in ("none", "default", *NAMED)

    def file(self) -> tuple[Path, str]:
        """Return the file and its SHA-256, downloaded if necessary."""
        if self.local:
            path = Path(self.weights)
            return path, sha256(path)
        directory = cache_directory()
        return fetch(self.entry.url, directory, OFFLINE.format(directory=directory))


def read_named(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by the names that torchvision's models have today, without auxiliary outputs."""
    weights = {DOTTED.sub(r"\1\2", name): value for name, value in read_weights(path).items()}
    return {name: value for name, value in weights.items() if not name.startswith(AUXILIARY)}


def last_layer(model: nn.Module) -> str:
    """Return the path of the output layer: the last one with a matrix of weights."""
    names: list[str] = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return names[-1]


def with_positions(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in which the positions of a vision transformer are those of the model's image size."""
    key = "encoder.pos_embedding"
    own = model.state_dict().get(key)
    if own is None or key not in weights or own.shape == weights[key].shape:
        return weights
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

    assert isinstance(model, VisionTransformer)
    with reading(f"model.image_size={model.image_size}", ConfigError, "positions cannot be interpolated"):
        return dict(interpolate_embeddings(model.image_size, model.patch_size, OrderedDict(weights)))


def load(model: nn.Module, weights: Mapping[str, Tensor], where: str, new: set[str]) -> None:
    """Load weights into a model.

    Args:
        model: The model, whose modules may know older names of their weights.
        weights: The tensors of the file.
        where: The file, for messages.
        new: Names that are not loaded.

    Raises:
        DataError: If they are those of another model, or not finite.
    """
    own = model.state_dict()
    for name, value in weights.items():
        if name in own and own[name].shape != value.shape:
            raise DataError(
                f"{where}: not weights of this model: {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise DataError(f"{where}: {name} contains values that are not finite")
    with reading(where, what="not weights of this model"):
        unmatched = model.load_state_dict(OrderedDict(weights), strict=False)
    missing = [name for name in unmatched.missing_keys if name not in new]
    for names, what in ((missing, "lacks"), (unmatched.unexpected_keys, "has, in addition,")):
        if names:
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            raise DataError(f"{where}: not weights of this model: the file {what} {names[0]}{more}")
