"""A compiled model: what it costs is measured and said, and a model that cannot be compiled is trained eagerly."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.step.runs import make, tensors, train
from trainctl.errors import ConfigError
from trainctl.settings import compose
from trainctl.step.compiled import EXTENSIONS
from trainctl.step.eager import eager
from trainctl.step.engine import Engine

WORDS = ("loop.compile=true", "loop.record=auto", "loop.batch_size=500", "model.hidden=[16]")


def as_compiled(monkeypatch: pytest.MonkeyPatch, change: Callable[[nn.Module], Any]) -> None:
    """Replace the compiler, which takes half a minute."""
    monkeypatch.setattr(torch, "compile", lambda model, dynamic: change(model))


def test_the_cost_is_said_once_for_each_shape_and_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    as_compiled(monkeypatch, lambda model: model)
    notes: list[str] = []
    expected = train(run := make(*WORDS), eager(run), 6)
    engine = Engine(make(*WORDS), notes.append)
    found = train(engine.run, engine.take, 6)
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))
    assert len(notes) == 2  # batches of 500 rows, and one of 257
    assert re.match(
        r"compiling the model for 500 rows took \d+\.\d s; forward and backward pass take .* ms instead of .* ms",
        notes[0],
    )
    assert str(engine) == "compiled"


def test_what_the_compiler_remarks_on_missing_gpus_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    logger, heard = logging.getLogger(EXTENSIONS), list[bool]()
    before = logger.level
    logger.setLevel(logging.NOTSET)
    as_compiled(
        monkeypatch, lambda model: lambda *given: (heard.append(logger.isEnabledFor(logging.WARNING)), model(*given))[1]
    )
    try:
        engine = Engine(make(*WORDS), lambda line: None)
        train(engine.run, engine.take, 1)
    finally:
        logger.setLevel(before)
    assert heard
    assert not any(heard)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("raises", "the model cannot be compiled (no compiler here)"),
        ("differs", "the compiled model gave different gradients from the eager one"),
    ],
)
def test_steps_are_eager_if_it_fails(change: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(inputs: Tensor) -> Tensor:
        raise RuntimeError("\nno compiler here\nand more")

    words = (*WORDS, "model.dropout=0")
    as_compiled(monkeypatch, lambda model: broken if change == "raises" else lambda inputs: model(inputs) * 2)
    notes: list[str] = []
    expected = train(run := make(*words), eager(run), 3)
    engine = Engine(make(*words), notes.append)
    train(engine.run, engine.take, 3)
    assert all(torch.equal(*pair) for pair in zip(expected, tensors(engine.run), strict=True))
    assert notes == [f"loop.compile=true: {reason}, so steps are computed eagerly"]
    assert str(engine) == f"eager: {reason}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("loop.record=always",), "compiled steps are not recorded"),
        (("loop.checkpoint_activations=true",), "decides for itself what it computes again"),
        (("threads=adapt",), "keeps its number of threads"),
        (("processes=2",), "would compute other bits"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_by_name(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose.compose(["loop.compile=true", *words])


@pytest.mark.slow
@pytest.mark.soak
def test_a_compiled_step_computes_what_an_eager_one_computes(command: Any) -> None:
    done = command(
        "model.hidden=[16]", "model.dropout=0", "loop.compile=true", "loop.max_steps=40", "output.plots=false", fresh=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert re.search(r"compiling the model for 32 rows took \d+\.\d s", said) or "cannot be compiled" in said
