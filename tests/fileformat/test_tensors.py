"""Files with weights: those of PyTorch and safetensors in all their shapes are read, and nothing in them is executed."""

import io
import pickle
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from trainctl.errors import DataError
from trainctl.fileformat.tensors import read_weights, sha256

MODEL = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
STATE = MODEL.state_dict()


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def prefixed(prefix):
    return {f"{prefix}{name}": value for name, value in STATE.items()}


FILES = {
    "PyTorch": saved(STATE),
    "PyTorch before 1.6": saved(STATE, _use_new_zipfile_serialization=False),
    "safetensors": safetensors.torch.save(dict(STATE)),
    "a training script's": saved({"model": STATE, "epoch": 3, "lr": [0.1]}),
    "data parallel": saved({"state_dict": prefixed("module."), "best": 0.9}),
    "compiled": saved(prefixed("_orig_mod.")),
    "an average": saved({"model": {"x": 1}, "model_ema": prefixed("module.") | {"n_averaged": torch.tensor(3)}}),
    "both wrappers": saved(prefixed("module._orig_mod.")),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_weights_are_found_under_their_plain_names(tmp_path, content):
    path = tmp_path / "weights"
    path.write_bytes(content)
    found = read_weights(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


ODD = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "compressed": lambda tensor: torch.ones(2, 2).to_sparse_csr(),
    "meta": lambda tensor: tensor.to("meta"),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "repeated": lambda tensor: torch.zeros(1).expand(2**40),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of sparse tensors
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_ones_are_named(tmp_path, kind):
    (tmp_path / "odd.pth").write_bytes(saved(STATE | {"0.weight": ODD[kind](STATE["0.weight"])}))
    with pytest.raises(DataError, match=r"odd\.pth: 0\.weight is .*; expected plain tensors"):
        read_weights(tmp_path / "odd.pth")


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "pickle"])
def test_objects_are_refused_and_not_executed(tmp_path, options):
    path, trace = tmp_path / "weights.pth", tmp_path / "executed"
    path.write_bytes(saved({"state_dict": STATE, "args": Harmful(trace)}, **options))
    with pytest.raises(
        DataError, match=r"weights.pth: contains objects other than tensors.*torch.save\(model.state_dict"
    ):
        read_weights(path)
    path.write_bytes(pickle.dumps(Harmful(trace)))
    with pytest.raises(DataError, match=r"weights\.pth: "):
        read_weights(path)
    assert not trace.exists()


def packed():
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
        zipfile.ZipFile(io.BytesIO(saved(STATE))) as source,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return buffer.getvalue()


WRONG = {
    "HTML": (b"\n<!DOCTYPE html><html></html>", "is a web page, not weights"),
    "text": (b"epoch,loss\n1,0.5\n", "not a file with weights; expected a state dict"),
    "empty": (b"", "not a file with weights"),
    "cut": (saved(STATE)[:-400], "damaged"),
    "cut pickle": (FILES["PyTorch before 1.6"][:-40], "cannot be read as weights"),
    "cut safetensors": (FILES["safetensors"][:-40], "cannot be read as safetensors"),
    "compressed": (packed(), "is compressed"),
    "a list": (saved([torch.ones(2)]), "contains a list; expected a state dict"),
    "no weights": (saved({"epoch": 3, "seed": 1}), r"no weights found among its entries \(epoch, seed\)"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_other_files_are_refused_in_words(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def test_a_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(DataError, match="no such file"):
        sha256(tmp_path / "other")
