"""What every schedule returns."""

from collections.abc import Callable

# step -> multiplier of the optimizer's base learning rate; a pure function of the step
Schedule = Callable[[int], float]
