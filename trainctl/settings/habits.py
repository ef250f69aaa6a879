"""Answer the habits that users bring from other tools with the words to type here. Imports no Hydra, no torch.

The words that an answer names work where it is given; `tests/settings/test_habits.py` types each of them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from trainctl.settings import component, config, kinds, schema
from trainctl.settings.members import as_member, options
from trainctl.settings.spelling import spell

# What a setting is called elsewhere -> its key here. `VALUE` is replaced by what was typed.
ELSEWHERE = {
    **dict.fromkeys(("epochs", "epoch", "max_epochs", "n_epochs", "num_epochs", "num_train_epochs", "nepochs"), "loop.epochs"),
    **dict.fromkeys(("steps", "max_iters", "iterations", "num_steps", "total_steps"), "loop.max_steps"),
    **dict.fromkeys(("batch", "bs", "batchsize", "batch_size", "train_batch_size", "per_device_train_batch_size"), "loop.batch_size"),
    **dict.fromkeys(("eval_batch_size", "val_batch_size", "test_batch_size"), "loop.eval_batch_size"),
    **dict.fromkeys(("lr", "learning_rate", "rate", "base_lr"), "optimizer.lr"),
    **dict.fromkeys(("wd", "weight_decay", "decay"), "optimizer.weight_decay"),
    **dict.fromkeys(("momentum",), "optimizer=sgd optimizer.momentum"),
    **dict.fromkeys(("optim", "opt", "solver"), "optimizer"),
    **dict.fromkeys(("scheduler", "lr_scheduler", "sched", "lr_schedule"), "schedule"),
    **dict.fromkeys(("arch", "net", "network", "architecture"), "model"),
    **dict.fromkeys(("criterion", "objective", "loss_fn"), "loss"),
    **dict.fromkeys(("augmentation", "augmentations", "aug", "transforms"), "augment"),
    **dict.fromkeys(("random_seed", "manual_seed", "random_state"), "seed"),
    **dict.fromkeys(("grad_clip", "clip", "clip_grad", "clip_grad_norm", "gradient_clip_val", "max_grad_norm"), "loop.clip_norm"),
    **dict.fromkeys(
        ("accumulate_grad_batches", "gradient_accumulation_steps", "grad_accum", "accumulation_steps", "accum"), "loop.micro_batches"
    ),
    **dict.fromkeys(("val_split", "validation_split", "valid_fraction", "val_size"), "split.val_fraction"),
    **dict.fromkeys(("test_split", "test_size"), "split.test_fraction"),
    **dict.fromkeys(("out", "out_dir", "output", "output_dir", "outdir", "save_dir"), "output.root"),
    **dict.fromkeys(("log_dir", "logdir", "default_root_dir"), "output.root"),
    **dict.fromkeys(("name", "run_name", "exp_name", "experiment_name", "task_name"), "output.name"),
    **dict.fromkeys(("csv", "data", "data_path", "train_data", "train_file", "file"), "dataset=csv dataset.target=COLUMN dataset.path"),
    **dict.fromkeys(("patience",), "early_stopping=patience early_stopping.patience"),
    **dict.fromkeys(("warmup", "warmup_steps"), "schedule=cosine schedule.warmup_steps"),
    **dict.fromkeys(("num_threads", "cpus", "num_workers", "workers"), "threads"),
    **dict.fromkeys(("save_top_k", "keep_checkpoints"), "checkpoint.keep"),
    **dict.fromkeys(("monitor_metric", "metric"), "monitor"),
}  # fmt: skip
# What is a command here, or has no setting.
COMMANDS = {
    **dict.fromkeys(
        ("resume", "resume_from", "resume_from_checkpoint", "ckpt", "ckpt_path", "checkpoint", "load"),
        "a run is continued with trainctl resume",
    ),
    **dict.fromkeys(("eval", "evaluate", "test", "validate"), "a run is measured again with trainctl evaluate"),
    **dict.fromkeys(("predict", "infer", "inference"), "a run predicts with trainctl predict RUN INPUT"),
    **dict.fromkeys(
        ("explain", "interpret", "attribute", "shap", "captum", "feature_importance"),
        "a run is explained with trainctl explain RUN [INPUT]",
    ),
    **dict.fromkeys(("config", "config_file", "cfg_file"), "settings in a file are typed as its name: trainctl VALUE"),
    **dict.fromkeys(("experiment", "exp"), "an experiment is a recipe here: with recipes/NAME.yaml, use recipe=NAME"),
    **dict.fromkeys(("tag", "tags"), "use output.tags=[VALUE]"),
    **dict.fromkeys(("verbose", "debug", "quiet", "log_level"), "there are no levels of output; --cfg job shows the settings"),
    **dict.fromkeys(("dry_run", "fast_dev_run", "smoke"), "for a short trial, use loop.max_steps=1"),
    **dict.fromkeys(("lr_find", "auto_lr_find"), "a learning rate is found with trainctl find-lr"),
    **dict.fromkeys(
        ("pretrained", "use_pretrained", "pretrained_weights", "imagenet", "backbone"),
        "pretrained weights are those of torchvision: use model=torchvision model.weights=default",
    ),
    **dict.fromkeys(("wandb", "use_wandb"), "use logger=wandb"),
    **dict.fromkeys(("mlflow", "use_mlflow"), "use logger=mlflow"),
    **dict.fromkeys(("tensorboard", "tb"), "use logger=tensorboard"),
    **dict.fromkeys(("head_lr", "lr_head", "backbone_lr"), "the output layer has a rate of its own with head_lr_factor=10"),
    **dict.fromkeys(("models", "optimizers", "datasets", "losses", "recipes"), "components are listed by trainctl list"),
    **dict.fromkeys(("list",), "components are listed by trainctl list"),
    **dict.fromkeys(("ls", "history", "experiments"), "runs are listed with trainctl runs"),
    **dict.fromkeys(("rm", "delete", "del", "clean_runs"), "runs are removed with trainctl remove"),
    **dict.fromkeys(("plot", "plots", "html"), "a page with all charts is written with trainctl report"),
    **dict.fromkeys(("sweep", "search", "tune", "hpo", "optimize"), "a sweep is -m: use -m optimizer.lr=0.1,0.01"),
    **dict.fromkeys(("benchmark", "bench", "speed"), "speed is measured with trainctl profile"),
    **dict.fromkeys(("doctor", "info", "diagnose"), "versions and devices are shown with trainctl env"),
    **dict.fromkeys(("onnx", "convert", "save"), "a run is exported with trainctl export"),
    **dict.fromkeys(("deploy", "api", "server"), "predictions are served with trainctl serve"),
    **dict.fromkeys(("version", "v"), "the version is printed by trainctl --version"),
    **dict.fromkeys(("rerun", "experimental_rerun"), "a run is repeated with trainctl reproduce"),
    **dict.fromkeys(("run", "train", "fit", "start"), "training is what trainctl does without a command; leave it out"),
}  # fmt: skip
FLAGS = {
    "config_name": "the settings of all runs are fixed; your own are a recipe: with recipes/NAME.yaml, use recipe=NAME",
    "cn": "the settings of all runs are fixed; your own are a recipe: with recipes/NAME.yaml, use recipe=NAME",
    "config_path": "a directory of your own is given with --config-dir VALUE",
    "cp": "a directory of your own is given with --config-dir VALUE",
}
HYDRA = {
    "run.dir": "run directories are created below output.root: use output.root=VALUE",
    "sweep.dir": "run directories are created below output.root: use output.root=VALUE",
    "sweep.subdir": "the trials of a sweep are numbered; leave it out",
    "job.chdir": "trainctl never changes the current directory; leave it out",
    "launcher": "several trials at once: use -m sweep.workers=2",
    "sweeper": "points are chosen by a sampler: use -m sweep=tpe sweep.trials=20",
    "sweeper.n_trials": "use -m sweep=tpe sweep.trials=VALUE",
    "searchpath": "a directory of your own is given with --config-dir DIR",
}
PRECISIONS = {
    **dict.fromkeys(("16", "16-mixed", "half", "float16", "f16", "amp", "true"), "fp16"),
    **dict.fromkeys(("bf16-mixed", "bfloat16", "bf16-true"), "bf16"),
    **dict.fromkeys(("32", "32-true", "full", "float32", "f32", "single", "false"), "fp32"),
}
DEVICES = {
    **dict.fromkeys(("gpu", "cuda:all", "-1", "nvidia", "rocm", "hip"), "cuda"),  # PyTorch calls AMD's GPUs cuda, too
    **dict.fromkeys(("metal", "apple"), "mps"),
}
# What is measured in every run, and other names of metrics.
MEASURED = ("loss", "accuracy", "acc", "mae", "rmse", "mse", "r2", "r_squared")
METRICS = {
    **dict.fromkeys(("roc_auc", "auroc", "rocauc", "roc"), "auc"),
    **dict.fromkeys(("ap", "pr_auc", "auprc", "map", "mean_average_precision"), "average_precision"),
    **dict.fromkeys(("f1_score", "f1_macro", "macro_f1", "fscore", "fbeta"), "f1"),
    **dict.fromkeys(("top5", "top3", "top_5", "topk", "top5_accuracy", "top_k_accuracy"), "top_k"),
    **dict.fromkeys(("mcc", "matthews_corrcoef"), "matthews"),
    **dict.fromkeys(("ece", "expected_calibration_error"), "calibration_error"),
    **dict.fromkeys(("cohen_kappa", "cohens_kappa"), "kappa"),
    **dict.fromkeys(("logloss", "nll"), "log_loss"),
    **dict.fromkeys(("bacc", "balanced_acc"), "balanced_accuracy"),
    **dict.fromkeys(("sensitivity", "tpr"), "recall"),
    **dict.fromkeys(("medae", "median_absolute_error"), "median_error"),
    "brier_score": "brier",
    "spearmanr": "spearman",
}  # fmt: skip
SPLITS = {"valid": "val", "validation": "val", "eval": "val", "dev": "val"}
TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
TIME = re.compile(r"(?:(\d+):)?(\d+):(\d+)")


def of_hydra(key: str, text: str) -> str:
    """Return what to do instead of changing one of Hydra's own settings.

    >>> of_hydra("hydra.run.dir", "out")
    'run directories are created below output.root: use output.root=out'
    """
    return _filled(HYDRA.get(key[6:], "leave it out"), text)


def of_flag(word: str, following: str | None) -> str:
    """Return the end of a message about a flag that does not exist; empty if no habit is known.

    Args:
        word: The flag as typed, such as ``--epochs=5``.
        following: The next word, unless it is a setting or a flag.

    >>> of_flag("--epochs", "5"), of_flag("--config-path", "conf")
    ('; use loop.epochs=5', '; a directory of your own is given with --config-dir conf')
    """
    name, equals, text = word.lstrip("-").partition("=")
    text = text if equals else following or ""
    key = name.replace("-", "_")
    if key in FLAGS:
        return f"; {_filled(FLAGS[key], text)}"
    if key in ("cpu", "cuda", "gpu", "gpus", "tpu") or key in COMMANDS:
        return of_key(key, text)
    return of_key(key, text) or _as_setting(key, text)


def _as_setting(key: str, text: str) -> str:
    exists = key in component.GROUPS or key == "recipe" or key in _settings()
    return f"; settings are typed without dashes: {key}={as_member(key, text) or 'VALUE'}" if exists else ""


def of_key(key: str, text: str) -> str:
    """Return the end of a message about a key that does not exist; empty if no habit is known.

    >>> of_key("trainer.max_epochs", "3"), of_key("gpus", "1"), of_key("foo", "1")
    ('; use loop.epochs=3', '; use device=cuda', '')
    """
    leaf = key.rpartition(".")[2].lower()
    if leaf in ("gpu", "gpus", "cuda", "use_cuda", "devices", "accelerator", "cpu", "tpu", "no_cuda"):
        return f"; use device={_device(leaf, text)}"
    if leaf in ("amp", "fp16", "bf16", "mixed_precision"):
        return f"; use precision={leaf if leaf in ('fp16', 'bf16') else PRECISIONS.get(text.lower(), 'bf16')}"
    if (leaf == "name" or ELSEWHERE.get(leaf) == "model") and text.lower() in _architectures():
        return f"; use model=torchvision model.architecture={text.lower()}"
    if leaf in ELSEWHERE and ELSEWHERE[leaf] != key:
        words, _, last = ELSEWHERE[leaf].rpartition(" ")
        return f"; use {words}{' ' * bool(words)}{last}={as_member(last, text) or 'VALUE'}"
    return f"; {_filled(COMMANDS[leaf], text)}" if leaf in COMMANDS else ""


def _device(leaf: str, text: str) -> str:
    if (
        leaf in ("cpu", "no_cuda")
        or text.lower() in ("cpu", "none", "null", "false")
        or (leaf == "gpus" and text == "0")
    ):
        return "cpu"
    return f"cuda:{text}" if leaf in ("gpu", "cuda") and text.isdecimal() else "cuda"


def of_value(key: str, value: object, members: Sequence[str] = ()) -> str:
    """Return the end of a message about a value that is not allowed; empty if no habit is known.

    >>> of_value("device", "gpu"), of_value("precision", 16), of_value("loop.max_time", "1:30")
    ('; use device=cuda', '; use precision=fp16', '; use loop.max_time=90s')
    """
    text = str(value).lower()
    instead = ""
    if key == "device":
        number = text.removeprefix("gpu:")
        instead = f"cuda:{number}" if number.isdecimal() else DEVICES.get(text, "")
    elif key == "model" and text in _architectures():
        instead = f"torchvision model.architecture={text}"
    elif key == "metric" and text in MEASURED:
        return "; it is measured in every run that has it: leave it out"
    elif key == "metric" and text in METRICS:
        instead = METRICS[text]
    elif key == "monitor":
        instead = _monitored(text)
    elif key == "precision":
        instead = PRECISIONS.get(text, "")
    elif key.rpartition(".")[2] in ("max_time", "trial_timeout"):
        instead = _duration(text)
    elif members and isinstance(value, bool):
        instead = {True: key if key in members else "", False: "none" if "none" in members else ""}[value]
        instead = "patience" if value and "patience" in members else instead
    elif members and key in component.ADDITIVE:
        names = re.split(r"[+\s;|]+", text)
        instead = f"[{','.join(names)}]" if len(names) > 1 and set(names) <= set(members) else ""
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        instead = str(int(value))
    else:
        instead = _nearby(key, value)
    return f"; use {key}={instead}" if instead else ""


def _nearby(key: str, value: object) -> str:
    """Return a value that is written in another way, and is allowed: `Full`, `yes`, `1/100`, or an item of a list."""
    text = spell(value).strip()
    candidates: list[object] = [text.lower(), [value]]
    if text.lower() in TRUTHS and not isinstance(value, bool):
        candidates.insert(0, TRUTHS[text.lower()])
    if (match := re.fullmatch(r"(\d{1,9})\s*/\s*(\d{1,9})", text)) and int(match[2]):
        candidates.insert(0, int(match[1]) / int(match[2]))
    found = kinds.kinds_of(key)
    fitting = (one for one in candidates if found and any(schema.fits(one, kind) for kind in found))
    return next((word for one in fitting if (word := spell(one)) != text), "")


def of_mapping(group: str, value: object) -> str:
    """Return the words for a member and its settings that were typed as a mapping; empty for anything else.

    >>> of_mapping("optimizer", {"name": "adam", "lr": 0.1})
    '; use optimizer=adam optimizer.lr=0.1'
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or group in component.ADDITIVE:
        return ""
    words = [f"{group}={as_member(group, value['name'])}"]
    words += [f"{group}.{key}={spell(item)}" for key, item in value.items() if key != "name"]
    return f"; use {' '.join(words)}"


def _monitored(text: str) -> str:
    """Return what is meant by the name of a metric as others write it.

    >>> _monitored("val_acc"), _monitored("f1"), _monitored("valid/loss")
    ('val/accuracy', 'val/f1', 'val/loss')
    """
    split, mark, name = text.partition("/") if "/" in text else text.partition("_")
    if SPLITS.get(split, split) not in ("train", "val", "test"):
        split, mark, name = "val", "/", text
    name = METRICS.get(name, "accuracy" if name == "acc" else name)
    return f"{SPLITS.get(split, split)}/{name}" if mark and re.fullmatch(r"\w+", name) else ""


def _duration(text: str) -> str:
    if match := TIME.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return f"{hours * 3600 + minutes * 60 + seconds}s"
    if parts := re.findall(r"(\d+)\s*(d|h|m|s)[a-z]*", text):
        return f"{sum(int(number) * int(config.UNITS[unit]) for number, unit in parts)}s"
    return f"{text}s" if re.fullmatch(r"\d+", text) else ""


def of_deletion(key: str, members: Mapping[str, Any]) -> str:
    """Return what to type instead of ``~key``.

    >>> of_deletion("augment", {"augment": {"none": ""}}), of_deletion("loop.clip_norm", {})
    ('; use augment=none', '; use loop.clip_norm=null')
    """
    group = key.partition(".")[0]
    if key in members:
        return f"; use {key}=none" if "none" in members[key] else f"; a run needs one: use {key}=NAME for another"
    found = kinds.kinds_of(key)
    for value in (None, 0, False):
        if found and all(schema.fits(value, kind) for kind in found):
            return f"; use {key}={'null' if value is None else str(value).lower()}"
    if group in members and group != key and "none" in members[group]:
        return f"; leave it out, or add {group}=none"
    return "; leave it out: the default applies"


def of_bare(word: str, following: str | None) -> str:
    """Return the end of a message about a word without ``=``; empty if it is not like a setting.

    Args:
        word: The word.
        following: The next word, unless it is a setting or a flag.

    >>> of_bare("optimizer.lr", "0.1"), of_bare("dataset/csv", None)
    ('; use optimizer.lr=0.1', '; use dataset=csv')
    """
    group, slash, member = word.partition("/")
    if slash and group in (*component.GROUPS, "recipe"):
        return f"; use {group}={as_member(group, member) or 'NAME'}"
    if word in (*component.GROUPS, "recipe") or word in _settings():
        return f"; use {word}={as_member(word, following or '') or 'VALUE'}"
    owners = [name for name, found in options([]).items() if word in found and name != "recipe"]
    return f"; use {owners[0]}={word}" if len(owners) == 1 else of_key(word, following or "")


def _architectures() -> tuple[str, ...]:
    """Return the names of torchvision's models that are no members of ours."""
    path = component.source("model", "torchvision")
    names = get_args(component.signature(path).parameters["architecture"]) if path else ()
    return tuple(name for name in names if name not in component.names("model"))


def _settings() -> set[str]:
    """Return the keys of the settings that every run has, and of the components."""
    found = {*config.knobs(), *(f"{name}.{key}" for name, cls in config.SECTIONS.items() for key in config.knobs(cls))}
    for group in component.GROUPS:
        for name in component.names(group):
            path = component.source(group, name)
            prefix = f"{group}.{name}" if group in component.ADDITIVE else group
            found |= {f"{prefix}.{key}" for key in component.signature(path).parameters} if path else set()
    return found


def _filled(text: str, value: str) -> str:
    return text.replace("VALUE", value) if value else text
