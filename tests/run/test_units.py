"""The units of a model: whoever reorders them as described gets a model that computes the same."""

import pytest
import torch
import yaml
from torch import nn

from tests.components.model.test_contract import CONF, batch
from trainctl.errors import ConfigError
from trainctl.finished.alignment import permuted
from trainctl.run import factory
from trainctl.run.units import describe, sizes

NORMS = ["none", "batch", "layer", "group"]
IMAGE, TABLE, SEQUENCE, TOKENS = (2, 12, 12), (7,), (5, 4), (6,)
VOCABULARY = 9


def make(name, shape, **changes):
    """Return a model in evaluation mode whose norms, like all other weights, differ between units."""
    torch.manual_seed(0)
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    keys = {key: value for key, value in keys.items() if key != "defaults"}
    tokens = VOCABULARY if shape == TOKENS else 0
    model = factory.build("model", keys | changes, input_shape=shape, outputs=3, vocabulary_size=tokens)
    generator = torch.Generator().manual_seed(2)
    for tensor in model.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def rows(shape):
    return torch.tensor([[1, 5, 3, 0, 0, 0], [8, 2, 2, 4, 6, 1]]) if shape == TOKENS else batch(shape, 4)


CASES = [
    *(("mlp", TABLE, {"hidden": [8, 12], "norm": norm}) for norm in NORMS),
    *(("cnn", IMAGE, {"channels": [8, 12], "hidden": [6], "norm": norm, "kernel_size": 3}) for norm in NORMS),
    *(("airbench", IMAGE, {"channels": [8, 12], "norm": norm}) for norm in NORMS),
    *(("resnet", IMAGE, {"depth": 8, "norm": norm, "shortcut": cut}) for norm in NORMS for cut in "AB"),
    *(("autoencoder", TABLE, {"hidden": [8, 12], "bottleneck": 4, "norm": norm}) for norm in NORMS),
    *(("autoencoder", IMAGE, {"channels": [8, 12], "hidden": [8], "bottleneck": 4, "norm": norm}) for norm in NORMS),
    *(("rnn", SEQUENCE, {"cell": cell, "hidden_size": 8, "layers": 2}) for cell in ("rnn", "gru", "lstm")),
    *(("rnn", shape, {"hidden_size": 8, "layers": 2, "bidirectional": True, "norm": norm})
      for shape in (IMAGE, TOKENS) for norm in NORMS),
    ("linear", TABLE, {}),
]  # fmt: skip
IDS = [f"{name} {shape} {' '.join(f'{k}={v}' for k, v in keys.items())}" for name, shape, keys in CASES]


def shuffled(group, seed):
    """Return a random order of a group's units that keeps the units of a block together."""
    generator = torch.Generator().manual_seed(seed)
    size = group.count // group.blocks
    blocks = torch.randperm(group.blocks, generator=generator)
    return torch.cat([block * size + torch.randperm(size, generator=generator) for block in blocks])


@pytest.mark.parametrize(("name", "shape", "keys"), CASES, ids=IDS)
def test_a_model_with_reordered_units_computes_the_same(name, shape, keys):
    model = make(name, shape, **keys)
    structure, tensors = describe(model), model.state_dict()
    orders = {group.name: shuffled(group, index) for index, group in enumerate(structure.groups)}
    before = model(rows(shape))
    changed = permuted(tensors, structure.groups, orders)
    moved = [key for key in tensors if not torch.equal(changed[key], tensors[key])]
    model.load_state_dict(changed)
    torch.testing.assert_close(model(rows(shape)), before, rtol=1e-4, atol=1e-4)
    assert len(moved) >= (name != "linear") * (len(tensors) - 1 - sum(key.endswith("tracked") for key in tensors))


@pytest.mark.parametrize(("name", "shape", "keys"), CASES, ids=IDS)
def test_each_tensor_is_divided_among_groups_without_gaps_and_overlaps(name, shape, keys):
    model = make(name, shape, **keys)
    tensors, structure = model.state_dict(), describe(model)
    found = {}
    for group in structure.groups:
        for axis in (*group.written, *group.read):
            found.setdefault((axis.tensor, axis.dimension), []).extend(axis.entries(group.count).flatten().tolist())
    for (tensor, dimension), entries in found.items():
        assert sorted(entries) == list(range(tensors[tensor].shape[dimension])), (tensor, dimension)
    written = {axis.tensor for group in structure.groups for axis in group.written}
    counters = {key for key in tensors if key.endswith("num_batches_tracked")}
    assert written | set(structure.outputs) | counters == set(tensors)


def test_the_groups_of_a_multilayer_perceptron_are_its_hidden_layers():
    structure = describe(make("mlp", TABLE, hidden=[8, 12], norm="batch"))
    assert sizes(structure) == {"1": 8, "5": 12}
    assert structure.outputs == ("9.weight", "9.bias")
    assert structure.linear_end
    assert structure.groups[0].norm == "batch"


def test_units_that_a_group_norm_normalises_together_are_a_block():
    (group,) = describe(make("mlp", TABLE, hidden=[12], norm="group")).groups
    assert (group.norm, group.blocks) == ("group", 3)


def test_a_model_with_unknown_layers_is_refused_with_the_layers_name():
    with pytest.raises(ConfigError, match=r"layer 1 \(Bilinear\): its hidden units are not known"):
        describe(nn.Sequential(nn.Linear(2, 3), nn.Bilinear(3, 3, 2)))
    with pytest.raises(ConfigError, match=r"layer 1 \(Linear\)"):  # over the width of maps, not over their channels
        describe(nn.Sequential(nn.Conv2d(1, 4, 1), nn.Linear(4, 4)))
    with pytest.raises(ConfigError, match=r"layer 0 \(Conv2d\)"):
        describe(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)))


def test_outputs_after_an_activation_are_not_linear():
    assert not describe(nn.Sequential(nn.Linear(2, 3), nn.Tanh())).linear_end
