"""What TAB offers in bash, zsh and fish: commands, flags, groups, members, settings and runs. Imports no torch.

The names of files may come from a stranger, and a shell may expand what it is offered. So only plain identifiers are
offered, whatever the files are called, and the scripts hand them to the shell as they are, one on each line.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, config
from trainctl.settings.members import Members, home, options, overlays

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*")  # in ASCII; no shell expands any of these characters
FLAGS = ("--help", "--hydra-help", "--version", "--resolve", "--multirun", "--cfg", "--config-dir", "--info")
OF_RUNS = (  # commands that take a run
    "resume", "verify", "reproduce", "evaluate", "predict", "compare", "explain", "export", "finetune", "distill", "prune",
    "quantize", "merge", "ensemble", "split", "lineage",
)  # fmt: skip
MOST_RUNS = 1000  # of which the names are read
LONGEST_LINE = 10_000  # characters

BASH = """\
_trainctl() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
        [[ $word != *= ]] || compopt -o nospace 2> /dev/null
    done < <(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        command trainctl --shell-completion query=bash 2> /dev/null)
}
complete -o default -F _trainctl trainctl
"""
ZSH = """\
_trainctl() {
    local -a found
    found=(${(f)"$(COMP_LINE="${(j: :)words[1,CURRENT]}" command trainctl --shell-completion query=zsh 2> /dev/null)"})
    if (( ${#found} )); then compadd -S '' -a found; else _files; fi
}
autoload -Uz compinit
(( ${+functions[compdef]} )) || compinit
compdef _trainctl trainctl
"""
FISH = """\
function __trainctl_complete
    set -lx COMP_LINE (commandline --current-process --cut-at-cursor)
    command trainctl --shell-completion query=fish 2> /dev/null
end
complete --command trainctl --arguments '(__trainctl_complete)'
"""
INSTALL = {"bash": BASH, "zsh": ZSH, "fish": FISH}
UNINSTALL = {
    "bash": "complete -r trainctl; unset -f _trainctl\n",
    "zsh": "compdef -d trainctl; unfunction _trainctl\n",
    "fish": "complete --erase --command trainctl; functions --erase __trainctl_complete\n",
}
ANSWERS = [f"{what}={shell}" for what in ("install", "uninstall", "query") for shell in INSTALL]


def answer(words: Sequence[str], commands: Sequence[str]) -> str:
    """Return what `--shell-completion` prints: a shell's script, or what the shell may offer for its COMP_LINE.

    Args:
        words: What was typed after the flag, such as ``install=bash``.
        commands: All commands.

    Raises:
        ConfigError: If the words are anything else than one of ANSWERS.
    """
    if len(words) != 1 or words[0] not in ANSWERS:
        raise ConfigError(f"--shell-completion needs one of {', '.join(ANSWERS)}")
    what, _, shell = words[0].partition("=")
    if what != "query":
        return (INSTALL if what == "install" else UNINSTALL)[shell]
    typed = _typed(os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", ""))
    breaks = os.environ.get("COMP_WORDBREAKS", "") if shell == "bash" else ""
    return "".join(f"{word}\n" for word in offers(typed, commands, breaks))


def offers(typed: Sequence[str], commands: Sequence[str], breaks: str = "") -> list[str]:
    """Return what could replace the last word.

    Args:
        typed: The words up to the cursor, without the name of the program; the last one may be empty.
        commands: All commands.
        breaks: At these characters bash divides a word, and replaces its last part only.
    """
    *before, word = typed or [""]
    start = 1 + max((word.rfind(character) for character in breaks), default=-1)
    fitting = {text for text in _candidates(before, word, commands) if text.startswith(word)}
    flags = [text[start:] for text in fitting if text in FLAGS]
    return sorted(flags + [text[start:] for text in fitting if PLAIN.fullmatch(text) and PLAIN.fullmatch(text, start)])


def _typed(line: str, point: str) -> list[str]:
    """Return the words of a line up to the cursor, without the first one; the last one may be empty."""
    end = int(point) if point.isascii() and point.isdecimal() and len(point) < 10 else len(line)
    return re.split(r"[ \t\n]+", line[:end][-LONGEST_LINE:].lstrip())[1:]


def _candidates(before: Sequence[str], word: str, commands: Sequence[str]) -> Iterator[str]:
    """Yield all that fits in this place, whatever has been typed of it."""
    command = before[0] if before and before[0] in commands else "train"
    if not before:
        yield from commands
    if word.startswith("-"):
        yield from FLAGS
        return
    members = _members()
    if command == "list":
        names = [name for name in before[1:] if "=" not in name]
        yield from members if not names else members.get(names[0], ()) if len(names) == 1 else ()
    elif command in OF_RUNS:
        yield from _runs(Path("runs"))
    key, equals, _ = word.partition("=")
    if equals:
        yield from (f"{key}={value}" for value in _values(key, before, members))
    elif command not in ("list", "runs", "sweeps", "compare"):
        yield from (f"{group}=" for group in members)
        yield from (f"{key}=" for key in _settings(before, members))


def _members() -> Members:
    try:
        return options(overlays())
    except (ConfigError, OSError):
        return options([])


def _runs(root: Path) -> Iterator[str]:
    """Yield the names of the directories in a directory."""
    try:
        with os.scandir(root) as entries:
            yield from [entry.name for entry in islice(entries, MOST_RUNS) if entry.is_dir()]
    except OSError:
        return


def _values(key: str, before: Sequence[str], members: Members) -> Iterator[str]:
    """Yield the members of a group, or the words that a setting allows."""
    if key in members:
        yield from members[key]
        return
    for value in _words(_settings(before, members).get(key)):
        yield "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _words(annotation: Any) -> Iterator[Any]:
    """Yield the single values that an annotation allows.

    >>> list(_words(Literal["a", "b"] | bool | float))
    ['a', 'b', True, False]
    """
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif annotation is bool:
        yield from (True, False)
    else:
        for option in get_args(annotation):
            yield from _words(option)


def _settings(before: Sequence[str], members: Members) -> dict[str, Any]:
    """Return the settings of the run, and of the members that are selected, with their annotations."""
    found = dict(config.knobs())
    for section, cls in config.SECTIONS.items():
        found |= {f"{section}.{key}": annotation for key, annotation in config.knobs(cls).items()}
    for group, name in _selected(before):
        prefix = f"{group}.{name}" if group in component.ADDITIVE else group
        if path := members.get(group, {}).get(name):
            found |= {f"{prefix}.{key}": annotation for key, annotation in _parameters(group, path).items()}
    return found


def _selected(before: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each selected member with its group, by default that of the default run."""
    selected: dict[str, object] = {}
    for entry in read_tree(home("conf") / "train.yaml").get("defaults", []):
        selected |= entry if isinstance(entry, dict) else {}
    selected |= {group: names for group, equals, names in (word.partition("=") for word in before) if equals}
    for group in component.GROUPS:
        names = selected.get(group)
        for name in (
            names.strip("[]").split(",") if isinstance(names, str) else names if isinstance(names, list) else ()
        ):
            yield group, str(name)


def _parameters(group: str, path: Path) -> Mapping[str, Any]:
    """Return a member's settings with their annotations, or with None if the component is not one of ours."""
    try:
        tree = read_tree(path)
        settings: dict[str, Any] = (
            {str(key): None for key in tree if key not in ("name", "defaults")} if isinstance(tree, dict) else {}
        )
        code = component.source(group, str(tree.get("name")) if isinstance(tree, dict) else "")
        return settings | dict(component.signature(code).parameters if code else {})
    except ConfigError:
        return {}
