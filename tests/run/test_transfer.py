"""A model that starts from another one computes the same, whatever its new widths, or says why it does not."""

import warnings

import pytest
import torch

from tests.components.model.test_contract import CONF
from trainctl.components.clean.base import Cleaner
from trainctl.components.scale.base import Affine
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError, ConfigError
from trainctl.run import transfer
from trainctl.run.layers import layers
from trainctl.run.model import bare_model
from trainctl.run.parent import Parent
from trainctl.run.transfer import start
from trainctl.settings import compose

NORMS = ("none", "batch", "layer", "group")


def schema(shape=(7,), classes="abc", columns=(), vocabulary=()):
    return Schema(
        task="classification",
        outputs=len(classes),
        input_shape=shape,
        class_names=tuple(classes),
        input_names=tuple(columns),
        target_names=(),
        fingerprint="0" * 64,
        vocabulary=tuple(vocabulary),
    )


def parent(words, data):
    """Return a trained parent whose norms have statistics that are not those of a new model."""
    torch.manual_seed(1)
    config = compose.compose(words)
    model = bare_model(config, data)
    generator = torch.Generator().manual_seed(2)
    for tensor in model.state_dict().values():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    fitted = Fitted(Cleaner(), Affine(torch.ones(1, 1), torch.zeros(1, 1)), None)
    return Parent(
        "start", "old", "/old", 5, "0" * 64, "0" * 64, config, data, fitted, dict(model.state_dict())
    ), model.eval()


def rows(data):
    torch.manual_seed(3)
    if data.vocabulary:
        return torch.randint(1, len(data.vocabulary), (9, *data.input_shape))
    return torch.randn(9, *data.input_shape)


def moved(words, changes, data=None, other=None, **options):
    """Return what starts how, the outputs of the old model and of the new one."""
    data = data or schema()
    old, model = parent(words, data)
    new_data = other or data
    config = compose.compose([*words, *changes])
    torch.manual_seed(4)
    new = bare_model(config, new_data)
    result = start(new, config, new_data, old, lambda: rows(new_data), **options)
    return result, model, new.eval()


MLP = ["model=mlp", "model.hidden=[12,8]"]
CNN = ["model=cnn", "model.channels=[8,12]", "model.hidden=[6]", "model.kernel_size=3"]
IMAGE = schema((2, 9, 9))
SEQUENCE = schema((5, 4), columns="wxyz")
TOKENS = schema((6,), vocabulary="abcdefgh")
WIDER = [
    *((MLP, ["model.hidden=[24,16]"], None, norm) for norm in NORMS),
    *((MLP, ["model.hidden=[36,8]"], None, norm) for norm in NORMS),
    *((MLP, ["model.hidden=[17,29]"], None, norm) for norm in ("none", "batch")),
    *((CNN, ["model.channels=[16,24]", "model.hidden=[12]"], IMAGE, norm) for norm in NORMS),
    *((CNN, ["model.channels=[11,13]", "model.hidden=[7]"], IMAGE, norm) for norm in ("none", "batch")),
    *((["model=rnn", f"model.cell={cell}", "model.hidden_size=8", "model.layers=2", "model.bidirectional=true"],
       ["model.hidden_size=16"], SEQUENCE, "layer") for cell in ("rnn", "gru", "lstm")),
    (["model=rnn", "model.hidden_size=6", "model.embedding_size=4"], ["model.hidden_size=9"], TOKENS, "none"),
    (["model=resnet", "model.depth=8"], ["model.width=32"], schema((3, 16, 16)), None),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("words", "changes", "data", "norm"), WIDER)
def test_a_wider_model_computes_the_same(words, changes, data, norm):
    norms = [f"model.norm={norm}"] if norm else []
    if words[0] == "model=resnet":
        pytest.importorskip("torchvision")
        words = [*words, *(["model.width=16"] if "width:" in (CONF / "resnet.yaml").read_text() else [])]
    result, old, new = moved([*words, *norms], changes, data)
    inputs = rows(data or schema())
    assert {entry.state for entry in result} <= {"taken", "resized"}
    assert any(entry.state == "resized" for entry in result)
    torch.testing.assert_close(new(inputs), old(inputs), rtol=1e-4, atol=1e-5)


def test_copies_of_a_unit_become_different_units():
    _, _, new = moved([*MLP, "model.norm=none"], ["model.hidden=[24,8]"])
    new.train()
    first = next(parameter for parameter in new.parameters() if parameter.shape == (24, 7))
    torch.nn.functional.cross_entropy(new(rows(schema())), torch.arange(9) % 3).backward()
    pairs = [
        (i, j) for i in range(24) for j in range(i) if torch.equal(first[i], first[j]) and first.grad[i].abs().sum()
    ]
    assert pairs
    assert all(not torch.equal(first.grad[i], first.grad[j]) for i, j in pairs)


@pytest.mark.parametrize(
    ("norm", "hidden", "message"),
    [("layer", "[17,8]", "use a multiple of 12, such as 24"), ("group", "[12,12]", "8 units cannot become 12")],
)
def test_a_width_that_would_change_the_outputs_is_refused(norm, hidden, message):
    with pytest.raises(ConfigError, match=message):
        moved([*MLP, f"model.norm={norm}"], [f"model.hidden={hidden}"])


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("hidden", ["[12,8,8]", "[12,8,20,9]", "[30,8,8,8]"])
def test_a_deeper_model_computes_the_same(norm, hidden):
    result, old, new = moved([*MLP, f"model.norm={norm}", "model.activation=relu"], [f"model.hidden={hidden}"])
    torch.testing.assert_close(new(rows(schema())), old(rows(schema())), rtol=1e-4, atol=1e-5)
    assert any("identity" in entry.why for entry in result)


@pytest.mark.parametrize("change", [["model.norm=layer"], ["model.activation=tanh", "model.norm=none"]])
def test_a_layer_that_cannot_be_the_identity_is_refused(change):
    with pytest.raises(ConfigError, match="cannot be the identity"):
        moved([*MLP, *change], ["model.hidden=[12,8,8]"])


@pytest.mark.parametrize("norm", NORMS)
def test_a_narrower_model_keeps_the_strongest_units(norm):
    words = [*MLP, f"model.norm={norm}"]
    result, old, new = moved(words, ["model.hidden=[12,4]"])
    state, before = new.state_dict(), old.state_dict()
    layer = layers(old)[1].name
    weight, reader = before[f"{layer}.weight"], before[[key for key in before if key.endswith("weight")][-1]]
    score = weight.double().square().sum(1)  # biases and norms do not count
    kept = (score * reader.double().square().sum(0)).argsort(descending=True)[:4].sort().values
    assert torch.equal(state[f"{layer}.weight"], weight[kept])
    assert [entry.state for entry in result] == ["taken", "resized", "resized"]


def test_an_output_layer_for_other_classes_is_new_even_if_there_are_as_many():
    result, old, new = moved([*MLP, "model.norm=none"], [], other=schema(classes="xyz"))
    assert [entry.state for entry in result] == ["taken", "taken", "new"]
    assert result[-1].why == "its output classes differ"
    assert not torch.equal(new[-1].weight, old[-1].weight)
    assert torch.equal(new[1].weight, old[1].weight)


def test_the_output_layer_stays_new_if_only_the_body_is_wanted():
    result, _, _ = moved([*MLP, "model.norm=none"], [], body_only=True)
    assert (result[-1].state, result[-1].why) == ("new", "init.layers=body")


def test_columns_are_matched_by_name():
    result, old, new = moved(
        [*MLP, "model.norm=none"], [], schema((3,), columns=("a", "b", "c")), schema((3,), columns=("c", "x", "a"))
    )
    assert result[0].state == "taken"
    assert result[0].why.endswith("; columns are matched by name, 1 of 3 are new")
    assert torch.equal(new[1].weight[:, 0], old[1].weight[:, 2])
    assert torch.equal(new[1].weight[:, 2], old[1].weight[:, 0])
    assert not torch.equal(new[1].weight[:, 1], old[1].weight[:, 1])


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("abc", ""),
        ("cab", "; columns are matched by name"),
        ("xyz", "; the columns differ, and are taken in their order"),
    ],
)
def test_how_columns_were_matched_is_said(names, why):
    before, after = schema((3,), columns=("a", "b", "c")), schema((3,), columns=tuple(names))
    result, *_ = moved([*MLP, "model.norm=none"], [], before, after)
    assert result[0].why.partition("; ")[2] == why.removeprefix("; ")


def test_a_first_convolution_reads_colours_as_it_read_grey():
    grey, colour = schema((1, 9, 9)), schema((3, 9, 9))
    _, old, new = moved(CNN, [], grey, colour)
    image = rows(grey)
    torch.testing.assert_close(new(image.expand(-1, 3, -1, -1)), old(image), rtol=1e-4, atol=1e-5)


def test_an_encoder_starts_a_classifier():
    data = schema((7,))
    words = ["model=autoencoder", "model.channels=[]", "model.hidden=[6]", "model.bottleneck=3", "model.norm=none"]
    old, model = parent(words, data)
    config = compose.compose(["model=mlp", "model.hidden=[6,3]", "model.norm=none"])
    new = bare_model(config, data)
    result = start(new, config, data, old, lambda: rows(data))
    assert [entry.state for entry in result] == ["taken", "taken", "new"]
    assert torch.equal(new[1].weight, model.body[1].weight)


def test_an_encoder_of_more_columns_starts_a_classifier_of_some():
    wide, narrow = schema((5,), columns=tuple("abcde")), schema((4,), columns=tuple("xdba"))
    words = ["model=autoencoder", "model.channels=[]", "model.hidden=[6]", "model.bottleneck=3", "model.norm=none"]
    old, model = parent(words, wide)
    config = compose.compose(["model=mlp", "model.hidden=[6,3]", "model.norm=none"])
    new = bare_model(config, narrow)
    before = new[1].weight.clone()
    result = start(new, config, narrow, old, lambda: rows(narrow))
    assert [entry.state for entry in result] == ["resized", "taken", "new"]
    assert torch.equal(new[1].weight[:, 1:], model.body[1].weight[:, [3, 1, 0]])
    assert torch.equal(new[1].weight[:, 0], before[:, 0])
    other = schema((4,), columns=tuple("wxyz"))
    with pytest.raises(CheckpointError, match=r"1\.weight has shape 6x5 there, 6x4 here"):
        start(bare_model(config, other), config, other, old, lambda: rows(other))


def test_a_filter_that_moves_in_other_strides_is_new():
    words = ["model=autoencoder", "model.channels=[4,5]", "model.hidden=[6]", "model.bottleneck=3", "model.norm=none"]
    old, _ = parent(words, IMAGE)
    config = compose.compose(["model=cnn", "model.channels=[4,5]", "model.kernel_size=3", "model.norm=none"])
    with pytest.raises(CheckpointError, match=r"fit this model: 0: stride is \(2, 2\) there, \(1, 1\) here"):
        start(bare_model(config, IMAGE), config, IMAGE, old, lambda: rows(IMAGE))


def test_an_encoder_of_other_widths_is_an_error_with_the_command_that_takes_them_over():
    data = schema((7,))
    words = ["model=autoencoder", "model.channels=[]", "model.hidden=[6]", "model.bottleneck=3", "model.norm=none"]
    old, _ = parent(words, data)
    config = compose.compose(["model=mlp"])
    with pytest.raises(CheckpointError, match="none of its weights fit") as caught:
        start(bare_model(config, data), config, data, old, lambda: rows(data))
    assert caught.value.lines[1] == "to take over the layers of its encoder: trainctl finetune /old model=mlp"


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["model.activation=tanh"], "trained with model.activation=relu, and this model has model.activation=tanh: it"),
        (["model.norm=group"], "trained with model.norm=layer, and this model has model.norm=group: it does not"),
        (["model.hidden=[9]", "model.dropout=0.5", "optimizer=sgd"], ""),
    ],
)
def test_settings_that_make_of_the_same_weights_another_function_are_said(words, note):
    old, _ = parent(["model=mlp"], schema((7,)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transfer.advise(compose.compose(["model=mlp", *words]), old)
    assert [note in str(each.message) for each in caught] == [True] * bool(note)


def test_nothing_that_fits_is_an_error():
    old, _ = parent([*MLP, "model.norm=none"], schema((7,)))
    config, data = compose.compose(["model=cnn", "model.channels=[5]"]), IMAGE
    with pytest.raises(CheckpointError, match="old: none of its weights fit this model"):
        start(bare_model(config, data), config, data, old, lambda: rows(data))
