"""Overrides are composed strictly: what does not exist is an error that names it, however it is spelt."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainctl.errors import ConfigError
from trainctl.settings import compose, existing, points
from trainctl.settings import members as catalogue

ROOT = Path(__file__).parents[2]
MLP = "name: mlp\nhidden: [8]\nactivation: relu\nnorm: none\ndropout: 0.0\n"

# overrides, parts of the one-line message, reason
WRONG = [
    # members
    (
        ["optimizer=adan"],
        ["optimizer=adan: no such optimizer; did you mean adam?", "adam, adamax, adamw"],
        "misspelt member",
    ),
    (["optimizer=zzz"], ["optimizer=zzz: no such optimizer (choose from: ada"], "nothing is near"),
    (["optimizer=3"], ["optimizer=3: no such optimizer"], "a number"),
    (["optimizer=true"], ["optimizer=true: no such optimizer"], "a truth"),
    (["optimizer=../optimizer/adam"], ["no such optimizer"], "a path"),
    (["+optimizer=adan"], ["optimizer=adan: no such optimizer"], "with a plus"),
    (["schedul=cosine"], ["schedul=cosine: no such setting; did you mean schedule=cosine?"], "misspelt group"),
    (["optimizer=null"], ["optimizer=null: a run needs one (choose from: ada"], "a required group"),
    (["model=null"], ["model=null: a run needs one"], "a required group"),
    (["dataset=null"], ["dataset=null: a run needs one"], "a required group"),
    (["loss=null"], ["loss=null: a run needs one"], "a required group"),
    (["optimizer=[adam,sgd]"], ["optimizer=", "takes one member"], "a list for a group of one"),
    (["augment=[flip,nope]"], ["augment=nope: no such augment"], "a wrong item in a list"),
    (["augment=[flip,null]"], ["augment"], "null in a list"),
    (["augment={flip:1}"], ["augment="], "a mapping for a list"),
    (["recipe=mnist_cn"], ["recipe=mnist_cn: no such recipe; did you mean mnist_cnn?"], "misspelt recipe"),
    # keys
    (["optimizer.lrr=1"], ["optimizer.lrr=1: no such setting; did you mean optimizer.lr=1?"], "misspelt key"),
    (["+optimizer.lrr=1"], ["+optimizer.lrr=1: no such setting"], "Hydra would add it"),
    (["++optimizer.lrr=1"], ["++optimizer.lrr=1: no such setting"], "Hydra would force it"),
    (["+mine=1"], ["+mine=1: no such setting"], "a new key at the top"),
    (["lr=0.1"], ["lr=0.1: no such setting; did you mean optimizer.lr=0.1?"], "a bare leaf"),
    (["epochs=3"], ["did you mean loop.epochs=3?"], "a bare leaf of a section"),
    (
        ["weight=1"],
        ["regularizer=[elastic_net] regularizer.elastic_net.weight=1 or regularizer=[l1] regularizer.l1.weight=1 or "],
        "a leaf of several",
    ),
    (["loop=3"], ["loop=3: is a section, not a value; set one of: loop.epochs, loop.max_steps"], "a whole section"),
    (["zzz.yyy=1"], ["zzz.yyy=1: no such setting"], "nothing like it"),
    (["loop.capture=never"], ["loop.capture=never: no such setting; it is now called loop.record"], "an older name"),
    (
        ["optimizer.dampening=0.5"],
        ["optimizer.dampening belongs to optimizer=sgd, but optimizer=adam is selected"],
        "key of another member",
    ),
    (
        ["augment.flip.probability=1"],
        ["belongs to augment=flip, but augment=none is selected"],
        "key of a member that is not chosen",
    ),
    (
        ["optimizer.name=sgd"],
        ["optimizer.name=sgd: select a member of the group with optimizer=sgd"],
        "a member is chosen by its group",
    ),
    (
        ["model.name=resnet18"],
        ["model.name=resnet18: select a member of the group with model=torchvision model.architecture=resnet18"],
        "an architecture is no member",
    ),
    # values
    (["optimizer.lr=big"], ["optimizer.lr=big: expected a number in (0, inf)"], "a text"),
    (["optimizer.lr='0.1'"], ["optimizer.lr=0.1: expected a number"], "a number in quotes"),
    (["optimizer.lr=true"], ["optimizer.lr=true: expected a number"], "a truth"),
    (["optimizer.lr=null"], ["optimizer.lr=null: expected a number"], "null"),
    (["optimizer.lr="], ["optimizer.lr=: expected a number"], "nothing"),
    (["optimizer.lr=0"], ["optimizer.lr=0: expected a number in (0, inf)"], "an open end"),
    (["optimizer.lr=-1"], ["optimizer.lr=-1: expected"], "below"),
    (["optimizer.lr=nan"], ["optimizer.lr=nan: expected"], "not a number"),
    (["optimizer.lr=inf"], ["optimizer.lr=inf: expected"], "infinity"),
    ([f"optimizer.lr={'9' * 400}"], ["optimizer.lr="], "more than a float can hold"),
    (["optimizer.lr=[0.1]"], ["optimizer.lr=", "expected a number"], "a list"),
    (["optimizer.lr={a: 1}"], ["optimizer.lr=", "expected a number"], "a mapping"),
    (["optimizer.lr=${nope}"], ["optimizer.lr"], "an interpolation of nothing"),
    (["optimizer.lr=???"], ["optimizer.lr"], "Hydra's mark for a missing value"),
    (["optimizer.beta1=1"], ["optimizer.beta1=1: expected a number in [0, 1)"], "the upper end"),
    (["loop.epochs=1.5"], ["loop.epochs=1.5: expected a whole number in [1, inf) or null"], "a fraction"),
    (["loop.epochs=0"], ["loop.epochs=0: expected"], "no epoch"),
    (["loop.batch_size=all"], ["loop.batch_size=all: expected a whole number in [1, inf) or full"], "not the word"),
    (["loop.max_time=10"], ["loop.max_time=10: expected"], "no unit"),
    (["model.hidden=5"], ["model.hidden=5: expected a list, each item a whole number"], "no list"),
    (["model.hidden=[8,0]"], ["model.hidden=[8,0]: expected"], "an item out of range"),
    (["model.activation=rely"], ["model.activation=rely: expected relu or"], "none of the words"),
    (["seed=-1"], ["seed=-1: expected a whole number in [0, 4294967295]"], "below"),
    (["seed=4294967296"], ["seed=4294967296: expected"], "above"),
    (["threads=0"], ["threads=0: expected"], "no thread"),
    (["device=tpu"], ["device=tpu: expected"], "unknown device"),
    (["monitor=loss"], ["monitor=loss: expected"], "a metric without its split"),
    (["split.val_fraction=1"], ["split.val_fraction=1: expected a number in (0, 1)"], "everything"),
    (["output.root=''"], ["output.root="], "an empty path"),
    (["checkpoint.keep=1"], ["checkpoint.keep=1: expected"], "too few to be safe"),
    # contradictions
    (
        ["loop.epochs=null"],
        ["loop.epochs=null needs another budget: loop.max_steps or loop.max_time"],
        "nothing ends the run",
    ),
    (["loop.micro_batches=64"], ["loop.micro_batches=64 exceeds loop.batch_size=32"], "parts without a sample"),
    (["precision=fp16", "device=cpu"], ["precision=fp16 needs a CUDA device"], "fp16 on a CPU"),
    (
        ["split.val_fraction=0.6", "split.test_fraction=0.4"],
        ["split.val_fraction=0.6 and split.test_fraction=0.4"],
        "nothing to train on",
    ),
    # what Hydra could do
    (
        ["optimizer=adam,sgd"],
        ["optimizer=adam,sgd: several values make a sweep; use trainctl -m optimizer=adam,sgd"],
        "two members without -m",
    ),
    (["seed=0,1"], ["seed=0,1: several values make a sweep; use trainctl -m seed=0,1"], "two values without -m"),
    (["seed=range(3)"], ["several values make a sweep"], "a range without -m"),
    (["optimizer=glob(*)"], ["several values make a sweep"], "a glob without -m"),
    (["~optimizer"], ["~optimizer: deleting keys (~key) is not supported"], "deletion of a group"),
    (["~optimizer.lr"], ["~optimizer.lr: deleting keys (~key) is not supported"], "deletion of a key"),
    (["hydra.run.dir=x"], ["hydra.run.dir=x: Hydra's own settings are fixed", "output.root"], "Hydra's settings"),
    (["hydra/launcher=joblib"], ["hydra/launcher=joblib: Hydra's own settings are fixed"], "Hydra's groups"),
    (
        ["optimizer@model=adam"],
        ["optimizer@model=adam: packages cannot be changed; use optimizer=adam"],
        "another package",
    ),
    (["optimizer"], ["optimizer: expected key=value or group=member"], "no value"),
    (["=3"], ["=3"], "no key"),
    (["optimizer.lr=[1"], ["optimizer.lr=[1"], "an open bracket"),
    # packages
    (["components=[no_such_package]"], ["components=[no_such_package]: no such package"], "unknown package"),
    (
        ["components=[encodings]"],
        ["components=[encodings]: the package has no components"],
        "package of something else",
    ),
    (["components=mine"], ["components=mine: expected a list"], "no list"),
    (["components=[a.b]"], ["components=", "expected a list"], "a dotted path"),
]

FILES = {
    "no_yaml": ("name: [mlp\n", ["conf/model/no_yaml.yaml, line 2: not valid YAML"], "an open bracket"),
    "twice": (MLP + "dropout: 0.1\n", ["conf/model/twice.yaml, line 6: not valid YAML", "dropout"], "a key twice"),
    "short": (
        MLP.replace("norm: none\n", ""),
        ["model.norm is missing: model mlp needs none or batch or layer"],
        "missing key",
    ),
    "long": (MLP + "depth: 3\n", ["model.depth: model mlp has no such parameter"], "unknown key"),
    "unknown": ("name: mpl\n", ["model.name=mpl: no such model; did you mean mlp?"], "unknown name"),
    "target": (MLP + "_target_: os.system\n", ["model._target_: model mlp has no such parameter"], "a path to code"),
    "only_target": ("_target_: os.system\ncommand: touch canary\n", ["model.name"], "a path to code and no name"),
    "nothing": ("", ["model.name"], "an empty file"),
    "items": ("- 1\n", ["model=[1]: expected a member"], "a list"),
    "number": ("5\n", ["model/number"], "a number"),
    "nowhere": (MLP.replace("0.0", "${nowhere}"), ["model.dropout"], "an interpolation of nothing"),
    "defaults": ("defaults:\n  - missing\n" + MLP, ["model/defaults"], "a default that does not exist"),
    "letters": ("name: ml\udce9p\n", ["letters.yaml"], "not UTF-8"),
}


def write(name, text, group="model"):
    path = Path("conf") / group / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def message(*overrides, function=compose.compose):
    with pytest.raises(ConfigError) as caught:
        function(list(overrides))
    return str(caught.value)


@pytest.mark.parametrize(("overrides", "parts", "reason"), WRONG, ids=[" ".join(row[0])[:50] for row in WRONG])
def test_a_wrong_override_is_named_in_one_line(overrides, parts, reason):
    text = message(*overrides)
    assert "\n" not in text, reason
    assert [part for part in parts if part not in text] == [], text


@pytest.mark.parametrize("override", ["~optimizer", "~optimizer.lr"])
def test_what_is_offered_instead_of_a_deletion_exists(override):
    assert "optimizer=none" not in message(override)


@pytest.mark.parametrize("overrides", [["augment={flip:1}"], ["augment={}"]])
def test_a_group_that_takes_a_list_is_not_said_to_take_one_member(overrides):
    assert "takes one member" not in message(*overrides)


def test_several_wrong_overrides_are_told_at_once():
    assert len(message("optimizer=adan", "~model", "seed=0,1").splitlines()) == 3
    assert len(message("lr=0.1", "optimizer.momentum=0").splitlines()) == 2
    assert len(message("seed=-1", "optimizer.lr=0").splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "key", "value", "reason"),
    [
        (["optimizer.lr=0.5"], "optimizer.lr", 0.5, "a setting"),
        (["optimizer.lr=1e-3"], "optimizer.lr", 0.001, "an exponent without a point"),
        (["+optimizer.lr=0.5"], "optimizer.lr", 0.5, "a key that exists may be spelt with a plus"),
        (["++optimizer.lr=0.5"], "optimizer.lr", 0.5, "or two"),
        (["optimizer.lr=1", "optimizer.lr=2"], "optimizer.lr", 2, "the last one wins"),
        (["optimizer=sgd", "optimizer=adamw"], "optimizer.name", "adamw", "of members, too"),
        (
            ["optimizer.momentum=0.5", "optimizer=sgd"],
            "optimizer.momentum",
            0.5,
            "order of group and key does not matter",
        ),
        (["model.hidden=[8,16]"], "model.hidden", [8, 16], "a list"),
        (["model.hidden=[]"], "model.hidden", [], "an empty list replaces the default"),
        (["loop.max_steps=10", "loop.epochs=null"], "loop.epochs", None, "null"),
        (["schedule=null"], "schedule.name", "none", "null is none"),
        (["augment=null"], "augment.none.name", "none", "null is none in lists of members"),
        (["augment=crop"], "augment.crop.name", "crop", "one member needs no brackets"),
        (["augment=[flip]", "augment.flip.probability=1"], "augment.flip.probability", 1, "a member's key"),
        (["output.root='a b, c=d'"], "output.root", "a b, c=d", "quotes"),
        (["output.root=/tmp/runs"], "output.root", "/tmp/runs", "a path"),
        (
            ["early_stopping=patience", "monitor=val/accuracy"],
            "early_stopping.monitor",
            "val/accuracy",
            "interpolations follow",
        ),
        (["recipe=mnist_cnn"], "model.padding", "valid", "a recipe changes settings"),
        (["recipe=mnist_cnn", "model.padding=same"], "model.padding", "same", "the command line wins over a recipe"),
        (["recipe=mnist_cnn", "optimizer=sgd"], "optimizer.name", "sgd", "over its members, too"),
        (["recipe=null"], "model.name", "mlp", "no recipe is the default"),
        (["augment=[]"], "augment.none.name", "none", "an empty list of members is none"),
    ],
)
def test_a_right_override_arrives(overrides, key, value, reason):
    node = compose.compose(overrides).tree
    for word in key.split("."):
        node = node[word]
    assert node == value, reason


def test_lists_of_members_keep_their_order():
    assert list(compose.compose(["augment=[flip,crop]"]).tree["augment"]) == ["flip", "crop"]
    assert list(compose.compose(["augment=[crop,flip]"]).tree["augment"]) == ["crop", "flip"]
    assert list(compose.compose(["regularizer=[l2,elastic_net,l1]"]).tree["regularizer"]) == ["l2", "elastic_net", "l1"]


@pytest.mark.parametrize("choice", ["dataset=diabetes", "model=autoencoder"])
def test_numbers_bring_their_loss_and_an_explicit_one_wins(choice):
    assert compose.compose([choice]).tree["loss"] == {"name": "mse"}
    for overrides in ([choice, "loss=cross_entropy"], ["loss=cross_entropy", choice]):
        assert compose.compose(overrides).tree["loss"]["name"] == "cross_entropy"
    assert compose.compose([]).tree["loss"]["name"] == "cross_entropy"


def test_nothing_of_hydra_and_nothing_missing_is_in_the_result():
    assert "hydra" not in compose.compose([]).tree
    assert "recipe" not in compose.compose(["recipe=mnist_cnn"]).tree


def test_a_composed_tree_is_the_callers_own():
    compose.compose([]).tree["optimizer"]["lr"] = 99
    compose.compose(["optimizer.lr=3"])
    assert compose.compose([]).tree["optimizer"]["lr"] == 0.001


def test_a_users_yaml_is_found_and_takes_settings():
    write("mine", MLP)
    assert compose.compose(["model=mine"]).tree["model"] == {
        "name": "mlp",
        "hidden": [8],
        "activation": "relu",
        "norm": "none",
        "dropout": 0.0,
    }
    assert compose.compose(["model=mine", "model.dropout=0.3"]).tree["model"]["dropout"] == 0.3
    assert "did you mean mine?" in message("model=mime")
    assert catalogue.options(catalogue.overlays())["model"]["mine"] == Path.cwd() / "conf" / "model" / "mine.yaml"


def test_a_users_directory_can_be_given(tmp_path):
    write("mine", MLP)
    (tmp_path / "conf").rename(tmp_path / "elsewhere")
    assert compose.compose(["model=mine"], "elsewhere").tree["model"]["name"] == "mlp"
    assert "no such model" in message("model=mine")
    with pytest.raises(ConfigError, match="--config-dir nowhere: no such directory"):
        compose.compose([], "nowhere")


@pytest.mark.parametrize(("name", "text", "parts", "reason"), [(name, *row) for name, row in FILES.items()], ids=FILES)
def test_a_users_broken_yaml_is_named_in_one_line(name, text, parts, reason):
    write(name, text)
    found = message(f"model={name}")
    assert "\n" not in found, reason
    assert [part for part in parts if part not in found] == [], found
    assert "None" not in found
    assert not Path("canary").exists()


@pytest.mark.parametrize("name", ["no_yaml", "letters", "number"])
def test_a_users_broken_yaml_is_no_trouble_to_those_who_do_not_choose_it(name):
    write(name, FILES[name][0])
    assert compose.compose(["model=cnn", "model.pool=1"]).tree["model"]["pool"] == 1
    assert "did you mean optimizer.lr=1?" in message("lr=1")


def test_a_users_file_among_members_that_add_up_needs_its_own_key():
    write("mine", "# @package augment.mine\nname: mixup\nalpha: 1.0\n", group="augment")
    write("loose", "name: mixup\nalpha: 1.0\n", group="augment")
    assert compose.compose(["augment=[crop,mine]"]).tree["augment"]["mine"] == {"name": "mixup", "alpha": 1.0}
    assert "augment" in message("augment=[crop,loose]")


def swept(*overrides):
    return [words for words, _ in points.compose_points(list(overrides))]


@pytest.mark.parametrize(
    ("overrides", "expected", "reason"),
    [
        ([], [[]], "one run"),
        (["seed=3"], [[]], "a single value is not swept"),
        (["seed=0,1"], [["seed=0"], ["seed=1"]], "values in their order"),
        (["seed=1,0"], [["seed=1"], ["seed=0"]], "as given, not sorted"),
        (
            ["optimizer=sgd,adam", "loop.epochs=3", "seed=0,1"],
            [
                ["optimizer=sgd", "seed=0"],
                ["optimizer=sgd", "seed=1"],
                ["optimizer=adam", "seed=0"],
                ["optimizer=adam", "seed=1"],
            ],
            "the last axis runs fastest",
        ),
        (["optimizer=choice(adam,sgd)"], [["optimizer=adam"], ["optimizer=sgd"]], "choice"),
        (["seed=range(2)"], [["seed=0"], ["seed=1"]], "range without its end"),
        (["seed=range(4,0,-2)"], [["seed=4"], ["seed=2"]], "range with a step"),
        (["optimizer=glob(adamw*)"], [["optimizer=adamw"]], "glob"),
        (["optimizer=glob(adam*,exclude=adamw)"], [["optimizer=adam"], ["optimizer=adamax"]], "glob with an exception"),
        (["model.hidden=[8],[8,8]"], [["model.hidden=[8]"], ["model.hidden=[8,8]"]], "lists"),
        (["augment=[flip,crop],[none]"], [["augment=[flip,crop]"], ["augment=[none]"]], "lists of members"),
        (["loop.max_steps=null,5"], [["loop.max_steps=null"], ["loop.max_steps=5"]], "null"),
        (["output.root='a b','c,d'"], [["output.root='a b'"], ["output.root='c,d'"]], "quotes"),
    ],
)
def test_a_sweep_has_its_points_in_order(overrides, expected, reason):
    assert swept(*overrides) == expected, reason


def test_every_point_carries_its_values():
    found = points.compose_points(["optimizer=adam,sgd", "optimizer.lr=0.1,0.2", "loop.epochs=3"])
    trees = [each.tree for _, each in found]
    assert [(tree["optimizer"]["name"], tree["optimizer"]["lr"], tree["loop"]["epochs"]) for tree in trees] == [
        ("adam", 0.1, 3), ("adam", 0.2, 3), ("sgd", 0.1, 3), ("sgd", 0.2, 3),
    ]  # fmt: skip


def test_a_glob_finds_the_users_members_too():
    write("mlp_small", MLP)
    assert swept("model=glob(mlp*)") == [["model=mlp"], ["model=mlp_small"]]


@pytest.mark.parametrize(
    ("overrides", "parts", "reason"),
    [
        (["optimizer.lr=0.1,-1,0.2"], ["optimizer.lr=-1: expected"], "a value out of range"),
        (["optimizer=adam,adan"], ["optimizer=adan: no such optimizer"], "a misspelt member"),
        (
            ["optimizer=adam,adamw", "optimizer.dampening=0.5"],
            ["optimizer.dampening: no such setting at any point of this sweep"],
            "a key of neither of them",
        ),
        (
            ["loop.batch_size=8,64", "loop.micro_batches=16"],
            ["loop.micro_batches=16 exceeds loop.batch_size=8"],
            "a contradiction in one",
        ),
        (["optimizer=glob(x*)"], ["optimizer=glob(x*): matches nothing", "adam"], "a glob without a match"),
        (["optimizer.lr=glob(*)"], ["optimizer.lr=glob(*)"], "a glob over a number"),
        (["optimizer.lr=interval(0.1,1)"], ["optimizer.lr: an interval has no grid; add sweep=random"], "no grid"),
        (["optimizer.lrr=1,2"], ["optimizer.lrr=1,2: no such setting"], "an unknown key"),
        (["seed=range(0,20000)"], ["20000 trials"], "too many"),
        (["seed=range(200)", "split.seed=range(200)"], ["40000 trials"], "too many together"),
    ],
)
def test_every_point_is_checked_before_any_is_returned(overrides, parts, reason):
    text = message(*overrides, function=points.compose_points)
    assert "\n" not in text, reason
    assert [part for part in parts if part not in text] == [], text


def test_checking_imports_no_torch():
    code = (
        "import sys; from trainctl.settings import points; points.compose_points(['recipe=mnist_cnn', 'seed=0,1']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": str(ROOT)}).returncode == 0


@pytest.mark.parametrize(
    ("overrides", "parts", "reason"),
    [
        (["loop.epochs=50"], [], "allowed"),
        (["optimizer.lr=1"], ["optimizer.lr=1: cannot change in an existing run; start a new one"], "known, but fixed"),
        (["optimizer=sgd"], ["optimizer=sgd: cannot change in an existing run"], "a member"),
        (["loop.epoch=1"], ["loop.epoch=1: no such setting; did you mean loop.epochs?"], "unknown"),
        (["loop.epochs=1,2"], ["loop.epochs=1,2: expected one value"], "several values"),
        (["~loop.epochs"], ["~loop.epochs: expected one value"], "deletion"),
    ],
)
def test_an_existing_run_may_change_a_few_settings(overrides, parts, reason):
    tree = compose.compose([]).tree
    if not parts:
        assert existing.change(tree, overrides, ["loop.epochs"])["loop"]["epochs"] == 50
        assert tree["loop"]["epochs"] == 30
    else:
        with pytest.raises(ConfigError) as caught:
            existing.change(tree, overrides, ["loop.epochs"])
        assert all(part in str(caught.value) for part in parts), reason


@pytest.mark.parametrize(
    ("typed", "epochs"),
    [
        ([], 30),
        (["loop.max_steps=9"], None),
        (["loop.max_time=2s"], None),
        (["loop.max_steps=9", "loop.epochs=4"], 4),
        (["loop.max_time=2s", "recipe=mnist_cnn"], None),
    ],
)
def test_a_budget_that_is_typed_alone_is_the_only_one(typed, epochs):
    assert compose.compose(typed).tree["loop"]["epochs"] == epochs


def test_a_users_file_that_ours_would_hide_is_an_error(tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mlp.yaml").write_text("name: mlp\nhidden: [7]\n")
    with pytest.raises(ConfigError, match=r"conf/model/mlp\.yaml: has the same name as a built-in model"):
        compose.compose([])
