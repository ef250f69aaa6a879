"""How much the generators of inputs try: little in `make check`, TRAINCTL_SOAK times as much in `make soak`.

A generator is a test marked ``soak`` that draws its cases: with ``@generated(60)`` from hypothesis, or with
``cases(60)`` as its number of cases and ``seed(name)`` for its random numbers, or with ``some(name, choices, 3)``. In
`make check` the cases are the same each time; in `make soak` they are new ones, and the seed that is printed at the end
repeats them.
"""

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("TRAINCTL_SOAK", "1"))
SEED = os.environ.get("TRAINCTL_SEED") or str(random.SystemRandom().randrange(10**9) if FACTOR > 1 else 0)
os.environ["TRAINCTL_SEED"] = SEED  # the processes of pytest-xdist draw the same


def cases(count: int) -> int:
    """Return how many cases a generator tries that tries ``count`` in `make check`."""
    return count * FACTOR


def seed(name: object) -> random.Random:
    """Return the random numbers of a generator; in `make soak` they depend on TRAINCTL_SEED, too."""
    return random.Random(f"{name}" if FACTOR == 1 else f"{name} {SEED}")


def some(name: object, of: Sequence[Any], count: int) -> list[Any]:
    """Return ``count`` of these in `make check`, in `make soak` TRAINCTL_SOAK times as many or all, in their order."""
    chosen = seed(name).sample(range(len(of)), min(cases(count), len(of)))
    return [of[index] for index in sorted(chosen)]


def generated(count: int) -> Callable[[Any], Any]:
    """Return what makes a test a generator that tries ``count`` examples of hypothesis in `make check`."""
    chosen = settings(
        max_examples=cases(count), derandomize=FACTOR == 1, deadline=None, database=None, print_blob=FACTOR > 1,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    return chosen if FACTOR == 1 else lambda test: hypothesis.seed(int(SEED))(chosen(test))
