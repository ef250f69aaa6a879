"""The classification models of torchvision, with or without pretrained weights."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainctl.components.model._weights import NAMED, Origin, last_layer, load, read_named, with_positions
from trainctl.components.model.base import Pretrained, Started, need
from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reason
from trainctl.wording import amount

# All names of torchvision 0.26 and newer; a test compares them with the installed version.
Architecture = Literal[
    "alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet121", "densenet161",
    "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l",
    "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet0_75",
    "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_16gf",
    "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf",
    "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf",
    "regnet_y_800mf", "regnet_y_8gf", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50",
    "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_b", "swin_s", "swin_t",
    "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
    "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
]  # fmt: skip
# Those of its weights that classify; a name is not offered for every architecture.
Weights = (
    Literal["none", "default", "IMAGENET1K_V1", "IMAGENET1K_V2", "IMAGENET1K_SWAG_E2E_V1", "IMAGENET1K_SWAG_LINEAR_V1"]
    | Annotated[str, "path"]
)


def torchvision(
    *,
    architecture: Architecture,
    weights: Weights,
    head: Literal["new", "kept"],
    image_size: Annotated[int, "[1, 4096]"] | None,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    r"""Return one of torchvision's classification models, which may start from weights that were trained on ImageNet.

    Images ``(N, C, H, W)`` with pixels in 0..1, as ``scale=pixels`` returns them, are resized (bilinear, with
    antialiasing where they shrink), grey ones are repeated for the three colours, and each colour is standardised with
    the mean and deviation that the weights expect. Outputs are ``(N, outputs)``. This is part of the model, so ``predict``
    and ``export`` do the same. What was loaded, and what images become, is in the lines ``weights`` of the header.

    The whole image is resized; torchvision's own recipe resizes its shorter side and cuts out the centre. The auxiliary
    outputs of ``googlenet`` and ``inception_v3`` are left out.

    Args:
        architecture: Torchvision's name of the model.
        weights: ``none``: new weights. ``default``: the best ones that torchvision offers for this architecture; or one
            of its names. They are downloaded once to PyTorch's cache (``~/.cache/torch/hub/checkpoints``, or in
            ``TORCH_HOME``), and their SHA-256 is compared with the digits in the name. A file: a state dict of PyTorch
            (``.pth``) or safetensors with torchvision's names. With ``init=run``, the weights of that run are used instead.
        head: ``new``: the output layer is new. ``kept``: it is that of the weights; the data must have the same classes
            in the same order.
        image_size: Height and width to which images are resized [pixels]; null: as the weights expect (224 for most),
            without weights as the images are.
        input_shape: ``(C, H, W)`` with 1 or 3 channels. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not such images, too small, or torchvision has no such weights.

    Source: torchvision, ``torchvision.models``, whose documentation names the paper of each architecture.
    """
    need("torchvision", "images", 3, input_shape)
    if input_shape[0] not in (1, 3):
        raise ConfigError(
            f"model=torchvision reads images of 1 or 3 channels; this data set's samples have shape {input_shape}: try"
            " model=resnet"
        )
    entry = _entry(architecture, weights)
    preset = entry.transforms()
    edge = image_size or (None if weights == "none" else int(preset.crop_size[0]))
    size = (edge, edge) if edge else (input_shape[1], input_shape[2])
    body = _built(architecture, outputs, size, _smallest(architecture, entry), pretrained=weights != "none")
    front = Front(size, tuple(preset.mean), tuple(preset.std))
    return ImageModel(front, body, Origin(architecture, weights, head, entry, input_shape[0], (*input_shape[1:],)))


class Front:
    """What happens to images before the first layer; it has no weights, so a run's checkpoints do not contain it.

    Args:
        size: Height and width [pixels].
        mean: Of each of the three colours, of pixels in 0..1.
        deviation: The same.
    """

    def __init__(self, size: tuple[int, ...], mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        self.size, self.mean, self.deviation = size, mean, deviation

    def __call__(self, images: Tensor) -> Tensor:
        """Return images ``(N, 3, *size)``, standardised."""
        if tuple(images.shape[-2:]) != self.size:
            images = self._resized(images)
        grey = images.shape[1] == 1
        colours = (images if grey else images[:, index : index + 1] for index in range(3))
        return torch.cat(
            [(colour - mean) / width for colour, mean, width in zip(colours, self.mean, self.deviation, strict=True)], 1
        )

    def _resized(self, images: Tensor) -> Tensor:
        """Return images of the size, by two products where they shrink: no exporter knows the kernel with antialiasing."""
        (height, width), (high, wide) = images.shape[-2:], self.size
        if height <= high and width <= wide:
            return functional.interpolate(images, self.size, mode="bilinear")
        rows, columns = (_antialiased(int(height), high).to(images), _antialiased(int(width), wide).to(images))
        return rows @ (images @ columns.T)


@cache
def _antialiased(before: int, after: int) -> Tensor:
    """Return the matrix ``(after, before)`` that resizes a line of pixels, bilinear with antialiasing."""
    lines = torch.eye(before)[None, None]
    return functional.interpolate(lines, (after, before), mode="bilinear", antialias=True)[0, 0]


class ImageModel(Pretrained):
    """A model of torchvision behind the front that prepares its images.

    Args:
        front: Resizes and standardises images.
        body: The model.
        origin: Where its weights come from.
    """

    def __init__(self, front: Front, body: nn.Module, origin: Origin) -> None:
        super().__init__()
        self.front, self.body, self.origin = front, body, origin

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs of a batch of images."""
        outputs: Tensor = self.body(self.front(images))
        return outputs

    @property
    def wants_weights(self) -> bool:
        """Whether there are weights to load."""
        return self.origin.weights != "none"

    @property
    def classes(self) -> Sequence[str]:
        """The classes of the output layer, if it is kept and they are known."""
        known = self.origin.head == "kept" and not self.origin.local
        return list(self.origin.entry.meta["categories"]) if known else ()

    def load(self) -> list[Started]:
        """Load the weights; return what was loaded, and what images become."""
        origin, (path, digest) = self.origin, self.origin.file()
        weights, last = read_named(path), last_layer(self.body)
        names = [name for name in self.body.state_dict() if name.startswith(f"{last}.")]
        if origin.head == "new":
            weights = {name: value for name, value in weights.items() if name not in names}
        where = f"model.weights={path}"
        load(self.body, with_positions(self.body, weights), where, {*names} if origin.head == "new" else set())
        self.facts = {
            "architecture": origin.architecture,
            "weights": origin.weights,
            "file": path.name,
            "sha256": digest,
        }
        if not origin.local:
            self.facts |= {"weights": origin.entry.name, "url": origin.entry.url}
        name = path.name if origin.local else f"{origin.entry.name}, {path.name}"
        shape, size = f"{origin.channels}x" + "x".join(map(str, origin.size)), "x".join(map(str, self.front.size))
        mean, width = ("/".join(f"{value:.4g}" for value in each) for each in (self.front.mean, self.front.deviation))
        return [
            Started(
                "inputs",
                "taken" if self.front.size == origin.size else "resized",
                f"{shape} -> 3x{size}, pixels 0..1 minus {mean}, divided by {width}, as the weights expect",
            ),
            Started("body", "taken", f"{amount(len(weights), 'tensor')} of {name}, SHA-256 {digest[:12]}..."),
            Started(
                f"body.{last}",
                "new" if origin.head == "new" else "taken",
                "model.head=new" if origin.head == "new" else "model.head=kept: its classes must be those of the data",
            ),
        ]


def _entry(architecture: str, weights: str) -> Any:
    """Return the member of torchvision's enumeration whose images the model expects.

    Raises:
        ConfigError: If there is no such member for this architecture.
    """
    from torchvision.models import get_model_weights

    entries = get_model_weights(architecture)
    if weights not in NAMED:
        return entries.DEFAULT  # for a file, too: images are prepared as for torchvision's own weights
    if weights not in entries.__members__:
        names = [name for name in entries.__members__ if name in NAMED]
        raise ConfigError(
            f"model.weights={weights}: torchvision has no such weights for {architecture} (choose from: {', '.join(names)})"
        )
    return entries[weights]


def _smallest(architecture: str, entry: Any) -> int:
    """Return the smallest images that a model can process [pixels].

    Positions of a vision transformer, and the windows of swin, are made for the size; torchvision calls theirs the minimum.
    """
    return 1 if architecture.startswith(("vit", "swin")) else int(entry.meta["min_size"][0])


def _built(architecture: str, outputs: int, size: tuple[int, ...], smallest: int, *, pretrained: bool) -> nn.Module:
    """Return torchvision's model with new weights.

    Raises:
        ConfigError: If it cannot be built for images of this size.
    """
    from torchvision.models import get_model

    what = f"model.architecture={architecture}"
    shown = "x".join(map(str, size))
    if min(size) < smallest:
        raise ConfigError(
            f"{what} needs images of at least {smallest}x{smallest} pixels, these are {shown}: set"
            f" model.image_size={max(224, smallest)}"
        )
    options: dict[str, Any] = {"num_classes": outputs}
    if architecture.startswith("vit"):
        options |= {"image_size": size[0]}
    if architecture.startswith("maxvit"):
        options |= {"input_size": size}
    if architecture in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "transform_input": pretrained, "init_weights": not pretrained}
    if architecture.startswith("vit") and size[0] != size[1]:
        raise ConfigError(f"{what} needs square images, these are {shown}: set model.image_size=224")
    try:
        model: nn.Module = get_model(architecture, weights=None, **options)
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            f"{what} cannot be built for images of {shown} pixels: {reason(error)}; set model.image_size=224"
        ) from error
    return _without_versions(model) if architecture.startswith("mnasnet") else model


def _without_versions(model: nn.Module) -> nn.Module:
    """Return a mnasnet that can be loaded from tensors alone: its own class refuses a state without a version number."""
    kind = type(model)

    def load(self: nn.Module, state: Any, prefix: str, metadata: Mapping[str, Any], *rest: Any) -> None:
        kind._load_from_state_dict(self, state, prefix, {"version": 2}, *rest)

    model.__class__ = type(kind.__name__, (kind,), {"_load_from_state_dict": load})
    return model
