"""What the members that a project's file selects bring with them: packages, and settings that execute or contact something.

A recipe or member in a directory from anybody may set `components`, so a file that selects it names the packages in effect.
"""

from collections.abc import Mapping, Sequence

from trainctl.settings import component, config
from trainctl.settings.compose import choice
from trainctl.settings.hydra_tree import compose_members
from trainctl.settings.members import options, overlays
from trainctl.settings.overrides import parse
from trainctl.settings.project_file import Setting, as_power
from trainctl.settings.spelling import spell
from trainctl.settings.user_files import is_ours


def brought(settings: Sequence[Setting], config_dir: str | None = None) -> Mapping[str, Setting]:
    """Return the packages and words that selected files of the user bring, each with the setting that selects them.

    Args:
        settings: Those of a project's file.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If a selected file cannot be read.
    """
    directories = overlays(config_dir)
    members = options(directories)
    found: dict[str, Setting] = {}
    for setting in settings:
        if setting.key not in (*component.GROUPS, "recipe"):
            continue
        files = map(members[setting.key].get, setting.word.partition("=")[2].strip("[]").split(","))
        if all(path is None or is_ours(path) for path in files):
            continue
        tree = compose_members(tuple(map(choice, parse([setting.word]))), tuple(directories))
        packages = tree.get("components")
        names = packages if isinstance(packages, list) else [packages] if packages else []
        words = [f"{key}={spell(value)}" for key, value in config.leaves(tree).items()]
        for name in (*map(str, names), *filter(as_power, words)):
            found.setdefault(name, setting)
    return found
