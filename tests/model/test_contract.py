"""What every model does: it takes some kinds of rows and refuses the others, and learns with every parameter."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl import component
from trainctl.errors import ConfigError
from trainctl.model.base import Reconstruction

CONF = Path(__file__).parents[2] / "conf" / "model"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
ROWS = {"grey images": (1, 12, 10), "colour images": (3, 9, 12), "table": (7,), "one column": (1,), "sequences": (5, 4)}


def make(name, shape, outputs=3, **changes):
    torch.manual_seed(0)
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    keys = {key: 0.0 if "dropout" in key else value for key, value in keys.items() if key != "defaults"}
    return component.build("model", keys | changes, input_shape=shape, outputs=outputs)


def accepts(name, shape):
    try:
        make(name, shape)
    except ConfigError:
        return False
    return True


CASES = [
    pytest.param(name, shape, id=f"{name}, {kind}")
    for name in MEMBERS
    for kind, shape in ROWS.items()
    if accepts(name, shape)
]
REFUSED = [(name, shape) for name in MEMBERS for shape in ROWS.values() if not accepts(name, shape)]


def batch(shape, rows=6):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(1))


def test_there_are_members_and_each_takes_some_rows():
    assert len(MEMBERS) >= 4
    assert {case.values[0] for case in CASES} == set(MEMBERS)


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_it_returns_its_outputs_for_every_row_or_rows_like_its_inputs(name, shape, outputs):
    model = make(name, shape, outputs)
    wanted = shape if isinstance(model, Reconstruction) else (outputs,)
    for rows in (2, 6):
        assert model(batch(shape, rows)).shape == (rows, *wanted)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_gradients_reach_every_parameter(name, shape):
    model = make(name, shape)
    model(batch(shape)).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_in_evaluation_a_row_does_not_depend_on_its_batch(name, shape):
    model, rows = make(name, shape).eval(), batch(shape)
    torch.testing.assert_close(model(rows)[:2], model(rows[:2]), rtol=1e-4, atol=1e-5)
    assert torch.equal(model(rows), model(rows))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_same_seed_makes_the_same_model(name, shape):
    first, again = make(name, shape).state_dict(), make(name, shape).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_dropout_is_random_in_training_and_absent_in_evaluation(name, shape):
    shares = [key for key in yaml.safe_load((CONF / f"{name}.yaml").read_text()) if "dropout" in key]
    plain = make(name, shape).eval()
    for share in shares:
        model = make(name, shape, **{share: 0.5})
        assert not torch.equal(model(batch(shape)), model(batch(shape))), share
        model.load_state_dict(dict(zip(model.state_dict(), plain.state_dict().values(), strict=True)))
        torch.testing.assert_close(model.eval()(batch(shape)), plain(batch(shape)))


@pytest.mark.parametrize(("name", "shape"), REFUSED)
def test_what_it_cannot_read_is_refused_in_words(name, shape):
    with pytest.raises(ConfigError, match=f"model={name} reads .*rows have shape"):
        make(name, shape)
