"""Rates of torch's schedulers, stepped as a run would."""

import torch

BASE = 0.5


def rates(make, steps, every=1, **settings):
    """Return the multiplier of each step under ``make(optimizer)``, which is stepped after ``every`` steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=BASE, momentum=0.9, **settings)
    scheduler, found = make(optimizer), []
    for number in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / BASE)
        optimizer.step()
        if (number + 1) % every == 0:
            scheduler.step()
    return found
