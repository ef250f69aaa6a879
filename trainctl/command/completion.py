"""What TAB offers in bash, zsh and fish: commands and their options, flags, groups, members, settings and runs. No torch.

The names of files may come from a stranger, and a shell may expand what it is offered. So only plain identifiers are
offered, whatever the files are called, and the scripts hand them to the shell as they are, one on each line. Where
nothing is offered, the shell completes paths, unless the answer is NOTHING: a number is expected there. Nothing here may
take a tenth of a second, so each import is made where it is needed.
"""

import ast
import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from trainctl.errors import ConfigError

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*/?")  # in ASCII; no shell expands any of these characters
FLAGS = ("--help", "--hydra-help", "--version", "--resolve", "--multirun", "--cfg", "--config-dir", "--info")
OF_FLAGS = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
# How many runs a command takes: one, or any number; what follows is a path.
ONE_RUN = (
    "resume", "verify", "reproduce", "evaluate", "predict", "explain", "export", "finetune", "prune", "quantize", "split",
    "lineage", "serve",
)  # fmt: skip
RUNS = ("compare", "report", "distill", "merge", "ensemble", "remove")
# Commands that take files, and after how many names.
FILES = {"": 0, "train": 0, "find-lr": 0, "find-batch-size": 0, "profile": 0, "inspect": 0, "predict": 1, "explain": 1}
# Commands that take the settings of a run. The others have options of their own only.
TAKE_SETTINGS = (
    "train", "resume", "find-lr", "find-batch-size", "profile", "inspect", "evaluate", "predict", "finetune", "distill",
    "prune", "settings", "new", "runs",
)  # fmt: skip
PATHS = ("root", "output")  # options of commands that are paths
NOTHING = "-"  # the answer where nothing fits, no path either
DATA = "data"  # next to the runs: rows that Python passed in memory
MOST_RUNS = 1000  # of which the names are read
LONGEST_LINE = 10_000  # characters

BASH = """\
_trainctl() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        if [[ $word == - ]]; then compopt +o default 2> /dev/null; break; fi
        COMPREPLY+=("$word")
        [[ $word != *[=/] ]] || compopt -o nospace 2> /dev/null
    done < <(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        command trainctl --shell-completion query=bash 2> /dev/null)
}
complete -o default -F _trainctl trainctl
"""
ZSH = """\
_trainctl() {
    local -a found
    found=(${(f)"$(COMP_LINE="${(j: :)words[1,CURRENT]}" command trainctl --shell-completion query=zsh 2> /dev/null)"})
    if [[ $found == - ]]; then return 1
    elif (( ! ${#found} )); then compset -P '*='; _files
    elif [[ $found[1] == "$PREFIX"* ]]; then compadd -S '' -a found
    else
        compadd -U -S '' -a found
        (( ${#found} == 1 )) || compstate[insert]='' compstate[list]='list force'
    fi
}
autoload -Uz compinit
(( ${+functions[compdef]} )) || compinit
compdef _trainctl trainctl
"""
FISH = """\
function __trainctl_complete
    set -lx COMP_LINE (commandline --current-process --cut-at-cursor)
    set -l found (command trainctl --shell-completion query=fish 2> /dev/null)
    if test "$found" = -
        return
    else if set -q found[1]
        printf '%s\\n' $found
    else
        set -l word (commandline --current-token --cut-at-cursor)
        set -l key (string match --regex '^[\\w.]+=' -- $word)
        for path in (__fish_complete_path (string replace -- "$key" "" $word))
            echo "$key$path"
        end
    end
end
complete --command trainctl --no-files --arguments '(__trainctl_complete)'
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
    found = offers(typed, commands, breaks)
    if not found and not expects_path(typed, commands):
        found = [NOTHING]
    return "".join(f"{word}\n" for word in found)


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
    words = [text[start:] for text in fitting if PLAIN.fullmatch(text) and PLAIN.fullmatch(text, start)]
    if fitting or start or not word or not _is_run(before, commands):
        return sorted(flags + words)
    inside = sorted(text for text in _runs() if word in text and PLAIN.fullmatch(text))
    # Bash puts what all words begin with in place of a fragment; one more word that begins differently prevents it.
    return [word, *inside] if breaks and len(inside) > 1 and PLAIN.fullmatch(word) else inside


def expects_path(typed: Sequence[str], commands: Sequence[str]) -> bool:
    """Return whether the last word may be a path, so that the shell may complete it.

    Args:
        typed: The words up to the cursor, without the name of the program.
        commands: All commands.
    """
    *before, word = typed or [""]
    key, equals, _ = word.partition("=")
    command = _command(before, commands)
    if not equals:
        return command not in ("help", "list", "settings") and not word.startswith("-")
    if command and command != "help" and key in (options := _options(command)):
        return key in PATHS and not options[key]
    from trainctl.settings import offered

    return offered.is_path(key, before)


def _typed(line: str, point: str) -> list[str]:
    """Return the words of a line up to the cursor, without the first one; the last one may be empty."""
    end = int(point) if point.isascii() and point.isdecimal() and len(point) < 10 else len(line)
    return re.split(r"[ \t\n]+", line[:end][-LONGEST_LINE:].lstrip())[1:]


def _candidates(before: Sequence[str], word: str, commands: Sequence[str]) -> Iterator[str]:
    """Yield all that fits in this place, whatever has been typed of it."""
    command = _command(before, commands)
    last = before[-1] if before else ""
    if last in ("--config-dir", "-cd"):
        return  # a path
    if last in OF_FLAGS:
        yield from OF_FLAGS[last]
        return
    if word.startswith("-"):
        yield from FLAGS if command in ("", "train") else ("--help",)
        return
    if not before:
        yield from (*commands, "help")
    names = [name for name in before[bool(command) :] if "=" not in name]
    if command:
        yield from _names(command, names, commands)
    key, equals, _ = word.partition("=")
    if word and not equals and len(names) >= FILES.get(command, len(names) + 1):
        yield from _paths(word)
    if command and command != "help":
        options = _options(command)
        if equals and key in options:
            yield from (f"{key}={value}" for value in options[key])
            return
        yield from (f"{name}=" for name in options)
    needs_name = {"new": 2, "settings": 1}.get(command, 0)
    if command in ("", *TAKE_SETTINGS) and len(names) >= needs_name:
        from trainctl.settings import offered

        yield from offered.values(key, before) if equals else offered.keys(word, before)


def _command(before: Sequence[str], commands: Sequence[str]) -> str:
    return before[0] if before and before[0] in (*commands, "help") else ""


def _is_run(before: Sequence[str], commands: Sequence[str]) -> bool:
    """Return whether the next word may be a run."""
    names = [name for name in before[1:] if "=" not in name]
    return (command := _command(before, commands)) in RUNS or (command in ONE_RUN and not names)


def _names(command: str, names: Sequence[str], commands: Sequence[str]) -> Iterator[str]:
    """Yield what may be the next name among a command's arguments."""
    if command == "help":
        yield from commands if not names else ()
    elif command in RUNS or (command in ONE_RUN and not names):
        yield from _runs()
    elif command in ("list", "new", "settings", "init"):
        from trainctl.settings import offered

        if command == "init":
            yield from offered.members("recipe") if not names else ()
        elif command == "settings":
            yield from offered.explained() if not names else ()
        elif not names:
            yield from offered.groups()
        elif command == "list" and len(names) == 1:
            yield from offered.members(names[0])


def _options(command: str) -> dict[str, tuple[str, ...]]:
    """Return a command's own options with the values that they may have, from its source: importing it takes longer."""
    from trainctl.fileformat.source import parse_python

    tree = parse_python(Path(__file__).with_name(f"{command.replace('-', '_')}.py"))
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "OPTIONS"
            and isinstance(node.value, ast.Dict)
        ):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                truth = isinstance(value, ast.Constant) and value.value in ("true", "false")
                found.setdefault(str(getattr(key, "value", "")), ("true", "false") if truth else ())
        elif (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "CHOICES"
            and isinstance(node.value, ast.Dict)
        ):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                found[str(getattr(key, "value", ""))] = _texts(value, tree)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "option_values.choice" and len(node.args) > 2:
            key = node.args[0]
            found |= {str(key.value): _texts(node.args[2], tree)} if isinstance(key, ast.Constant) else {}
    return found


def _texts(node: ast.expr, tree: ast.Module) -> tuple[str, ...]:
    """Return the texts of a tuple in a module, which may have a name there, or in the module that it is imported from."""
    from trainctl.fileformat.source import parse_python

    if isinstance(node, ast.Tuple):
        return tuple(str(item.value) for item in node.elts if isinstance(item, ast.Constant))
    for statement in tree.body if isinstance(node, ast.Name) else ():
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == ast.unparse(node):
            return _texts(statement.value, tree)
        if isinstance(statement, ast.ImportFrom) and any(item.name == ast.unparse(node) for item in statement.names):
            path = Path(__file__).parents[2].joinpath(*(statement.module or "").split(".")).with_suffix(".py")
            return _texts(node, parse_python(path)) if path.is_file() else ()
    return ()


def _runs() -> Iterator[str]:
    """Yield the names of the directories in the directory for runs, and `last`."""
    from trainctl.settings import offered

    yield "last"
    yield from (name for name, is_directory in _directory(offered.root()) if is_directory and name != DATA)


def _paths(word: str) -> Iterator[str]:
    """Yield the files and directories here that begin with a word; none if the shell has to quote one of them."""
    found = [entry for entry in _directory(".") if entry[0].startswith(word)]
    if all(PLAIN.fullmatch(name) for name, _ in found):
        yield from (f"{name}/" if is_directory else name for name, is_directory in found)


def _directory(path: str) -> list[tuple[str, bool]]:
    """Return the names in a directory, and whether each is a directory."""
    try:
        with os.scandir(path) as entries:
            return [(entry.name, entry.is_dir()) for entry in islice(entries, MOST_RUNS)]
    except (OSError, ValueError):
        return []
