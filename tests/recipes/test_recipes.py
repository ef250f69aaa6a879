"""Every recipe trains: two steps of each, on small data."""

import csv
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import trainctl
from trainctl.command import list as list_command
from trainctl.run import assemble
from trainctl.settings import component, compose, member_file
from trainctl.step import eager as step
from trainctl.train import loop

ROOT = Path(__file__).parents[2]
NAMES, WINE = ROOT / "recipes" / "names.csv", ROOT / "recipes" / "wine_with_gaps.csv"
SMALLER = {"cifar10_speed": ["model.channels=[8,8,8]"]}  # where two steps would take seconds
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def write_idx(path, values):
    path.write_bytes(struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.numpy().tobytes())


@pytest.fixture
def small_mnist(tmp_path):
    """Write 400 + 20 images in MNIST's format, and return what makes a recipe read them."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for part, rows in (("train", 400), ("t10k", 20)):
        images = torch.randint(0, 256, (rows, 28, 28), dtype=torch.uint8, generator=generator)
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", torch.arange(rows, dtype=torch.uint8) % 10)
    return [f"dataset.root={tmp_path / 'data'}", "dataset.download=false"]


@pytest.fixture
def small_cifar(tmp_path):
    """Write 6 batches of 40 images in CIFAR-10's format, and return what makes a recipe read them."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for batch in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        images = torch.randint(0, 256, (40, 3072), dtype=torch.uint8, generator=generator).numpy()
        content = {b"data": images, b"labels": [row % 10 for row in range(40)]}
        (folder / batch).write_bytes(pickle.dumps(content, protocol=2))
    return [f"dataset.root={tmp_path / 'data'}", "dataset.download=false"]


@pytest.fixture
def weights(tmp_path):
    """Write weights of a network as torchvision's files are written, and return what makes a recipe start from them."""
    from torchvision.models import shufflenet_v2_x0_5

    torch.save(shufflenet_v2_x0_5().state_dict(), tmp_path / "shufflenetv2_x0.5.pth")
    return [f"model.weights={tmp_path / 'shufflenetv2_x0.5.pth'}"]


@pytest.fixture
def assembled(request, tmp_path):
    """Return a function that assembles a recipe on data that is at hand."""
    data = {"csv": [f"dataset.path={WINE}"], "text": [f"dataset.path={NAMES}"], "tar": [f"dataset.cache={tmp_path}"]}

    def make(name, *overrides):
        words = [f"recipe={name}", "device=cpu", *overrides]
        source = compose.compose(words).tree["dataset"]["name"]
        if source in ("mnist", "cifar10"):
            words += request.getfixturevalue(f"small_{source.removesuffix('10')}")
        words += data.get(source, [])
        words += request.getfixturevalue("weights") if name == "transfer_photos" else []
        return assemble.assemble(compose.compose(words))

    return make


def parameters(run):
    return torch.cat([parameter.detach().flatten().clone() for parameter in run.model.parameters()])


def test_there_are_recipes():
    assert len(RECIPES) >= 14


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_two_steps_that_change_the_weights(assembled, name):
    run = assembled(name, *SMALLER.get(name, []))
    before, take_step = parameters(run), step.eager(run)
    for (inputs, targets), _ in zip(run.order.batches(run.state.step), range(2), strict=False):
        loop.set_learning_rate(run)
        take_step(inputs, targets)
        run.state.step += 1
    assert torch.isfinite(parameters(run)).all()
    assert not torch.equal(parameters(run), before)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_shows_and_what_was_measured(name):
    header = [line for line in (ROOT / "recipes" / f"{name}.yaml").read_text().splitlines() if line.startswith("#")]
    text = " ".join(line.lstrip("# ") for line in header[2:])
    assert "Measured" in text
    assert re.search(r"seeds 0 to [2-9]", text)
    assert len(text.partition("Measured")[0]) > 40


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mnist_cnn", 225_034),
        ("mnist_mlp_64x64", 55_050),
        ("mnist_mlp_128", 101_770),
        ("mnist_rnn", 82_186),
        ("cifar10_resnet", 269_722),
        ("cifar10_speed", 1_972_514),
    ],
)
def test_a_network_has_the_parameters_that_its_header_promises(assembled, name, count):
    assert assembled(name).parameters == count
    assert f"{count:,}" in (ROOT / "recipes" / f"{name}.yaml").read_text()


def test_descent_sees_all_rows_and_stochastic_descent_one(assembled):
    whole, single = assembled("digits_full_batch_gd"), assembled("digits_sgd_one_sample")
    rows = len(whole.data.splits["train"])
    assert (whole.plan.batch_size, whole.plan.steps_per_epoch) == (rows, 1)
    assert (single.plan.batch_size, single.plan.steps_per_epoch) == (1, rows)


def test_the_cure_is_for_the_network_that_overfits():
    ill, cured = (compose.compose([f"recipe={name}"]).tree for name in ("overfit", "overfit_and_cure"))
    differing = {key for key in ill if ill[key] != cured[key]}
    assert differing == {"model", "regularizer", "early_stopping"}
    assert ill["model"] | {"dropout": 0.5} == cured["model"]


@pytest.mark.slow
@pytest.mark.parametrize(("init", "loss"), [("none", "stays"), ("he_normal", "falls")])
def test_with_one_initialisation_the_deep_network_learns_and_with_the_other_it_does_not(assembled, init, loss):
    run = assembled("init_matters", f"init={init}")
    assert init in component.names("init")
    take_step = step.eager(run)
    for (inputs, targets), _ in zip(run.order.batches(run.state.step), range(400), strict=False):
        take_step(inputs, targets)
        run.state.step += 1
    reached = loop.evaluate(run.evaluation, "train")["train/loss"]
    assert reached > 2.29 if loss == "stays" else reached < 1.8


def test_the_table_with_gaps_has_what_its_recipe_mends(assembled):
    rows = list(csv.DictReader(WINE.read_text().splitlines()))
    gaps = sum(not cell for row in rows for cell in row.values())
    assert (len(rows), gaps) == (178, 249)
    assert {row["colour"] for row in rows} == {"", "pale", "medium", "deep"}
    changes = " ".join(assembled("csv_with_missing_values").data.changes)
    assert "proline" in changes
    assert "colour" in changes


def test_the_printed_digits_are_what_their_recipe_says(assembled):
    with np.load(ROOT / "recipes" / "printed_digits.npz") as file:
        inputs, targets = file["inputs"], file["targets"]
    assert (inputs.shape, inputs.dtype, inputs.max()) == ((4000, 1, 8, 8), np.uint8, 16)
    assert np.bincount(targets).tolist() == [400] * 10
    assert len({row.tobytes() for row in inputs}) > 3900
    assert assembled("transfer_printed").data.splits["train"].inputs.shape[1:] == (1, 8, 8)


@pytest.mark.slow
def test_what_was_learned_from_print_helps_with_handwriting(tmp_path):
    words = ["output.plots=false", f"output.root={tmp_path}", "loop.epochs=40", "dataset=digits", "split.labels=20"]
    printed = trainctl.train("recipe=transfer_printed", *words[:2], "loop.epochs=8", quiet=True)
    network = ["model=cnn", "model.norm=batch", "optimizer=adam"]
    new = trainctl.train(*network, *words, quiet=True)
    begun = trainctl.train(*network, *words, "augment=[translate]", "init=run", f"init.run={printed.path}", quiet=True)
    right = [run.summary["metrics"]["test/accuracy"] for run in (new, begun)]
    assert right[1] > right[0] + 0.05


def test_the_names_are_as_many_of_each_language():
    rows = [tuple(row.values()) for row in csv.DictReader(NAMES.read_text().splitlines())]
    assert len({*rows}) == len(rows)
    languages = [language for _, language in rows]
    assert {languages.count(language) for language in languages} == {60}
    assert len({*languages}) == 6


def test_noise_is_what_the_autoencoder_learns_to_remove(assembled):
    run = assembled("denoising_autoencoder")
    inputs, targets = run.data.splits["train"].inputs[:8], run.data.splits["train"].targets[:8]
    seen = []
    run.model.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    wanted = []
    run.sums.add = lambda loss, outputs, target: wanted.append(target.clone())
    step.eager(run)(inputs, targets)
    clean = run.data.input_scale(inputs)
    assert torch.equal(wanted[0], clean)
    assert not torch.allclose(seen[0], clean, atol=0.1)


def test_the_photos_start_from_weights_of_a_file_with_two_rates_and_a_frozen_body(assembled):
    run = assembled("transfer_photos")
    rates = {group["lr"] for group in run.optimizer.param_groups}
    assert rates == {0.001, 0.01}
    held = [run.freezer.freeze.held(step) for step in (0, 10 * run.plan.steps_per_epoch)]
    assert (held[0] > 0, held[1]) == (True, 0)
    assert int(run.data.splits["train"].targets.shape[0]) == 40


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_begins_with_a_short_sentence_for_the_list(recipe):
    line = list_command._first_sentence(" ".join(member_file.description(ROOT / "recipes" / f"{recipe}.yaml")))
    assert line.endswith((".", "?", "!"))  # no part of a longer sentence
    assert 20 < len(line) <= 100
