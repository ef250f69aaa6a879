"""A run directory from anybody: no command follows a link out of it, waits for it, or ends in a traceback because of it."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.finished.test_open import TINY, kept, say  # noqa: F401 - fixtures
from tests.soak import cases, seed
from trainctl.settings import compose
from trainctl.store import runpath
from trainctl.store import files as storage
from trainctl.store.manifest import checksum
from trainctl.train import session

Say = Callable[..., tuple[int, str, str]]

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


def spoil(run: Path, name: str, chance: random.Random) -> None:
    """Change what a file of a run says; the checksum of a manifest is right afterwards."""
    for path in sorted(run.glob(name)):
        text = path.read_text()
        if name.endswith(".yaml"):
            tree = changed(yaml.safe_load(text), chance)
            if chance.random() < 0.2 and isinstance(tree, dict):
                tree |= chance.choice(({1: 2}, {None: 1}, {(1, 2): 3}, {True: {}}, {"loop": {1: 2}}, {"seed": b"x"}))
            path.write_text(yaml.safe_dump(tree), errors="surrogatepass")
        elif name.endswith(".jsonl"):
            lines = [json.loads(line) for line in text.splitlines()]
            path.write_text("".join(json.dumps(line) + "\n" for line in changed(lines, chance) or ()))
        else:
            content = changed(json.loads(text), chance)
            if isinstance(content, dict) and "checkpoints" in name:
                content["sha256"] = checksum(content)
            path.write_text(json.dumps(content))


FILES = ("config.yaml", "overrides.yaml", "run.json", "summary.json", "metrics.jsonl", "checkpoints/step-*.json")
COMMANDS = (
    ("resume", "run", "loop.epochs=3"), ("resume", "run"), ("evaluate", "run"), ("predict", "run", "rows.npy"),
    ("verify", "run"), ("reproduce", "run"), ("runs", "root=."), ("runs", "root=.", "format=json"),
    ("runs", "root=.", "format=csv", "sort=name"), ("compare", "run", "other"), ("evaluate", "root=."),
)  # fmt: skip


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_no_content_of_a_run_ends_in_a_traceback(say: Say, kept: Path, tmp_path: Path, name: str) -> None:  # noqa: F811
    np.save("rows.npy", np.zeros((2, 4)))
    shutil.copytree(kept, "other")
    chance = seed(f"contents of {name}")
    for case in range(cases(16)):
        shutil.copytree(kept, "run")
        spoil(tmp_path / "run", name, chance)
        words = chance.choice(COMMANDS)
        code, out, err = say(*words)
        assert code in (0, 2, 3, 4, 5, 6), (case, words, err)
        assert "other" in out or words[0] != "runs"
        shutil.rmtree("run")
