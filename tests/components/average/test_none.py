"""No averaging of weights."""

import torch

from trainctl.components.average.none import none


def test_the_model_that_is_trained_is_the_one_that_is_evaluated():
    model = torch.nn.Linear(2, 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    average = none(model=model)
    assert average.update(1, 0) == 0
    assert average.model is model
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
