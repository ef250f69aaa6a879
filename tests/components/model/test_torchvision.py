"""Torchvision's models and their weights: from a file or from its hub, checked, and prepared as they expect."""

import copy
import hashlib
import io
import json
import re
import typing

import pytest
import safetensors.torch
import torch
import torchvision.models
from torchvision.models import (
    DenseNet,
    SqueezeNet1_1_Weights,
    VisionTransformer,
    get_model,
    get_model_weights,
    list_models,
)

from trainctl.components.model import torchvision as component
from trainctl.components.model._weights import NAMED, Origin, last_layer
from trainctl.components.model.torchvision import Architecture, Front, ImageModel
from trainctl.errors import Advice, ConfigError, DataError, UnavailableError
from trainctl.finished import open as opening
from trainctl.finished.reproduce import reproduce
from trainctl.finished.verify import verify
from trainctl.run import factory
from trainctl.run.assemble import assemble
from trainctl.settings import compose
from trainctl.train import session

SMALL = "squeezenet1_1"  # 1.2 million weights, no batch norm
RUN = [
    "model=torchvision", f"model.architecture={SMALL}", "model.image_size=24", "loop.max_steps=2", "loop.batch_size=32",
    "output.plots=false", "loop.eval_batch_size=64", "split.val_fraction=0.05", "split.test_fraction=0.05",
]  # fmt: skip


def make(architecture=SMALL, shape=(3, 64, 64), outputs=3, **settings):
    keys = {"name": "torchvision", "architecture": architecture, "weights": "none", "head": "new", "image_size": None}
    return factory.build("model", keys | settings, input_shape=shape, outputs=outputs)


@pytest.fixture(scope="session")
def state():
    torch.manual_seed(5)
    return get_model(SMALL, num_classes=7).state_dict()


@pytest.fixture
def file(state, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    return path


def test_the_names_are_those_of_torchvision():
    assert sorted(typing.get_args(Architecture)) == list_models(module=torchvision.models)


def test_the_names_of_weights_are_those_of_torchvision():
    names = {name for each in typing.get_args(Architecture) for name in get_model_weights(each).__members__}
    assert names - {"DEFAULT", "IMAGENET1K_FEATURES"} == set(NAMED)
    (words,) = (part for part in typing.get_args(component.Weights) if typing.get_origin(part) is typing.Literal)
    assert set(typing.get_args(words)) == {"none", "default", *NAMED}


FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11",
    "vit_b_32",
]  # fmt: skip


@pytest.mark.slow
def test_of_every_family_the_last_layer_is_the_output():
    for name in [*FAMILIES, "regnet_x_400mf"]:
        size = get_model_weights(name).DEFAULT.transforms().crop_size[0]
        with torch.device(
            "cpu" if name.startswith("regnet") else "meta"
        ):  # regnet computes with the widths of its blocks
            model = component._built(name, 7, (size, size), 1, pretrained=True)
        last = model.get_submodule(last_layer(model))
        assert getattr(last, "out_features", 7) == 7 == getattr(last, "out_channels", 7), name


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_prepared_as_torchvision_prepares_them(channels):
    preset = SqueezeNet1_1_Weights.DEFAULT.transforms()
    images = torch.rand(2, channels, 224, 224, generator=torch.Generator().manual_seed(0))
    front = Front((224, 224), tuple(preset.mean), tuple(preset.std))
    reference = (images.expand(2, 3, 224, 224) - torch.tensor(preset.mean)[:, None, None]) / torch.tensor(preset.std)[
        :, None, None
    ]
    torch.testing.assert_close(front(images), reference)
    for size in (32, 400):
        resized = torch.nn.functional.interpolate(reference, size, mode="bilinear", antialias=True)
        torch.testing.assert_close(
            Front((size, size), tuple(preset.mean), tuple(preset.std))(images), resized, atol=1e-4, rtol=1e-4
        )


def formats(state):
    legacy, zipped = io.BytesIO(), io.BytesIO()
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 1}, zipped)
    return {"a.pth": legacy.getvalue(), "b.pt": zipped.getvalue(), "c.safetensors": safetensors.torch.save(dict(state))}


def test_weights_of_every_format_are_loaded_but_for_a_new_output_layer(state, tmp_path):
    for name, content in formats(state).items():
        (tmp_path / name).write_bytes(content)
        model = make(weights=str(tmp_path / name))
        before = {key: value.clone() for key, value in model.body.state_dict().items()}
        inputs, body, head = model.load()
        assert (inputs.state, body.state, head.layer, head.state) == ("resized", "taken", "body.classifier.1", "new")
        for key, value in model.body.state_dict().items():
            assert torch.equal(value, before[key] if key.startswith("classifier.") else state[key]), (name, key)
        assert model.facts["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_kept_head_is_that_of_the_weights(state, file):
    model = make(outputs=7, weights=str(file), head="kept")
    model.load()
    assert all(torch.equal(value, state[key]) for key, value in model.body.state_dict().items())
    model.eval()
    reference = get_model(SMALL, num_classes=7).eval()
    reference.load_state_dict(state)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(model(images), reference(model.front(images)))
    with pytest.raises(DataError, match=r"classifier.1.weight has shape \(7, 512, 1, 1\), expected \(3, "):
        make(weights=str(file), head="kept").load()


def test_weights_of_another_model_are_refused(state, tmp_path, file):
    with pytest.raises(DataError, match=r"weights.pth: not weights of this model"):
        make("resnet18", weights=str(file)).load()
    for change, message in (
        ({"features.0.weight": None}, "the file lacks features.0.weight"),
        ({"features.99.weight": torch.ones(1)}, "the file has, in addition, features.99.weight"),
        ({"features.0.bias": torch.full((64,), float("nan"))}, "features.0.bias contains values that are not finite"),
    ):
        changed = {key: value for key, value in (state | change).items() if value is not None}
        torch.save(changed, tmp_path / "other.pth")
        with pytest.raises(DataError, match=message):
            make(weights=str(tmp_path / "other.pth")).load()


def small(name):
    """Return a small model of a class of torchvision, as it is built for that architecture."""
    torch.manual_seed(1)
    if name == "densenet":
        return DenseNet(4, (2, 2, 2, 2), 8, num_classes=4)
    if name == "vit":
        return VisionTransformer(64, 32, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=8, num_classes=4)
    return component._built("mnasnet0_5", 4, (32, 32), 1, pretrained=True)


def loaded(body, path, size=64):
    origin = Origin("architecture", str(path), "new", None, 3, (size, size))
    model = ImageModel(Front((size, size), (0.5,) * 3, (0.5,) * 3), body, origin)
    model.load()
    return model


@pytest.mark.parametrize("name", ["densenet", "mnasnet", "vit"])
def test_files_in_older_formats_are_understood(name, tmp_path):
    state = small(name).state_dict()
    patterns = {  # names with dots, those of dense layers, and auxiliary outputs
        "densenet": (r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2."),
        "mnasnet": ("^$", ""),
        "vit": (r"\.mlp\.([03])\.", lambda match: f".mlp.linear_{1 + int(match[1]) // 3}."),
    }
    old = {re.sub(*patterns[name], key): value for key, value in state.items()}
    assert (old.keys() == state.keys()) == (name == "mnasnet")
    torch.save(old | {"aux1.fc.weight": torch.ones(1)}, tmp_path / "old.pth")  # a plain mapping: no version numbers
    torch.manual_seed(2)
    model = loaded(small(name), tmp_path / "old.pth")
    own, last = model.body.state_dict(), last_layer(model.body)
    assert all(torch.equal(own[key], state[key]) for key in own if not key.startswith(f"{last}."))
    again = copy.deepcopy(model)
    again.load_state_dict(dict(model.state_dict()))  # as from a checkpoint, which has no version numbers


def test_positions_of_a_vision_transformer_follow_the_image_size(tmp_path):
    torch.save(small("vit").state_dict(), tmp_path / "vit.pth")
    wider = VisionTransformer(96, 32, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=8, num_classes=4)
    model = loaded(wider, tmp_path / "vit.pth", 96)
    assert wider.encoder.pos_embedding.shape[1] == 3 * 3 + 1
    assert torch.equal(wider.encoder.pos_embedding[:, 0], small("vit").encoder.pos_embedding[:, 0])
    assert model(torch.rand(1, 3, 40, 50)).shape == (1, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (2, 64, 64)}, "reads images of 1 or 3 channels"),
        (
            {"architecture": "alexnet", "shape": (1, 8, 8)},
            "at least 63x63 pixels, these are 8x8: set model.image_size=224",
        ),
        (
            {"architecture": "vit_b_16", "shape": (3, 32, 48)},
            "needs square images, these are 32x48: set model.image_size=224",
        ),
        (
            {"architecture": "vit_b_16", "shape": (3, 30, 30)},
            "cannot be built for images of 30x30 pixels: .*set model.image_size=224",
        ),
        ({"weights": "IMAGENET1K_V2"}, r"no such weights for squeezenet1_1 \(choose from: IMAGENET1K_V1\)"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_to_set(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


@pytest.fixture
def hub(state, tmp_path, monkeypatch):
    """Let torchvision's address of the weights be a file of this test, and the cache be empty."""
    content = io.BytesIO()
    torch.save(state, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    source = tmp_path / "hub" / f"{SMALL}-{digest[:8]}.pth"
    source.parent.mkdir()
    source.write_bytes(content.getvalue())
    monkeypatch.setattr(SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", source.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return source


def settings(*words):
    return compose.compose([*RUN, *words])


def test_a_run_starts_from_the_weights_of_the_hub_and_says_so(hub, tmp_path):
    summary = session.begin(settings("model.weights=default", "freeze=body", "head_lr_factor=10"), [], tmp_path / "run")
    assert summary["outcome"] == "finished"
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["pretrained"]["sha256"].startswith(hub.stem.rpartition("-")[2])
    assert facts["pretrained"]["weights"] == "IMAGENET1K_V1"
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "inputs: resized, 1x8x8 -> 3x24x24, pixels 0..1 minus 0.485/0.456/0.406, divided by" in log
    assert "body.classifier.1: new, model.head=new" in log


def test_without_the_file_the_message_says_where_to_put_it(hub, tmp_path):
    hub.unlink()
    with pytest.raises(
        UnavailableError, match=rf"copy the file to {tmp_path}/home/hub/checkpoints on this machine, or set"
    ):
        session.begin(settings("model.weights=default"), [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_are_checked_before_anything_is_imported():
    with pytest.raises(ConfigError, match=r"model.architecture=resnet19: expected .*resnet18"):
        compose.compose(["model=torchvision", "model.architecture=resnet19"])
    with pytest.raises(ConfigError, match=r"init=he_normal draws new weights in place of model.weights=default"):
        compose.compose(["model=torchvision", "model.weights=default", "init=he_normal"])
    chosen = compose.compose(["model=torchvision", "model.weights=a.pth"])
    assert chosen.parts["model"]["weights"].endswith("/a.pth")
    assert chosen.parts["model"]["weights"].startswith("/")
    assert compose.compose(["model=torchvision", "model.weights=default"]).parts["model"]["weights"] == "default"
    assert chosen.parts["scale"]["name"] == "pixels"
    assert compose.compose(["model=torchvision", "scale=standard"]).parts["scale"]["name"] == "standard"


def opened(directory):
    return opening.open(directory, [], [], [])


def test_a_run_needs_the_file_only_for_its_first_step(file, tmp_path):
    words = (f"model.weights={file}", "loop.eval_every_steps=1", "checkpoint.every_seconds=0", "freeze=gradual")
    run = tmp_path / "run"
    session.begin(settings(*words), [], run)
    moved = file.rename(tmp_path / "moved.pth")
    assert session.resume(settings(*words, "loop.max_steps=3"), ["loop.max_steps=3"], run)["steps"] == 3
    assert not verify(opened(run), "oldest", None).difference
    with pytest.raises(DataError, match=r"weights\.pth: no such file"):
        reproduce(opened(run), tmp_path / "again")
    other = {name: value + 0.01 for name, value in torch.load(moved, weights_only=True).items()}
    torch.save(other, file)
    compared = reproduce(opened(run), tmp_path / "other")
    assert compared.difference
    assert any(cause.startswith("the file of pretrained weights was ") for cause in compared.causes)
    moved.rename(file)
    assert not reproduce(opened(run), tmp_path / "same").difference


def test_init_run_takes_the_place_of_the_weights(file, tmp_path):
    first = tmp_path / "first"
    session.begin(settings(f"model.weights={file}"), [], first)
    file.unlink()
    changes = (f"model.weights={file}", "init=run", f"init.run={first}", "optimizer.lr=1e-9", "loop.max_steps=1")
    session.begin(settings(*changes), [], tmp_path / "second")
    one, two = (opened(tmp_path / name).weights("last").model for name in ("first", "second"))
    torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    assert json.loads((tmp_path / "second" / "run.json").read_text())["pretrained"] == {}


def test_another_scaling_is_answered_with_advice(file, tmp_path):
    with pytest.warns(Advice, match="scale=standard: model=torchvision expects pixels in 0..1"):
        assemble(settings(f"model.weights={file}", "scale=standard"))


def test_a_kept_head_needs_the_classes_of_the_weights(hub):
    with pytest.raises(
        ConfigError,
        match=r"model.head=kept: the classes of the weights \(tench, goldfish, .* and 997 more\) are not those of the data"
        r" \(0, 1, 2 and 7 more\)",
    ):
        assemble(settings("model.weights=default", "model.head=kept"))
