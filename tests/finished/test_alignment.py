"""Units of two models are matched: a model with shuffled units is recognised, and no part changes what it computes."""

import pytest
import torch

from tests.run.test_units import CASES, IDS, make, rows, shuffled
from trainctl.finished.alignment import assignment, match, permuted
from trainctl.run.units import describe


def weights(model):
    learned = dict(model.named_parameters())
    return {key: value.detach() for key, value in learned.items()}


@pytest.mark.parametrize(("name", "shape", "keys"), CASES, ids=IDS)
def test_a_shuffled_copy_is_matched_exactly(name, shape, keys):
    model = make(name, shape, **keys)
    structure, tensors = describe(model), model.state_dict()
    orders = {group.name: shuffled(group, index) for index, group in enumerate(structure.groups)}
    copy = permuted(tensors, structure.groups, orders)
    found = match(weights(model), {key: copy[key] for key in weights(model)}, structure)
    again = permuted(copy, structure.groups, found)
    for key, tensor in tensors.items():
        assert torch.equal(again[key], tensor), key


@pytest.mark.parametrize(("name", "shape", "keys"), CASES, ids=IDS)
def test_matching_another_model_does_not_change_what_it_computes(name, shape, keys):
    model, other = make(name, shape, **keys), make(name, shape, **keys)
    torch.manual_seed(5)
    for tensor in other.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(torch.rand_like(tensor) + 0.5)
    structure, before = describe(other), other(rows(shape))
    mine, theirs = weights(model), {key: value.clone() for key, value in weights(other).items()}
    orders = match(mine, theirs, structure)
    changed = permuted(other.state_dict(), structure.groups, orders)
    near = sum(float((mine[key] * changed[key]).sum()) for key in mine)
    assert near >= sum(float((mine[key] * theirs[key]).sum()) for key in mine) - 1e-3
    other.load_state_dict(changed)
    torch.testing.assert_close(other(rows(shape)), before, rtol=1e-4, atol=1e-4)


def test_units_of_a_block_stay_together():
    similarity = torch.tensor(
        [[0.0, 0.0, 9.0, 1.0], [0.0, 0.0, 1.0, 9.0], [0.0, 2.0, 0.0, 8.0], [2.0, 0.0, 0.0, 0.0]], dtype=torch.float64
    )
    assert assignment(similarity, 2).tolist() == [2, 3, 1, 0]
    assert assignment(similarity, 1).tolist() == [2, 3, 1, 0]
    torn = torch.tensor([[9.0, 0, 0, 0], [0, 0, 9, 0], [0, 9, 0, 0], [0, 0, 0, 9.0]], dtype=torch.float64)
    assert assignment(torn, 1).tolist() == [0, 2, 1, 3]
    assert assignment(torn, 2).tolist() == [0, 1, 2, 3]
