"""A run that is made from others appears whole or not at all."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults import FailingDisk, replace_os
from trainctl.errors import StorageError
from trainctl.store.records import MadeBy
from trainctl.train import made


def test_a_full_disk_leaves_nothing_of_a_run_that_was_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"dataset": {"name": "iris"}, "model": {"name": "mlp"}}
    config = SimpleNamespace(parts=parts, output=SimpleNamespace(root=str(tmp_path / "runs")))
    (tmp_path / "runs").mkdir()
    replace_os(monkeypatch, FailingDisk(1, persistent=True, error=errno.ENOSPC, only=("write",)))
    with pytest.raises(StorageError):
        made.make(SimpleNamespace(config=config), MadeBy("merge"))  # type: ignore[arg-type]
    assert list((tmp_path / "runs").iterdir()) == []
