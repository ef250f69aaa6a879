"""Answer the habits that users bring from other tools with the words to type here. Imports no Hydra, no torch.

The words that an answer names work where it is given; `tests/settings/test_habits.py` types each of them.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from trainctl.settings import component, config, kinds, schema
from trainctl.settings.elsewhere import (
    COMMANDS,
    DEVICES,
    ELSEWHERE,
    FLAGS,
    HYDRA,
    MEASURED,
    METRICS,
    OURS,
    OVERWRITING,
    PRECISIONS,
    SPLITS,
    TRUTHS,
)
from trainctl.settings.members import as_member, options
from trainctl.settings.spelling import spell
from trainctl.wording import shell_words

RANGE = re.compile(r"(\d{1,6})\s?(?:-|\.\.\.?|to)\s?(\d{1,6})")  # 0-3, 0..3
MOST_IN_RANGE = 20  # numbers of one that is written out
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
    of_component = "." in key and key.partition(".")[0] in (*component.GROUPS, "data")
    if leaf in ELSEWHERE and ELSEWHERE[leaf] != key and not (leaf == "dir" and (of_component or "checkpoint" in key)):
        words, _, last = ELSEWHERE[leaf].rpartition(" ")
        return f"; use {words}{' ' * bool(words)}{last}={as_member(last, text) or 'VALUE'}"
    if leaf in OVERWRITING and not of_component and text.lower() in ("", *TRUTHS):
        return "; each run gets a new directory: leave it out (an old run is removed with trainctl remove RUN)"
    if leaf in OURS:
        name = leaf.replace("_", "-")
        return f"; {name} is a command, which is typed first: trainctl {name}"
    return f"; {_filled(COMMANDS[leaf], text)}" if leaf in COMMANDS else ""


def of_option(key: str, text: str, options: Collection[str]) -> str:
    """Return the end of a message about an option that a command does not have; empty if no habit is known.

    >>> of_option("force", "", ["yes"]), of_option("force", "", ["root"]), of_option("f", "onnx", ["format", "output"])
    ('; use yes=true', '', '; use format=onnx')
    """
    if key == "f" and text and "format" in options:
        return f"; use format={text}"
    if key not in OVERWRITING or text.lower() not in ("", *TRUTHS):
        return ""
    if "yes" in options:
        return "; use yes=true"
    return "; output= never replaces a file: remove the old one, or choose another name" if "output" in options else ""


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
    if match := RANGE.fullmatch(text):
        return _of_range(key, int(match[1]), int(match[2]))
    if members and text in TRUTHS and text not in members:
        value = TRUTHS[text]
    if key == "device":
        number = text.removeprefix("gpu:")
        instead = f"cuda:{number}" if number.isdecimal() else DEVICES.get(text, "")
    elif key == "dataset" and re.search(r"[/\\~]|\.\w+$", text):
        return f"; a file or directory of data is typed without dataset=: trainctl {shell_words([str(value)])}"
    elif key == "model" and text in _architectures():
        instead = f"torchvision model.architecture={text}"
    elif key == "metric" and text in (*MEASURED, *METRICS):
        return (
            "; it is always measured where it applies: leave it out"
            if text in MEASURED
            else f"; use metric={METRICS[text]}"
        )
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
    else:
        instead = _nearby(key, value)
    return f"; use {key}={instead}" if instead else ""


def _of_range(key: str, first: int, last: int) -> str:
    """Return the words for a range that was typed as others do, if each of its numbers is allowed.

    >>> _of_range("seed", 0, 2), _of_range("seed", 3, 1), _of_range("device", 0, 2)
    ('; use -m seed=0,1,2', '', '')
    """
    found = kinds.kinds_of(key)
    numbers = range(first, min(last, first + MOST_IN_RANGE) + 1)
    fitting = found and all(schema.fits(number, kind) for number in numbers for kind in found)
    return (
        f"; use -m {key}={','.join(map(str, numbers))}" if fitting and last <= first + MOST_IN_RANGE and numbers else ""
    )


def _nearby(key: str, value: object) -> str:
    """Return a value that is written in another way, and is allowed: `Full`, `yes`, `1/100`, or an item of a list."""
    text = spell(value).strip()
    candidates: list[object] = [text.lower(), [value]]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        candidates.insert(0, int(value))
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
    if value.startswith("["):
        text = text.replace("[VALUE]", "VALUE")  # a list already
    return text.replace("VALUE", value) if value else text
