"""Linear model."""

import torch

from trainctl.components.model.linear import linear


def test_it_is_a_matrix_and_an_offset_on_the_flattened_row():
    torch.manual_seed(0)
    model, images = linear(input_shape=(2, 3, 4), outputs=5), torch.randn(6, 2, 3, 4)
    layer = model[-1]
    torch.testing.assert_close(model(images), images.flatten(1) @ layer.weight.T + layer.bias)
    assert sum(parameter.numel() for parameter in model.parameters()) == 5 * 24 + 5


def test_least_squares_is_found_by_descent():
    torch.manual_seed(0)
    rows = torch.randn(50, 3)
    targets = rows @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3 + 0.1 * torch.randn(50, 1)
    model = linear(input_shape=(3,), outputs=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(300):
        optimizer.zero_grad()
        (model(rows) - targets).square().mean().backward()
        optimizer.step()
    exact = torch.linalg.lstsq(torch.cat([rows, torch.ones(50, 1)], dim=1), targets).solution
    torch.testing.assert_close(torch.cat([model[-1].weight[0], model[-1].bias]), exact[:, 0], rtol=1e-4, atol=1e-4)
