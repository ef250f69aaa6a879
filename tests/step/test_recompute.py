"""Activations that are computed again: the same bits, less memory, and blocks that are worth it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.step.runs import make, train
from trainctl.errors import ConfigError
from trainctl.measure.footprint import of_step
from trainctl.step.engine import Engine
from trainctl.step.recompute import blocks_of, draws, forward_of

AGAIN = "loop.checkpoint_activations=true"
DEEP = ("model=mlp", "model.hidden=[24,24,24,24]")


def bits(*words: str) -> tuple[list[Tensor], Engine]:
    engine = Engine(make(*words), pytest.fail)
    return train(engine.run, engine.take, 4), engine


@pytest.mark.parametrize(
    "words",
    [
        (*DEEP, "model.norm=batch", "model.dropout=0.3"),
        (*DEEP, "model.norm=batch", "model.dropout=0", "loop.micro_batches=3", "augment=[noise]"),
        (*DEEP, "compress=[int8]", "precision=bf16"),
        ("model=autoencoder", "model.hidden=[16]", "loss=mse", "model.dropout=0.1"),
    ],
    ids=" ".join,
)
def test_no_bit_depends_on_whether_activations_are_kept(words: tuple[str, ...]) -> None:
    kept, again = bits(*words)[0], bits(*words, AGAIN)[0]
    assert all(torch.equal(*pair) for pair in zip(kept, again, strict=True))


def test_steps_are_recorded_unless_random_numbers_would_be_drawn_twice() -> None:
    assert str(bits(*DEEP, "model.dropout=0", AGAIN)[1]) == "recorded"
    assert "random numbers" in str(bits(*DEEP, "model.dropout=0.5", AGAIN)[1])


def test_the_same_bits_with_a_draw_of_ones_own_and_a_list_of_parts() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64)) for _ in range(3))
            self.head = nn.Linear(64, 10)

        def forward(self, inputs: Tensor) -> Tensor:
            values = inputs.flatten(1)
            for layer in self.layers:
                values = layer(values).relu() * torch.rand(())
            result: Tensor = self.head(values)
            return result

    def trained(*words: str) -> list[Tensor]:
        run = make("loop.record=auto", *words)
        torch.manual_seed(0)
        model = Noisy()
        object.__setattr__(run, "model", model)
        forward, batch = forward_of(run), run.data.splits["train"].sample(40)[0].float()
        gradients = torch.autograd.grad(forward(batch).square().sum(), list(model.parameters()))
        return [*gradients, *model.buffers(), torch.get_rng_state()]

    assert all(torch.equal(*pair) for pair in zip(trained(), trained(AGAIN), strict=True))
    assert draws(Noisy())
    assert not draws(nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2)))
    assert draws(nn.Sequential(nn.Dropout(0.1)))


def test_fewer_activations_are_kept_and_the_peak_is_lower() -> None:
    words = ("model=resnet", "model.depth=14", "model.width=0.5", "model.norm=batch", "loop.batch_size=64")
    (peak, kept), (low, few) = of_step(make(*words)), of_step(make(*words, AGAIN))
    assert few < 0.5 * kept
    assert low < 0.7 * peak


def test_activations_are_those_that_autograd_keeps() -> None:
    run = make("model=mlp", "model.hidden=[32,16]", "model.norm=none", "model.dropout=0", "scale=none")
    _, kept = of_step(run)
    rows = 400 * 4
    # The pre-activations are overwritten by nothing and freed; what stays are inputs as float, both relus, the outputs,
    # their log-probabilities, and the loss.
    assert kept == pytest.approx(rows * (32 + 16 + 10 + 10), rel=0.05)


def test_blocks_end_where_the_inputs_of_all_and_the_largest_take_least() -> None:
    run = make("model=mlp", "model.hidden=[8,8,8,8,8,8,8,8]", "model.norm=none", "model.dropout=0")
    ((_, blocks),) = blocks_of(run, run.model)
    assert 3 <= len(blocks) <= 8
    assert [layer for block in blocks for layer in block] == list(run.model.children())


def test_a_model_without_blocks_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="model=rnn has no blocks"):
        forward_of(make("model=rnn", AGAIN))


def test_an_error_in_a_step_leaves_the_model_as_it_was() -> None:
    run: Any = make(*DEEP, AGAIN)
    with pytest.raises(RuntimeError):
        forward_of(run)(torch.zeros(2, 3))
    assert "forward" not in vars(run.model)
