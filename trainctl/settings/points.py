"""The points of a sweep: composed, checked, and equal ones only once. Imports no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.settings.compose import compose_point, with_members
from trainctl.settings.config import Config
from trainctl.settings.members import Members, options, overlays
from trainctl.settings.overrides import parse
from trainctl.settings.space import MOST_POINTS, Space, Words, key_of, keys_of
from trainctl.settings.space_words import read_space
from trainctl.settings.sweep import Sweep, separate
from trainctl.settings.template import Template, has_simple_values, identity_of
from trainctl.settings.user_files import hidden

ONLY_OF_A_SWEEP = "sweep.* settings and sweep=... need -m"


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Args:
        words: In which it differs from the others, without those that do not apply to it.
        config: The configuration of its first repetition, checked.
        identity: What two points have in common only if they are the same.
    """

    words: Words
    config: Config
    identity: str

    def repeated(self, replicate: Words) -> Config:
        """Return the configuration of a repetition; its seeds have been checked."""
        seeds = {key_of(word): int(word.partition("=")[2]) for word in replicate}
        config, tree = self.config, self.config.tree
        if "seed" in seeds:
            config, tree = replace(config, seed=seeds["seed"]), tree | {"seed": seeds["seed"]}
        if "split.seed" in seeds:
            config = replace(config, split=replace(config.split, seed=seeds["split.seed"]))
            tree = tree | {"split": tree["split"] | {"seed": seeds["split.seed"]}}
        return replace(config, tree=tree)


@dataclass
class Composer:
    """Composes points of one space, and remembers which of the words ever applied.

    Args:
        space: The space.
        directories: The user's directories of configuration files.
        members: The members of all groups.
        typed: What was typed for each swept key, for messages.
        used: The keys of the words that applied to at least one point.
    """

    space: Space
    directories: list[Path]
    members: Members
    typed: dict[str, str]
    used: set[str] = field(default_factory=set)
    _composed: dict[tuple[Words, Words], Point] = field(default_factory=dict)
    _templates: dict[Words, Template | None] = field(default_factory=dict)

    def compose(self, words: Words, replicate: Words = ()) -> Point:
        """Return a point, checked once however often it is needed.

        Raises:
            ConfigError: With one line for each thing that is wrong.
        """
        if point := self._composed.get((words, replicate)):
            return point
        keyed = [(key_of(word), word) for word in (*words, *replicate)]
        shape = tuple(word if key in self.members or key == "components" else key for key, word in keyed)
        template = self._templates.get(shape)
        derived = template.derive(keyed) if template is not None else None
        if template is None or derived is None:
            config, unused = self._in_full((*self.space.fixed, *words, *replicate))
            identity = identity_of(config)
            if shape not in self._templates:
                self._templates[shape] = self._template(keyed, config, unused)
        else:
            (config, identity), unused = derived, template.unused
        point = Point(tuple(word for word in words if key_of(word) not in unused), config, identity)
        if len(self._composed) < MOST_POINTS:
            self._composed[words, replicate] = self._composed[point.words, replicate] = point
        return point

    def _in_full(self, words: Words) -> tuple[Config, frozenset[str]]:
        """Compose and check a point; return its configuration, and the keys that do not apply to it."""
        typed = {key_of(word): word for word in words} | self.typed
        config, unused = compose_point(words, typed, self.members, self.directories, self.groups)
        self.used |= {key_of(word) for word in words} - set(unused)
        return config, frozenset(unused)

    def _template(self, keyed: Sequence[tuple[str, str]], config: Config, unused: frozenset[str]) -> Template | None:
        """Return the template for points with the same members and keys; None if they have to be composed in full."""
        words = (*self.space.fixed, *(word for _, word in keyed))
        choices = [word for word in parse(words) if word.key_or_group in self.members]
        composed, _ = with_members(choices, self.directories)
        if not has_simple_values(words, [key for key, _ in keyed], composed):
            return None
        return Template(config, dict(keyed), unused, self.members)

    @property
    def groups(self) -> frozenset[str]:
        """Return the groups whose member varies."""
        return frozenset(key for key in self.space.swept if "." not in key)

    def never_used(self) -> list[str]:
        """Return a line for each word that applied to no point."""
        keys = dict.fromkeys(
            [*map(key_of, self.space.fixed), *(key for axis in self.space.axes for key in keys_of(axis))]
        )
        return [f"{key}: no such setting at any point of this sweep" for key in keys if key not in self.used]


def read_sweep(words: Sequence[str], config_dir: str | None = None) -> tuple[Sweep, Composer]:
    """Read the words of a sweep.

    Raises:
        ConfigError: With one line for each thing that is wrong with a word by itself.
    """
    settings, about_runs = separate(words)
    directories = overlays(config_dir)
    if wrong := list(hidden(directories)):
        raise ConfigError(*wrong)
    members = options(directories)
    typed = {key_of(word): word for word in about_runs}
    return settings, Composer(read_space(about_runs, settings, members), directories, members, typed)


def distinct_points(composer: Composer, candidates: Iterable[Words]) -> list[Point]:
    """Compose points and return those that differ, in order.

    Raises:
        ConfigError: With one line for each thing that is wrong at any point.
    """
    points: dict[str, Point] = {}
    wrong: dict[str, None] = {}
    first, *others = composer.space.replicates
    for number, words in enumerate(candidates):
        for replicate in (first, *others) if number == 0 else (first,):
            try:
                point = composer.compose(words, replicate)
            except ConfigError as error:
                wrong |= dict.fromkeys(error.lines)
                continue
            if point.config.processes != 1:
                wrong[
                    f"processes={point.config.processes}: a trial of a sweep is trained by one process: add processes=1; train"
                    " several trials at once with sweep.workers"
                ] = None
            if replicate == first:
                points.setdefault(point.identity, point)
    if not wrong:
        wrong = dict.fromkeys(composer.never_used())
    if wrong:
        raise ConfigError(*wrong)
    return list(points.values())


def compose_points(overrides: Sequence[str], config_dir: str | None = None) -> list[tuple[list[str], Config]]:
    """Return the swept overrides and the configuration of each trial of a grid, in order.

    Raises:
        ConfigError: With one line for each thing that is wrong at any point.
    """
    _, composer = read_sweep(overrides, config_dir)
    return [
        ([*point.words, *replicate], point.repeated(replicate))
        for point in distinct_points(composer, composer.space.grid())
        for replicate in composer.space.replicates
    ]
