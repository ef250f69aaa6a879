"""JSON that no reader expects: values of a tree replaced, removed, or put where none belongs."""

import json
import random
from typing import Any

# What JSON can hold, and no field expects.
SURPRISES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 2**53 + 1, 2**63, 10**400, -(10**400), 0.5, -0.0, 1e308, -1e308, float("nan"), float("inf"),
    "", "x", "last", "../../x", "x" * 300, "\ud800", "\x1b]0;x\x07", "2024-99-99", "9999-12-31T23:59:59", "null", [], {},
    [[]], [None], [1, "a"], ["a"], {"": 1}, {"name": []}, {"a": {"b": {"c": 1}}}, {"step": -1}, {"params": 5.0},
    {"0": {"exp_avg": 5}}, {"file": "x", "sha256": 1},
)  # fmt: skip


def places(content: Any, found: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value in a tree, the tree itself included."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [found] + [place for key, value in inside for place in places(value, (*found, key))]


def changed(content: Any, chance: random.Random) -> Any:
    """Return a tree with a value or two replaced, removed, or put where none belongs."""
    content = json.loads(json.dumps(content))
    for _ in range(chance.choice((1, 1, 2))):
        *way, key = chance.choice([place for place in places(content) if place] or [(None,)])
        if key is None:
            return chance.choice(SURPRISES)
        inside = content
        for step in way:
            inside = inside[step]
        what = chance.random()
        if what < 0.1:
            del inside[key]
        elif what < 0.2 and isinstance(inside, dict):
            inside[chance.choice(("x", "name", "", "é", "step"))] = chance.choice(SURPRISES)
        else:
            inside[key] = chance.choice(SURPRISES)
    return content if chance.random() > 0.03 else chance.choice(SURPRISES)
