"""The only file that knows Hydra: search path, composition, strict overrides, "did you mean".

Group choices (`optimizer=adam`) are composed by Hydra; settings (`optimizer.lr=0.1`) are then laid on top
here, so that a key that does not exist is an error however it is spelt (`+key`, `++key`), and so that the
points of a sweep share one composition per choice of groups.
"""

import copy
import itertools
import logging
import math
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import NotText, check, read_text, read_tree
from trainctl.settings import component, config, spelling
from trainctl.settings.config import Tree
from trainctl.settings.members import Members, explain, hidden, home, options, overlays
from trainctl.settings.spelling import nearest

MOST_POINTS = 10_000
OF_HYDRA = "sets Hydra's own settings, which are fixed, as they name what Hydra calls"


class Overlays(SearchPathPlugin):
    """Puts the user's directories on Hydra's search path, after ours."""

    directories: Sequence[Path] = ()

    def manipulate_search_path(self, search_path: Any) -> None:
        """Append each directory; Hydra calls this when it builds its search path."""
        for directory in self.directories:
            search_path.append(provider="user", path=f"file://{directory}")


@cache
def _register() -> None:
    """Tell Hydra about our recipes; once per process, as reading them takes a third of a composition."""
    for path in sorted(home("recipes").glob("*.yaml")):
        node = _read(path)
        ConfigStore.instance().store(name=path.stem, node=node, group="recipe", package="_global_", provider="trainctl")


def _search(directories: Sequence[Path]) -> None:
    """Tell Hydra about the user's directories."""
    Plugins.instance().register(Overlays)  # a second time is none
    Overlays.directories = directories


def _read(path: Path) -> Any:
    try:
        read_tree(path)
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (yaml.YAMLError, OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(_unreadable(error, path)) from error


def _refuse_bombs(directories: Iterable[Path]) -> None:
    """Check the size of all of the user's files before Hydra, which has no limits, reads any of them.

    Also of those that are not chosen, because a chosen one may name others in its `defaults`.

    Raises:
        ConfigError: If one would take too much time or memory.
    """
    for path in (path for folder in directories for path in sorted(folder.rglob("*.yaml"))):
        try:
            check(read_text(path))
        except (yaml.YAMLError, OSError, NotText):
            continue  # told if it is chosen
        except ValueError as error:
            raise ConfigError(_unreadable(error, path)) from error


def _of_hydra(path: Path) -> bool:
    """Say whether a file sets what Hydra itself would load or call: a key `hydra`, or `# @package hydra.callbacks`."""
    try:
        text, tree = read_text(path), read_tree(path)
    except (yaml.YAMLError, OSError, ValueError):
        return False  # told when it is composed
    return (isinstance(tree, dict) and "hydra" in tree) or re.search(
        r"^#\s*@package\s+hydra", text, re.MULTILINE
    ) is not None


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Tree:
    """Return the checked configuration of one run, resolved to plain values.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    directories = overlays(config_dir)
    return _trees(_parse(overrides), [[*overrides]], directories, sweep=False)[0]


def compose_points(overrides: Sequence[str], config_dir: str | None = None) -> list[tuple[list[str], Tree]]:
    """Return every point of a sweep, in order: its swept overrides, and its checked configuration.

    Raises:
        ConfigError: With one line for each thing that is wrong at any point.
    """
    directories = overlays(config_dir)
    parsed = _parse(overrides)
    members = options(directories)
    _limit_points(math.prod(map(_length, parsed)))
    axes = [list(_values(override, members)) for override in parsed]
    _limit_points(math.prod(map(len, axes)))
    points = [list(point) for point in itertools.product(*axes)]
    swept = [index for index, override in enumerate(parsed) if override.is_sweep_override()]
    trees = _trees(parsed, points, directories, sweep=True)
    return [([point[index] for index in swept], tree) for point, tree in zip(points, trees, strict=True)]


def _limit_points(count: float) -> None:
    if count > MOST_POINTS:
        raise ConfigError(f"this sweep has {count:.0f} points; at most {MOST_POINTS} are run in one go")


def _length(override: Override) -> float:
    """Return how many values a range has, without going through them; 1 for all else."""
    value: Any = override.value() if override.is_sweep_override() else None
    if not isinstance(value, RangeSweep):
        return 1
    ends = (value.start or 0, value.stop or 0, value.step)
    if not value.step or not all(map(math.isfinite, ends)):
        raise ConfigError(
            f"{override.input_line}: has no end; a range is range(first,end,step), with a step that is not 0"
        )
    return max(0.0, math.ceil((ends[1] - ends[0]) / ends[2]))


def _values(override: Override, members: Members) -> Iterator[str]:
    """Yield an override once for each of its values, as the command line would spell it."""
    if not override.is_sweep_override():
        yield str(override.input_line)
        return
    key = override.key_or_group
    value: Any = override.value()
    try:
        found = (
            value.filter(list(members.get(key, ()))) if isinstance(value, Glob) else override.sweep_string_iterator()
        )
        texts = [str(text) for text in found]
    except HydraException as error:
        raise ConfigError(f"{override.input_line}: not a list of values: {_one_line(error)}") from error
    if not texts:
        raise ConfigError(f"{override.input_line}: matches nothing{nearest('', members.get(key, ()))}")
    yield from (f"{key}={text}" for text in texts)


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser, parsed, found = OverridesParser.create(), [], []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(text))
        except (OverrideParseException, HydraException, ValueError) as error:
            found.append(f"{text}: {spelling.misspelt(text, str(error))}")
    if found:
        raise ConfigError("\n".join(found))
    return parsed


def _trees(parsed: list[Override], points: list[list[str]], directories: list[Path], *, sweep: bool) -> list[Tree]:
    """Check every override, then every composed point, and only then return the trees."""
    members = options(directories)
    found = [*hidden(directories), *(line for override in parsed for line in _misused(override, members, sweep))]
    trees: list[Tree] = []
    if not found:
        typed = {override.key_or_group: str(override.input_line) for override in parsed}
        for point in points:
            tree, wrong = _tree(_parse(point) if sweep else parsed, typed, members, directories)
            found += wrong
            trees.append(tree)
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))
    return trees


def _misused(override: Override, members: Members, sweep: bool) -> Iterator[str]:
    """Yield what is wrong with an override by itself, before anything is composed."""
    line, key = str(override.input_line), override.key_or_group
    if override.is_delete():
        group = key.partition(".")[0]
        yield f"{line}: nothing can be deleted" + (f"; use {group}=none" if "none" in members.get(group, ()) else "")
    elif key == "hydra" or key.startswith(("hydra.", "hydra/")):
        yield f"{line}: Hydra's own settings are fixed; a run's directory goes below output.root"
    elif override.package is not None:
        yield f"{line}: packages cannot be changed; use {key}=..."
    elif override.is_sweep_override() and not sweep:
        yield f"{line}: several values make a sweep: trainctl -m {line}"
    elif key in members:
        yield from _unknown_members(override, members[key])


def _unknown_members(override: Override, known: dict[str, Path]) -> Iterator[str]:
    """Yield a line for each value of a group's override that is not one of its members."""
    group = override.key_or_group
    value: Any = override.value()
    if isinstance(value, Glob):
        return
    for text in override.sweep_string_iterator() if override.is_sweep_override() else [value]:
        names = (
            text if isinstance(text, list) else str(text).strip("[]").split(",") if isinstance(text, str) else [text]
        )
        if isinstance(text, dict) or (isinstance(text, list) and group not in component.ADDITIVE):
            amount = "a list of members" if group in component.ADDITIVE else "one member"
            yield f"{group}={spelling.spell(text)}: takes {amount}{nearest('', known)}"
            continue
        for name in names:
            if name is None and not isinstance(text, list) and ("none" in known or group == "recipe"):
                continue
            if name is None:
                yield f"{group}=null: a run needs one{nearest('', known)}"
            elif name not in known:
                yield f"{group}={spelling.spell(name)}: no such {group}{nearest(str(name), known)}"


def _tree(
    parsed: list[Override], typed: dict[str, str], members: Members, directories: list[Path]
) -> tuple[Tree, list[str]]:
    """Compose one point; return its tree and everything that is wrong with it, in terms of what was typed."""
    chosen = [override for override in parsed if override.key_or_group in members]
    composed = _compose_groups(tuple(map(_choice, chosen)), tuple(directories)).copy()
    found = []
    for override in parsed:
        if override not in chosen:
            found += _lay(composed, override, typed[override.key_or_group], members)
    if found:
        return {}, found
    _lone_budget(composed, typed)
    try:
        tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        reason = (
            str(error).partition("\n")[0].removeprefix("KeyError raised while resolving interpolation: ").strip('"')
        )
        return {}, [f"{error.full_key}: {reason}" if error.full_key else reason]
    assert isinstance(tree, dict)
    plain: Tree = {str(key): value for key, value in tree.items()}
    return plain, config.problems(plain)


def _lone_budget(tree: DictConfig | Tree, typed: Iterable[str]) -> None:
    """Lift `loop.epochs` if another budget was typed and it was not: who asks for 60 s wants 60 s."""
    budgets = [key for key in ("max_steps", "max_time") if f"loop.{key}" in typed]
    if "loop.epochs" not in typed and any(tree["loop"].get(key) is not None for key in budgets):
        tree["loop"]["epochs"] = None


def _choice(override: Override) -> str:
    value = override.value()
    if value in (None, []) and override.key_or_group == "recipe":
        return ""
    if value in (None, []):
        return f"{override.key_or_group}=none"
    return f"{override.key_or_group}={override.get_value_element_as_str()}"


def _lay(composed: DictConfig, override: Override, typed: str, members: Members) -> list[str]:
    """Set one key of a composed configuration; return what is wrong with that, if anything."""
    key = override.key_or_group
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(composed, parent, throw_on_resolution_failure=False) if parent else composed
    if leaf == "name" and parent.partition(".")[0] in members:
        return [f"{typed}: choose a member of the group with {parent.partition('.')[0]}={override.value()}"]
    if isinstance(node, DictConfig) and isinstance(node.get(leaf), DictConfig):
        return [f"{typed}: has settings of its own: {', '.join(f'{key}.{name}' for name in node[leaf])}"]
    if not isinstance(node, DictConfig) or leaf not in node:
        group = composed.get(key.partition(".")[0])
        chosen = (group.get("name") or ", ".join(group)) if isinstance(group, DictConfig) else ""
        return [explain(key, typed, members, chosen)]
    OmegaConf.update(composed, key, override.value(), merge=False)
    return []


@cache
def _compose_groups(choices: tuple[str, ...], directories: tuple[Path, ...]) -> DictConfig:
    """Let Hydra compose the chosen members."""
    _search(directories)
    if directories or any(choice.startswith("recipe=") for choice in choices):
        _register()
    _refuse_bombs(directories)
    files = options(directories)
    for group, _, name in (choice.partition("=") for choice in choices):
        for path in filter(None, map(files.get(group, {}).get, name.strip("[]").split(","))):
            if path.is_relative_to(home("conf")) or path.is_relative_to(home("recipes")) or not _of_hydra(path):
                continue
            raise ConfigError(f"{path}: {OF_HYDRA}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Hydra 1.4 deprecates version_base, which 1.3 needs
            with hydra.initialize_config_dir(str(home("conf")), job_name="trainctl", version_base="1.3"):
                composed = hydra.compose(
                    "train", overrides=[choice for choice in choices if choice], return_hydra_config=True
                )
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        for group, _, name in (choice.partition("=") for choice in choices):
            if chosen := files[group].get(name):
                _read(chosen)  # says which of the chosen files it is
        raise ConfigError(_unreadable(error)) from error
    OmegaConf.set_struct(composed, False)
    settings = composed.pop("hydra")
    if directories and _without_what_varies(settings) != _hydras_own():
        raise ConfigError(f"{' '.join(choices)}: {OF_HYDRA}; a file in {directories[0]} does so by its `defaults`")
    return composed


@cache
def _hydras_own() -> Tree:
    """Return Hydra's own settings as they are without any file of the user's."""
    _search(())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with hydra.initialize_config_dir(str(home("conf")), job_name="trainctl", version_base="1.3"):
            return _without_what_varies(hydra.compose("train", return_hydra_config=True).hydra)


def _without_what_varies(settings: DictConfig) -> Tree:
    """Return Hydra's settings without those that tell what was chosen."""
    plain = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in ("overrides", "job", "runtime")}


def _unreadable(error: Exception, path: Path | None = None) -> str:
    """Say in one line which file is wrong, where, and how."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"{path or mark.name}, line {mark.line + 1}: not valid YAML: {error.problem}"
    if isinstance(error, OSError) and error.strerror:
        return f"{path or error.filename}: cannot be read: {error.strerror}"
    return f"{path}: {_one_line(error)}" if path else _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def completed(tree: Tree) -> Tree:
    """Return a saved configuration with what an older version did not know yet, at the defaults of our YAML.

    Groups, sections and keys of chosen members are filled in; nothing that is there is touched, so what is unknown to
    this version stays unknown. Settings get the names that they have now.
    """
    tree = config.with_new_names(tree)
    chosen = {
        group: f"[{','.join(map(str, given))}]" if group in component.ADDITIVE else str(given.get("name"))
        for group in component.GROUPS
        if isinstance(given := tree.get(group), dict) and given
    }
    words = tuple(f"{group}={names}" for group, names in chosen.items())
    try:
        composed = _compose_groups(words, tuple(overlays()))
    except ConfigError:
        return tree  # what is wrong with it is said when it is checked
    composed = composed.copy()
    OmegaConf.update(composed, "monitor", tree.get("monitor", composed.monitor))  # what others follow
    defaults = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(defaults, dict)
    return _filled(tree, {str(key): value for key, value in defaults.items() if key != "hydra"})


def _filled(given: Tree, defaults: Tree) -> Tree:
    """Return a tree with the keys that only the defaults have; members that were not chosen are not among those."""
    deeper = {
        key: _filled(value, defaults[key])
        for key, value in given.items()
        if isinstance(value, dict)
        and isinstance(defaults.get(key), dict)
        and value.get("name") == defaults[key].get("name")
    }
    return defaults | given | deeper


def show(argv: Sequence[str], config_dir: str | None = None) -> int:
    """Answer Hydra's own informational flags: --hydra-help, --cfg, --info, --shell-completion; return an exit code."""
    _register()
    _search(overlays(config_dir))
    logging.raiseExceptions = False  # Hydra logs what it shows; `| head` is no error
    before, sys.argv = sys.argv, ["trainctl", *(word.lstrip("+") for word in argv)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hydra.main(config_path=str(home("conf")), config_name="train", version_base="1.3")(_run)()
    except SystemExit as error:
        return 0 if not error.code else 2
    finally:
        sys.argv = before
    return 0


def _run(_: DictConfig) -> None:
    raise AssertionError("only Hydra's informational flags come here")


def change(tree: Tree, overrides: Sequence[str], allowed: Sequence[str]) -> Tree:
    """Return the configuration of an existing run with some settings changed; the result is yet to be checked.

    Args:
        tree: The run's configuration; left as it is.
        overrides: ``key=value`` words.
        allowed: Keys that may change; ``early_stopping.`` allows all below it.

    Raises:
        ConfigError: If another key is given, or one that does not exist.
    """
    changed, found = copy.deepcopy(tree), []
    keys = [key for key in config.leaves(tree) if config.among(key, allowed)]
    parsed = _parse(overrides)
    for override in parsed:
        key = override.key_or_group
        if key not in keys:
            known = key in config.leaves(tree) or key in component.GROUPS
            reason = "cannot change in an existing run; start a new one" if known else "no such setting"
            found.append(f"{override.input_line}: {reason}{config.renamed(key) or nearest(key, sorted(keys))}")
        elif override.is_sweep_override() or override.is_delete():
            found.append(f"{override.input_line}: give one value")
        else:
            *path, leaf = key.split(".")
            reduce(getitem, path, changed)[leaf] = _plain(override)
    if found:
        raise ConfigError("\n".join(found))
    if isinstance(changed.get("loop"), dict):
        _lone_budget(changed, [override.key_or_group for override in parsed])
    return changed


def _plain(override: Override) -> Any:
    """Return an override's value, its interpolations resolved."""
    try:
        node = OmegaConf.create({"value": override.value()})
        return OmegaConf.to_container(node, resolve=True)["value"]  # type: ignore[index, call-overload]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{override.input_line}: {_one_line(error)}") from error
