"""What every model does: it takes some kinds of rows and refuses the others, and learns with every parameter."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from tests.schemas import schema
from trainctl.components.model.base import ByteDropout, Reconstruction
from trainctl.errors import ConfigError
from trainctl.run import factory
from trainctl.run.model import build_model
from trainctl.settings import compose

CONF = Path(__file__).parents[3] / "conf" / "model"
# An ensemble consists of finished runs: tests/components/model/test_ensemble.py.
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "ensemble")
ROWS = {"grey images": (1, 12, 10), "colour images": (3, 9, 12), "table": (7,), "one column": (1,), "sequences": (5, 4)}
TOKENS = (6,)  # rows of token ids
READERS = ["rnn"]  # the members that take them


def make(name, shape, outputs=3, vocabulary_size=0, **changes):
    torch.manual_seed(0)
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    keys = {key: 0.0 if "dropout" in key else value for key, value in keys.items() if key != "defaults"}
    return factory.build("model", keys | changes, input_shape=shape, outputs=outputs, vocabulary_size=vocabulary_size)


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
    assert len(MEMBERS) >= 6
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
    with pytest.raises(ConfigError, match=f"model={name} reads .*samples have shape"):
        make(name, shape)


NORMS = [
    (name, shape, norm)
    for name, shape in (case.values for case in CASES)
    for norm in ("none", "batch", "layer", "group")
]


@pytest.mark.parametrize(
    ("name", "shape", "norm"), [case for case in NORMS if case[0] not in ("linear", "torchvision")]
)
def test_every_norm_and_some_activations_train_a_step(name, shape, norm):
    model = make(name, shape, norm=norm, activation="tanh")
    outputs = model(batch(shape, 8))
    outputs.square().mean().backward()
    assert torch.isfinite(outputs).all()
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("name", READERS)
def test_token_ids_are_embedded_and_padding_at_a_rows_end_changes_nothing(name):
    ids = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 0, 0, 0], [7, 0, 0, 0, 0, 0]])
    model = make(name, TOKENS, vocabulary_size=10).eval()
    assert model(ids).shape == (3, 3)
    padded = torch.cat([ids, torch.zeros(3, 5, dtype=torch.long)], dim=1)
    assert torch.equal(model(padded), model(ids))
    assert torch.equal(model(ids[1:2, :3]), model(ids[1:2]))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_run_takes_a_model_for_token_ids_or_says_which_one_to_take(name):
    settings = compose.compose([f"model={name}"])
    texts = schema(input_shape=TOKENS, class_names=("a", "b", "c"), vocabulary=tuple(map(str, range(10))))
    if name in READERS:
        model, task = build_model(settings, texts, torch.device("cpu"))
        assert (model(torch.ones(2, *TOKENS, dtype=torch.long)).shape, task) == ((2, 3), "classification")
    else:
        with pytest.raises(ConfigError, match=f"model={name} .*cannot read token ids.*: use e.g. model=rnn$"):
            build_model(settings, texts, torch.device("cpu"))


@pytest.mark.parametrize("name", READERS)
def test_gradients_of_token_ids_reach_every_parameter(name):
    model = make(name, TOKENS, vocabulary_size=10)
    model(torch.randint(1, 10, (8, *TOKENS))).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


# The default members on digits, layer by layer: a seed's weights, and the keys of checkpoints, must not change silently.
DEFAULTS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 256), nn.LayerNorm(256), nn.ReLU(), ByteDropout(0.2),
        nn.Linear(256, 128), nn.LayerNorm(128), nn.ReLU(), ByteDropout(0.2), nn.Linear(128, 10),
    ),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.GroupNorm(1, 32), nn.MaxPool2d(2), nn.ReLU(), ByteDropout(0.1),
        nn.Conv2d(32, 64, 5, padding=2), nn.GroupNorm(1, 64), nn.MaxPool2d(2), nn.ReLU(), ByteDropout(0.1),
        nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), ByteDropout(0.3), nn.Linear(128, 10),
    ),
    "rnn": lambda: nn.ModuleDict({"body": nn.LSTM(8, 128, batch_first=True), "head": nn.Linear(128, 10)}),
    "autoencoder": lambda: nn.ModuleDict({"body": nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 64),
    )}),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_member_draws_the_weights_it_always_drew(name):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    keys.pop("defaults", None)
    torch.manual_seed(0)
    ours = factory.build("model", keys, input_shape=(1, 8, 8), outputs=10, vocabulary_size=0)
    torch.manual_seed(0)
    reference = DEFAULTS[name]()
    assert list(ours.state_dict()) == list(reference.state_dict())
    assert all(map(torch.equal, ours.state_dict().values(), reference.state_dict().values()))
    kinds = [[type(module) for module in model.modules()][1:] for model in (ours, reference)]
    if isinstance(reference, nn.Sequential):
        assert kinds[0] == kinds[1]
        assert [m.p for m in ours.modules() if isinstance(m, nn.Dropout)] == [
            m.p for m in reference.modules() if isinstance(m, nn.Dropout)
        ]
