"""One-line breakages that the tests must catch; `make mutate` applies them. Data only, see tests/mutate.py."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """A breakage.

    Args:
        file: Path from the repository's root.
        old: Text that stands in the file exactly once.
        new: What it is replaced by.
        tests: pytest's arguments: the selection that must fail.
    """

    file: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    Mutation(
        "trainctl/scale/standard.py",
        "shift_and_divide(*moments(values))",
        "shift_and_divide(*reversed(moments(values)))",
        "tests/scale/test_standard.py",
    ),
    Mutation(
        "trainctl/schedule/cosine.py",
        "return (step + 1) / warmup_steps",
        "return step / warmup_steps",
        "tests/schedule/test_cosine.py",
    ),
    Mutation(
        "trainctl/early_stopping/patience.py",
        "waited >= patience",
        "waited > patience",
        "tests/early_stopping/test_patience.py",
    ),
    Mutation(
        "trainctl/schema.py",
        'above = value >= low if match[1] == "["',
        'above = value >= low if match[1] == "("',
        "tests/test_schema.py",
    ),
]
