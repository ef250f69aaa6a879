"""Joined models compute the mean of their parts, and can be split into them again."""

import pytest
import torch

from tests.components.model.test_contract import batch
from tests.run.test_units import IMAGE, SEQUENCE, TABLE, TOKENS, make, rows
from trainctl.errors import CheckpointError
from trainctl.finished.joining import join, joined_widths, require_addition, require_no_mixing, split, split_widths
from trainctl.run.units import describe

CASES = [
    *(("mlp", TABLE, {"hidden": [8, 12], "norm": norm}) for norm in ("none", "batch")),
    *(("cnn", IMAGE, {"channels": [8, 12], "hidden": [6], "norm": norm, "kernel_size": 3}) for norm in ("none", "batch")),
    *(("resnet", IMAGE, {"depth": 8, "norm": "batch", "shortcut": cut, "width": 1}) for cut in "AB"),
    *(("autoencoder", shape, {"channels": channels, "hidden": [8], "bottleneck": 4, "norm": "batch"})
      for shape, channels in ((TABLE, []), (IMAGE, [4, 6]))),
    *(("rnn", SEQUENCE, {"cell": cell, "hidden_size": 8, "layers": 2}) for cell in ("rnn", "gru", "lstm")),
    *(("rnn", shape, {"hidden_size": 8, "layers": 2, "bidirectional": True, "embedding_size": 5, "norm": "batch"})
      for shape in (IMAGE, TOKENS)),
    ("linear", TABLE, {}),
]  # fmt: skip
IDS = [f"{name} {shape} {' '.join(f'{k}={v}' for k, v in keys.items())}" for name, shape, keys in CASES]
EXACT = {"rtol": 1e-5, "atol": 2e-5}


def differing(name, shape, keys, count):
    """Return models with different weights, and widths where they can differ."""
    made = []
    for number in range(count):
        wider = {
            key: [width + 2 * number for width in value] if isinstance(value, list) else value
            for key, value in keys.items()
            if key in ("hidden", "channels")
        }
        model = make(name, shape, **keys | wider)
        torch.manual_seed(number)
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1 + 0.3 * torch.rand_like(tensor))
        made.append((model, keys | wider))
    return made


def joined(name, shape, made):
    keys = joined_widths([keys for _, keys in made])
    whole = make(name, shape, **keys)
    structures = [describe(model) for model, _ in made]
    require_addition(describe(whole), structures)
    require_no_mixing(describe(whole), structures)
    parts = [model.state_dict() for model, _ in made]
    whole.load_state_dict(join(parts, structures, describe(whole), whole.state_dict()))
    return whole, keys


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("name", "shape", "keys"), CASES, ids=IDS)
def test_a_joined_model_computes_the_mean_of_its_parts(name, shape, keys, count):
    made = differing(name, shape, keys, count)
    whole, _ = joined(name, shape, made)
    mean = torch.stack([model(rows(shape)) for model, _ in made]).mean(0)
    torch.testing.assert_close(whole(rows(shape)), mean, **EXACT)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("name", "shape", "keys"), CASES[:-1], ids=IDS[:-1])  # a linear model has no units
def test_splitting_a_joined_model_returns_the_bits_of_its_parts_but_for_the_sum_of_output_biases(
    name, shape, keys, count
):
    """A third of a weight, times three, may differ in the last bit; a half times two does not."""
    rounding = 0 if count == 2 else 2**-23
    made = [(make(name, shape, **keys), keys) for _ in range(count)]
    for number, (model, _) in enumerate(made):
        torch.manual_seed(number)
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1 + torch.rand_like(tensor))
    whole, wide = joined(name, shape, made)
    small = [make(name, shape, **settings) for settings in split_widths(wide, count)]
    structures, structure = [describe(model) for model in small], describe(whole)
    templates = [model.state_dict() for model in small]
    pieces = split(whole.state_dict(), structures, structure, templates)
    for piece, (model, _) in zip(pieces, made, strict=True):
        for key, tensor in model.state_dict().items():
            if key not in structure.outputs:
                assert torch.equal(piece[key], tensor), key
            elif tensor.ndim > 1:
                torch.testing.assert_close(piece[key], tensor, rtol=rounding, atol=0)
    again = join(pieces, structures, structure, whole.state_dict())
    for key, tensor in whole.state_dict().items():
        torch.testing.assert_close(again[key], tensor, rtol=rounding if key in structure.outputs else 0, atol=0)


def test_a_split_model_is_its_units_without_the_weights_between_parts():
    whole, small = make("mlp", TABLE, hidden=[5, 4]), [make("mlp", TABLE, hidden=part) for part in ([3, 2], [2, 2])]
    structures, structure = [describe(model) for model in small], describe(whole)
    tensors = whole.state_dict()
    first, second = split(tensors, structures, structure, [model.state_dict() for model in small])
    assert torch.equal(second["1.weight"], tensors["1.weight"][3:])
    assert torch.equal(second["5.weight"], tensors["5.weight"][2:, 3:])
    last = structure.outputs[0]
    assert torch.equal(first[last], 2 * tensors[last][:, :2])


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_norms_that_mix_units_of_several_parts_are_refused(norm):
    made = [(make("mlp", TABLE, hidden=[256], norm=norm), {"hidden": [256], "norm": norm}) for _ in range(2)]
    with pytest.raises(CheckpointError, match=f"the {norm} norm after layer 1"):
        joined("mlp", TABLE, made)


def test_a_group_norm_whose_groups_stay_separate_is_joined():
    keys = {"hidden": [16], "norm": "group"}  # groups of four, also of 32 units
    made = differing("mlp", TABLE, keys, 1) + differing("mlp", TABLE, keys, 1)
    whole, _ = joined("mlp", TABLE, made)
    torch.testing.assert_close(whole(batch(TABLE)), made[0][0](batch(TABLE)), **EXACT)


def test_a_layer_whose_width_is_no_setting_is_refused():
    keys = {"channels": [4], "norm": "batch"}
    made = [(make("airbench", IMAGE, **keys), keys) for _ in range(2)]
    with pytest.raises(CheckpointError, match=r"layer 0 would have 16 units, not 16 \+ 16"):
        joined("airbench", IMAGE, made)
