"""A file of tensors: the bytes of the safetensors library, written without a copy of what is written."""

import hashlib
import resource
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.train.test_faults import settings
from trainctl.errors import CheckpointError, StorageError
from trainctl.run import assemble
from trainctl.store import checkpoint, files, restore, tensors
from trainctl.store.tensors import Payload


def numbers(dtype: torch.dtype) -> torch.Tensor:
    return (torch.arange(6).reshape(2, 3) % 3).to(dtype)


MIXED = {f"{dtype}": numbers(dtype) for dtype in tensors.DTYPES} | {
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 4),
    "transposed": torch.randn(3, 5).t().contiguous(),
    'ünïcode "quoted" \\ \n': torch.ones(1, dtype=torch.int64),
    "B": torch.ones(2),
    "a": torch.zeros(2),
}


@pytest.mark.parametrize("portion", [1, 7, 1 << 20])
@pytest.mark.parametrize("content", [MIXED, {}, {"x": torch.ones(3)}], ids=["mixed", "nothing", "one"])
def test_the_bytes_are_those_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portion: int, content: dict[str, torch.Tensor]
) -> None:
    monkeypatch.setattr(files, "PORTION", portion)

    payload = tensors.write(tmp_path / "x.safetensors", content)

    written = (tmp_path / "x.safetensors").read_bytes()
    assert written == safetensors.torch.save(content)
    assert payload == Payload("x.safetensors", hashlib.sha256(written).hexdigest())
    assert tensors.read(tmp_path / "x.safetensors", payload.sha256).keys() == content.keys()


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.transpose(0, 1),
        lambda x: x[:, 1:],
        lambda x: x.clone().requires_grad_(),
    ],
    ids=["channels-last", "transposed", "a-part", "learned"],
)
def test_values_are_saved_whatever_their_layout(tmp_path: Path, layout: object) -> None:
    value = layout(torch.randn(2, 3, 4, 5))  # type: ignore[operator]
    payload = tensors.write(tmp_path / "x", {"x": value})
    assert torch.equal(tensors.read(tmp_path / "x", payload.sha256)["x"], value)


def test_a_dtype_that_the_format_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot be written: b has dtype torch\.complex128"):
        tensors.write(tmp_path / "x", {"a": torch.ones(1), "b": torch.ones(1, dtype=torch.complex128)})
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_used_if_it_is_the_same_and_spared_if_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "last-00000007.safetensors"
    first = tensors.write(path, {"x": torch.ones(2)})
    before = path.stat()
    assert tensors.write(path, {"x": torch.ones(2)}) == first
    assert path.stat().st_mtime_ns == before.st_mtime_ns

    other = tensors.write(path, {"x": torch.zeros(2)})

    assert other.file == f"last-00000007-{other.sha256[:8]}.safetensors"
    tensors.check(path, first.sha256)
    tensors.check(tmp_path / other.file, other.sha256)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="POSIX")
def test_writing_needs_little_memory_beside_the_tensors_themselves(tmp_path: Path) -> None:
    content = {str(index): torch.ones(2**20) for index in range(16)}  # 64 MiB
    tensors.write(tmp_path / "first", {"x": torch.ones(2)})
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**23, before[1]))  # 8 MiB more
    try:
        payload = tensors.write(tmp_path / "x", content)
        tensors.write(tmp_path / "x", content)  # compared with what exists
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert hashlib.sha256((tmp_path / "x").read_bytes()).hexdigest() == payload.sha256


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    payload = tensors.write(tmp_path / "x", {"x": torch.ones(2)})
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-1])
    for look in (tensors.check, tensors.read):
        with pytest.raises(CheckpointError, match="damaged"):
            look(tmp_path / "x", payload.sha256)
    with pytest.raises(CheckpointError, match="No such file"):
        tensors.check(tmp_path / "missing", payload.sha256)


def test_weights_that_two_layers_share_are_saved_and_restored(tmp_path: Path) -> None:
    runs = []
    for _ in range(2):
        run = assemble.assemble(settings("model=mlp", "model.hidden=[4,4]", "model.norm=none"))
        layers = [module for module in run.model.modules() if isinstance(module, nn.Linear)]
        layers[0].bias = layers[1].bias
        runs.append(run)
    with torch.no_grad():
        layers[1].bias.fill_(3.0)
    checkpoint.save(runs[1], tmp_path)

    restore.restore(runs[0], restore.newest(tmp_path))

    for value, saved in zip(runs[0].model.state_dict().values(), runs[1].model.state_dict().values(), strict=True):
        assert torch.equal(value, saved)
