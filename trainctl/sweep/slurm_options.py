"""Options of sbatch: what they say about the CPUs of a job. Imports no torch."""

from collections.abc import Sequence


def name_of(option: str) -> str:
    """Return the name of an option.

    >>> name_of("--time=4:00:00"), name_of("--exclusive")
    ('--time', '--exclusive')
    """
    return option.partition("=")[0]


def cores(options: Sequence[str]) -> int:
    """Return how many CPUs each job has, 1 unless an option says so.

    >>> cores(["--cpus-per-task=8"]), cores(["--mem=4G"])
    (8, 1)
    """
    values = [option.partition("=")[2] for option in options if name_of(option) == "--cpus-per-task"]
    return max(1, int(values[-1])) if values and values[-1].isdecimal() and len(values[-1]) < 6 else 1
