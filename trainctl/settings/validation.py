"""Check a plain tree as a whole, and turn it into a :class:`~trainctl.settings.config.Config`."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings import component, schema, spelling
from trainctl.settings.config import SECTIONS, WITH_PATHS, Config, Tree, knobs, leaves, seconds, unusable
from trainctl.settings.paths import absolute

SHORTEST_TIMEOUT = 1.0  # of distributed.timeout [s]

# Optimizers that update each parameter from its own gradient and state.
BY_PARAMETER = (
    "adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "lion", "muon", "nadam", "radam", "rmsprop", "sgd",
)  # fmt: skip


BY_WEIGHT = tuple(name for name in BY_PARAMETER if name != "muon")  # those that update each weight by itself
WHOLE_WEIGHTS = ("average", "compress", "freeze", "regularizer", "teacher")  # groups with members that look at weights
# Settings with which processes cannot divide the weights, and what to do.
UNSHARDED = {
    "distributed.split_state": (True, "divides the optimizer's state, which is divided anyway: leave it out"),
    "init.name": ("run", "starts from the weights of another run, which was not tested: set distributed.shard=false"),
    "loop.checkpoint_activations": (True, "computes parts of the model apart, which was not tested: leave it out"),
    "loop.on_nonfinite": ("rewind", "needs all weights of a checkpoint: use skip or stop"),
    "loop.record": ("always", "is not possible, as the processes wait for each other in a step: leave it out"),
    "precision": (
        "fp16",
        "skips a step if any gradient overflows, and a process looks at its own share only: use bf16",
    ),
}


def problems(tree: Tree) -> list[str]:
    """Return everything that is wrong with a configuration, one message each; empty if nothing is."""
    expected = {*knobs(), *SECTIONS, *component.GROUPS}
    wrong = [f"{key}: {spelling.no_such('setting', key, sorted(expected))}" for key in tree if key not in expected]
    wrong += [f"{key} is missing" for key in sorted(expected - set(tree))]
    wrong += _mismatches("", tree, knobs())
    packages, missing = _packages(tree.get("components"))
    wrong += missing
    for name, cls in SECTIONS.items():
        wrong += _section_problems(name, tree.get(name), knobs(cls))
    for group in component.GROUPS:
        wrong += _group_problems(group, tree[group], packages) if group in tree else []
    return wrong or contradictions(tree)


def _packages(names: object) -> tuple[list[str], list[str]]:
    """Return the packages of components that exist, and a message for each that does not."""
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        return [], []  # reported as a value of the wrong type
    wrong = []
    for name in names:
        try:
            component.require(name)
        except ConfigError as error:
            wrong.append(str(error))
    return ([] if wrong else names), wrong


def _section_problems(name: str, settings: object, annotations: Mapping[str, Any]) -> list[str]:
    if not isinstance(settings, dict):
        expected = ", ".join(f"{name}.{key}" for key in annotations)
        return [f"{name}={spelling.spell(settings)}: is a section, not a value; set one of: {expected}"]
    wrong = [
        f"{name}.{key}: {spelling.no_such('setting', key, annotations)}" for key in settings if key not in annotations
    ]
    wrong += [f"{name}.{key} is missing" for key in annotations if key not in settings]
    return wrong + _mismatches(f"{name}.", settings, annotations)


def _group_problems(group: str, settings: object, packages: Sequence[str]) -> list[str]:
    """Return what is wrong with the members of a group."""
    wrong = []
    members = settings if group in component.ADDITIVE and isinstance(settings, dict) else {"": settings}
    for label, member in members.items():
        key = f"{group}.{label}" if label else group
        if isinstance(member, dict):
            wrong += component.problems(group, key, member, packages)
        elif member is None:
            wrong.append(f"{key} is empty: its file needs name: and every parameter")
        else:
            options = component.names(group, packages)
            expected = f"expected a member of the group{spelling.nearest(str(member), options)}"
            wrong.append(f"{key}={spelling.spell(member)}: {expected}")
    return wrong


def _mismatches(prefix: str, settings: Mapping[str, Any], annotations: Mapping[str, Any]) -> list[str]:
    """Return a message for each setting whose value does not match its annotation."""
    return [
        f"{prefix}{key}={spelling.spell(settings[key])}: {problem}"
        for key, annotation in annotations.items()
        if key in settings and (problem := schema.problem(settings[key], annotation))
    ]


def contradictions(tree: Tree) -> list[str]:
    """Return a message for each combination of settings that are valid alone, but not together."""
    loop, split = tree["loop"], tree["split"]
    wrong = []
    if all(loop[key] is None for key in ("epochs", "max_steps", "max_time")):
        wrong.append("loop.epochs=null needs another budget: loop.max_steps or loop.max_time")
    if loop["batch_size"] != "full" and loop["micro_batches"] > loop["batch_size"]:
        wrong.append(
            f"loop.micro_batches={loop['micro_batches']} exceeds loop.batch_size={loop['batch_size']}:"
            " each micro-batch needs at least one row"
        )
    if split["val_fraction"] + split["test_fraction"] >= 1:
        wrong.append(
            f"split.val_fraction={split['val_fraction']} and split.test_fraction={split['test_fraction']} leave nothing to train on"
        )
    timeout = tree["distributed"]["timeout"]
    times = {"loop.max_time": loop["max_time"], "distributed.timeout": timeout}
    wrong += [f"{key}={text}: {trouble}" for key, text in times.items() if text and (trouble := unusable(text))]
    drawn = tree["init"]["name"]
    if tree["model"].get("weights", "none") != "none" and drawn not in ("none", "run"):
        wrong.append(
            f"init={drawn} draws new weights in place of model.weights={spelling.spell(tree['model']['weights'])}: leave out one of them"
        )
    wrong += _compiled(tree)
    if 0 < seconds(timeout) < SHORTEST_TIMEOUT:
        wrong.append(f"distributed.timeout={timeout} must be at least {SHORTEST_TIMEOUT:g}s")
    if isinstance(tree["processes"], int):
        wrong += obstacles(tree, tree["processes"])
    if tree["precision"] == "fp16" and tree["device"] in ("cpu", "mps"):
        wrong.append(f"precision=fp16 needs a CUDA device; on {tree['device']} use precision=bf16")
    return wrong


def _compiled(tree: Tree) -> list[str]:
    """Return a message for each setting with which a model cannot be compiled; empty if it is not."""
    loop, wrong = tree["loop"], list[str]()
    if not loop["compile"]:
        return wrong
    if loop["record"] == "always":
        wrong.append("loop.compile=true: compiled steps are not recorded: leave out loop.record=always")
    if loop["checkpoint_activations"]:
        wrong.append(
            "loop.compile=true: a compiled model decides for itself what it computes again: leave out loop.checkpoint_activations=true"
        )
    if tree["threads"] == "adapt":
        wrong.append(
            "loop.compile=true: a compiled model keeps its number of threads: give one instead of threads=adapt"
        )
    return wrong


def obstacles(tree: Tree, size: int) -> list[str]:
    """Return a message for each setting with which so many processes cannot train; empty if one process does."""
    if size == 1:
        return []
    batch, wrong = tree["loop"]["batch_size"], list[str]()
    if batch != "full" and batch < size:
        wrong.append(f"loop.batch_size={batch} is less than processes={size}: a process would have no row")
    if tree["threads"] == "adapt":
        wrong.append(f"threads=adapt: with processes={size}, every process needs the same number of threads: give one")
    if tree["loop"]["compile"]:
        wrong.append(
            f"loop.compile=true: with processes={size}, a process that cannot compile the model would compute other bits:"
            " set loop.compile=false"
        )
    if tree["device"] == "mps":
        wrong.append(f"device=mps: only one process can use it; use processes=1 instead of processes={size}")
    if any(member["name"] == "int8" for member in tree["compress"].values()):
        wrong.append(
            "compress=int8 follows the ranges of the activations from one part of a batch to the next, which"
            f" processes={size} cannot share: use processes=1"
        )
    if tree["distributed"]["shard"]:
        wrong += _unsharded(tree)
    elif tree["distributed"]["split_state"]:
        wrong += _undivided(tree)
    return wrong


def _unsharded(tree: Tree) -> list[str]:
    """Return why the processes of a run cannot divide its weights, a line each; empty if they can."""
    settings, optimizer = leaves(tree), tree["optimizer"]["name"]
    chosen = [
        (group, member["name"])
        for group in WHOLE_WEIGHTS
        for member in (tree[group].values() if group in component.ADDITIVE else [tree[group]])
    ]
    wrong = [
        f"{group}={name} looks at whole weights, of which each process has some rows only: leave out one of them"
        for group, name in chosen
        if name != "none"
    ]
    if optimizer not in BY_WEIGHT:
        wrong.append(f"optimizer={optimizer} may look at whole matrices: use one of {', '.join(BY_WEIGHT)}")
    wrong += [
        f"{key}={spelling.spell(value)} {advice}"
        for key, (value, advice) in UNSHARDED.items()
        if settings.get(key) == value
    ]
    return [f"distributed.shard=true: {line}" for line in wrong]


def _undivided(tree: Tree) -> list[str]:
    """Return why the processes of a run cannot divide its optimizer's state, a line each; empty if they can."""
    wrong, optimizer = list[str](), tree["optimizer"]["name"]
    if optimizer not in BY_PARAMETER:
        wrong.append(
            f"distributed.split_state=true: optimizer={optimizer} may need the state of all parameters together, which no"
            " process has; leave it out, or use an optimizer of trainctl's own"
        )
    if tree["precision"] == "fp16":
        wrong.append(
            "distributed.split_state=true: precision=fp16 skips a step if any gradient overflows, and a process looks at its"
            " own share only: use precision=bf16"
        )
    return wrong


def load(tree: Tree) -> Config:
    """Check a plain tree and return it as a Config, with the paths of data sets and runs made absolute.

    A run's configuration is read again from other directories, where a relative path would name another file.
    Trees are checked only here.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    if wrong := problems(tree):
        raise ConfigError(*wrong)
    tree = tree | {group: absolute(group, tree[group], tree["components"]) for group in WITH_PATHS}
    if wrong := [f"{key}: {_not_utf8(value)}" for key, value in leaves(tree).items() if _not_utf8(value)]:
        raise ConfigError(*wrong)
    sections = {name: cls(**tree[name]) for name, cls in SECTIONS.items()}
    own = {name: tree[name] for name in knobs()}
    return Config(**own, **sections, parts={group: tree[group] for group in component.GROUPS}, tree=tree)


def _not_utf8(value: object) -> str:
    """Return what is wrong with a value that is not valid UTF-8, which YAML cannot hold; empty for all others."""
    text = "".join(map(str, value)) if isinstance(value, list) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return f"{shown}: the name is not valid UTF-8, so it cannot be saved with the run: rename the file or directory"
    return ""
