"""Put the defaults of a project under the words of the command line: what was typed wins, and what applies is said.

Imports Hydra only to compose, and no torch.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, project_file, written
from trainctl.settings.members import options, overlays, usual
from trainctl.settings.project_file import OF_SWEEPS, Project, Setting
from trainctl.wording import shell_words

if TYPE_CHECKING:
    from trainctl.settings.config import Config


@dataclass(frozen=True)
class Layered:
    """The words of the command line on top of a project's defaults.

    Args:
        words: All of them, the project's first.
        project: The project; None without.
        applied: Those of its settings that apply.
    """

    words: list[str]
    project: Project | None = None
    applied: tuple[Setting, ...] = ()

    @property
    def summary(self) -> str:
        """Return which settings come from which file; empty if none do."""
        if not (self.project and self.applied):
            return ""
        return f"{self.project.path.name}: {shell_words(setting.word for setting in self.applied)}"

    @contextmanager
    def located(self) -> Iterator[None]:
        """Put file and line in front of an error about a setting of the project."""
        try:
            yield
        except ConfigError as error:
            raise type(error)(*map(self._located, error.lines)) from error

    def _located(self, line: str) -> str:
        for setting in self.applied:
            if line.startswith((setting.word, f"{setting.key}=", f"{setting.key}:", f"{setting.key} ")):
                assert self.project
                return f"{project_file.shown(self.project.path)}, line {setting.line}: {line}"
        return line


def layered(typed: Sequence[str], config_dir: str | None = None, *, multirun: bool = False) -> Layered:
    """Return typed words on top of the defaults of the project around the current directory.

    Args:
        typed: The words of the command line.
        config_dir: The user's directory of configuration files.
        multirun: Whether the words are those of a sweep; the project's settings of sweeps count there only.

    Raises:
        ConfigError: If the project's file is not valid, or names packages and is not trusted.
    """
    project = project_file.current()
    if project is None:
        return Layered(list(typed))
    settings = [Setting(f"components=[{','.join(project.packages)}]", project.line)] if project.packages else []
    settings += [each for each in project.settings if multirun or each.key.partition(".")[0] != OF_SWEEPS]
    over = [*_of_recipes(typed, config_dir), *typed]
    kept = set(written.without_typed([each.word for each in settings], over, usual()))
    applied = tuple(each for each in settings if each.word in kept)
    _require_trust(project, applied, {written.key_of(word) for word in over}, config_dir)
    return Layered([*(each.word for each in applied), *typed], project, applied)


def powers(project: Project, settings: Sequence[Setting], config_dir: str | None = None) -> dict[str, Setting]:
    """Return what the user has to trust: packages, and words that execute or contact something, with the settings at fault."""
    from trainctl.settings.brought import brought  # composes

    found = {name: Setting(f"components=[{','.join(project.packages)}]", project.line) for name in project.packages}
    found |= {each.word: each for each in settings if each.is_power}
    return found | {name: setting for name, setting in brought(settings, config_dir).items() if name not in found}


def _require_trust(
    project: Project, applied: Sequence[Setting], typed: Collection[str], config_dir: str | None = None
) -> None:
    """Check that the user has trusted what applies of a project's file, and that its packages are its own.

    Raises:
        ConfigError: If not.
    """
    wrong: dict[str, None] = {}
    for name, setting in powers(project, applied, config_dir).items():
        key = written.key_of(name) if "=" in name else "components"
        if key in typed:  # takes its place
            continue
        where = f"{project_file.shown(project.path)}, line {setting.line}"
        if not project.is_trusted([name]):
            wrong[f"{where}: {_untrusted(name, setting)}"] = None
        elif key == "components" and not component.is_of_project(name, project.root):
            wrong[f"{where}: components=[{name}]: no such package, neither installed nor in {project.root}"] = None
    if wrong:
        raise ConfigError(*wrong)


def _untrusted(name: str, setting: Setting) -> str:
    """Return why something of a project does not count, and what to do."""
    if "=" not in name:
        brings = "" if setting.key == "components" else f"brings components=[{name}], which "
        return (
            f"{setting.word}: {brings}is this project's code, which you have not trusted; to allow it, run `trainctl trust`; to"
            " train without it, add components=[]"
        )
    brings = "" if name == setting.word else f"{setting.word}: brings "
    return (
        f"{brings}{name}: a file may not decide what is executed or contacted, unless you trust it; to allow it, run `trainctl"
        f" trust`, or type {written.key_of(name)}=... yourself"
    )


def composed(typed: Sequence[str], config_dir: str | None = None) -> "tuple[Config, Layered]":
    """Return the checked configuration of typed words on top of the project's defaults.

    Raises:
        ConfigError: With one line for each thing that is wrong, and where the project's file is at fault.
    """
    from trainctl.settings import compose

    words = layered(typed, config_dir)
    with words.located():
        return compose.compose(words.words, config_dir), words


def packages() -> tuple[str, ...]:
    """Return the packages that the project around the current directory names, if it is trusted."""
    project = project_file.current()
    if not (project and project.is_trusted(project.packages)):
        return ()
    return tuple(name for name in project.packages if name not in _missing(project))


def _missing(project: Project) -> list[str]:
    """Return the packages of a project that are neither installed nor at its root: those of other places are not its own."""
    return [name for name in project.packages if not component.is_of_project(name, project.root)]


def _of_recipes(typed: Sequence[str], config_dir: str | None) -> list[str]:
    """Return the words for the recipes that were typed: they win over the project, too."""
    names = [word.partition("=")[2] for word in typed if written.key_of(word) == "recipe"]
    if not names:
        return []
    files, found, seen = options(overlays(config_dir))["recipe"], [], set()
    waiting = names[-1].strip("[]").split(",")
    while waiting:
        if (name := waiting.pop()) in seen or name not in files:
            continue  # a recipe that does not exist is reported by the composition
        seen.add(name)
        tree = read_tree(files[name])
        if isinstance(tree, dict):
            try:
                words = written.words_of_recipe(tree, str(files[name]))
            except ConfigError:
                continue  # likewise
            found += words
            waiting += [word.partition("=")[2] for word in words if written.key_of(word) == "recipe"]
    return found
