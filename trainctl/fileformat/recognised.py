"""What a file or directory was recognised as. Imports no torch."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recognised:
    """What a file or directory contains, and the settings that follow from it.

    Args:
        dataset: The member of the group ``dataset`` that reads it.
        settings: Settings of the data set, without the path.
        groups: Members of other groups that suit the data, such as ``{"model": "cnn"}``.
        reasons: Why, a line each.
    """

    dataset: str
    settings: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
