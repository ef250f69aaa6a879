"""Activations that are computed again in the backward pass instead of being kept, block by block of the model.

A block keeps only its input. When its gradient is computed, its forward pass is repeated from the same input, the same
buffers and the same states of the random generators, so that weights, statistics and metrics have the same bits as
without. What the repetition writes to buffers, such as the statistics of batch norms, is dropped.

Source: T. Chen et al., Training deep nets with sublinear memory cost, 2016.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

from trainctl.errors import ConfigError
from trainctl.machine.device import random_states, restore_random_states
from trainctl.run.run import Run
from trainctl.step.teaching import evaluating
from trainctl.step.unchanged import unchanged

FEWEST = 3  # parts of a sequence that is worth cutting
KNOWN = ("torch.nn.", "torchvision.", "trainctl.")  # packages whose modules say in an attribute if they draw numbers

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Chain:
    """Parts of a model that are computed one after the other.

    Args:
        owner: The sequence that calls its parts; None if something else does, so that each part is a block.
        parts: The parts.
    """

    owner: nn.Sequential | None
    parts: Sequence[nn.Module]


Blocks = list[tuple[Chain, list[list[nn.Module]]]]  # each chain, and its parts by block


def forward_of(run: Run) -> Forward:
    """Return the forward pass of a run's model in training, which keeps all activations or computes them again.

    Raises:
        ConfigError: If the model has no blocks.
    """
    model = run.model
    if not run.config.loop.checkpoint_activations:
        return model
    again = partial(_recomputed, device=run.device, own=bool(run.config.components))
    blocks = blocks_of(run, model)
    last = blocks[-1][1][-1]  # its activations are needed at once
    changed = [pair for chain, own in blocks for pair in _forwards(chain, own, again, last)]

    def forward(inputs: Tensor) -> Tensor:
        with _replaced(changed):
            outputs: Tensor = model(inputs)
            return outputs

    return forward


def draws(module: nn.Module) -> bool:
    """Return whether a module may draw random numbers in training; of modules of others, nobody knows."""
    return any(_draws(part) for part in module.modules())


def _draws(module: nn.Module) -> bool:
    if not type(module).__module__.startswith(KNOWN) or type(module).__name__ == "StochasticDepth":
        return True
    if isinstance(module, _DropoutNd):
        return module.p > 0
    shares = [value for name, value in vars(module).items() if "dropout" in name]
    return any(isinstance(share, int | float) and share > 0 for share in shares)


# Which parts of a model are a block.


def blocks_of(run: Run, model: nn.Module) -> Blocks:
    """Return the blocks of a model, so that their inputs and what the largest of them keeps take the least memory together.

    The sizes are those of one row's outputs of each layer.

    Raises:
        ConfigError: If it has no blocks.
    """
    chains = list(_chains(model))
    if not chains:
        name = run.config.parts["model"]["name"]
        raise ConfigError(
            f"loop.checkpoint_activations=true: model={name} has no blocks: neither a sequence of at least {FEWEST} layers nor a"
            " list of parts; set loop.checkpoint_activations=false"
        )
    row = run.evaluation.data.input_scale(run.data.splits["train"].sample(1)[0][:1])
    with unchanged(run):  # a model of the user's may draw random numbers in evaluation, too
        sizes = _sizes(model, row, [part for chain in chains for part in chain.parts])
    sums = [list(accumulate(sizes[id(part)].inside for part in chain.parts)) for chain in chains]
    limits = sorted({limit for each in sums for limit in each})

    def cut(limit: int) -> Blocks:
        return [(chain, _grouped(chain, sizes, limit)) for chain in chains]

    def kept(limit: int) -> int:
        groups = [block for _, blocks in cut(limit) for block in blocks]
        first = sum(sizes[id(block[0])].input for block in groups)
        return first + max(sum(sizes[id(part)].inside for part in block) for block in groups)

    return cut(min(limits, key=kept))


@dataclass
class Size:
    """Numbers of values for one row: in the input of a part, and in the outputs of all layers inside it."""

    input: int = 0
    inside: int = 0


def _chains(module: nn.Module) -> Iterator[Chain]:
    """Yield the outermost sequences and lists of parts in a module."""
    children = list(module.children())
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and len(children) >= FEWEST:
        yield Chain(module, children)
    elif isinstance(module, nn.ModuleList) and len(children) > 1 and any(any(each.children()) for each in children):
        yield Chain(None, children)
    else:
        for child in children:
            yield from _chains(child)


def _sizes(model: nn.Module, row: Tensor, parts: Iterable[nn.Module]) -> dict[int, Size]:
    """Return the sizes of parts, by their ids, measured with one row."""
    found = {id(part): Size() for part in parts}
    inside: list[Size] = []

    def enter(part: nn.Module, given: tuple[Any, ...]) -> None:
        found[id(part)].input = sum(value.numel() for value in given if isinstance(value, Tensor))
        inside.append(found[id(part)])

    def leave(part: nn.Module, given: Any, returned: Any) -> None:
        inside.pop()

    def count(layer: nn.Module, given: Any, returned: Any) -> None:
        values = returned if isinstance(returned, tuple) else (returned,)
        for size in inside:
            size.inside += sum(value.numel() for value in values if isinstance(value, Tensor))

    with ExitStack() as stack, torch.no_grad(), evaluating(list(model.modules())):
        for module in model.modules():
            if not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(count).remove)
            if id(module) in found:
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave).remove)
        model(row)
    return found


def _grouped(chain: Chain, sizes: dict[int, Size], limit: int) -> list[list[nn.Module]]:
    """Return the parts of a chain by block: as many neighbours as stay below a limit."""
    groups: list[list[nn.Module]] = []
    room = 0
    for part in chain.parts:
        size = sizes[id(part)].inside
        if not groups or chain.owner is None or size > room:
            groups.append([])
            room = limit
        groups[-1].append(part)
        room -= size
    return groups


# How a block is computed.


def _forwards(
    chain: Chain,
    blocks: list[list[nn.Module]],
    again: Callable[..., Any],
    last: list[nn.Module],
) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    """Yield modules, and the functions that take the places of their ``forward``."""
    if chain.owner is None:
        for (part,) in blocks:
            yield part, partial(again, part.forward, [part])
        return
    steps = [
        _in_turn(block) if block is last or _is_layer(block) else partial(again, _in_turn(block), block)
        for block in blocks
    ]

    def forward(values: Any) -> Any:
        for step in steps:
            values = step(values)
        return values

    yield chain.owner, forward


def _is_layer(block: Sequence[nn.Module]) -> bool:
    """Return whether a block is one layer, which keeps little more than its input."""
    return len(block) == 1 and not any(True for _ in block[0].children())


def _in_turn(block: Sequence[nn.Module]) -> Callable[[Any], Any]:
    def run(values: Any) -> Any:
        for layer in block:
            values = layer(values)
        return values

    return run


def _recomputed(
    compute: Callable[..., Any], block: Sequence[nn.Module], *given: Any, device: torch.device, own: bool, **named: Any
) -> Any:
    """Compute a block, keep its input alone, and compute it again when its gradient is needed."""

    def contexts() -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
        return nullcontext(), _as_before(block, device, own=own)

    return checkpoint(
        compute,
        *given,
        use_reentrant=False,
        preserve_rng_state=any(map(draws, block)),
        context_fn=contexts,
        **named,
    )


def _as_before(block: Sequence[nn.Module], device: torch.device, *, own: bool) -> AbstractContextManager[object]:
    """Return the context in which a block is computed once more: with the buffers and generators of now.

    Args:
        block: Its parts.
        device: The device of the model.
        own: Whether it may use the generators of Python and NumPy, too.
    """
    homes = [module._buffers for part in block for module in part.modules() if module._buffers]
    before = [{name: None if value is None else value.clone() for name, value in home.items()} for home in homes]
    random = random_states(device) if own else {}

    @contextmanager
    def context() -> Iterator[None]:
        now, states = [dict(home) for home in homes], random_states(device) if own else {}
        try:
            for home, values in zip(homes, before, strict=True):
                home.update(values)
            if random:
                restore_random_states(random, device)
            yield
        finally:
            for home, values in zip(homes, now, strict=True):
                home.update(values)
            if random:
                restore_random_states(states, device)

    return context()


@contextmanager
def _replaced(changed: Sequence[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Give modules another ``forward``."""
    try:
        for module, forward in changed:
            vars(module)["forward"] = forward
        yield
    finally:
        for module, _ in changed:
            vars(module).pop("forward", None)
