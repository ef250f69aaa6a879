"""What a sweep's directory may not decide by itself, because it may come from anybody. Imports no torch.

A sweep is continued with the words in its `sweep.json`. Whoever sends the directory writes these words, so the user
names again whatever makes trainctl execute something or contact a machine: the packages of components, however a word or
a file sets them, the database, and the lines that a shell executes in Slurm jobs.
"""

import shlex
from collections.abc import Sequence

from trainctl.errors import ConfigError
from trainctl.settings.space import key_of
from trainctl.settings.space_words import packages_of

EXECUTED = ("sweep.slurm_options", "sweep.slurm_setup")
NAMED_AGAIN = ("components", "sweep.storage", "sweep.slurm", *EXECUTED)


def kept(before: Sequence[str], words: Sequence[str], packages: Sequence[str], name: str) -> list[str]:
    """Return the words of a sweep that count when it is continued, without those that are typed anew.

    Args:
        before: The words in its directory.
        words: Those of this command.
        packages: The packages that this command names.
        name: The sweep, for messages.

    Raises:
        ConfigError: If packages are not named again, or new Slurm jobs are wanted without what they execute.
    """
    require(packages_of(before), packages, name)
    typed = {key_of(word) for word in words}
    executed = [word for word in before if key_of(word) in EXECUTED and key_of(word) not in typed]
    if "sweep.slurm" in typed and executed:
        raise ConfigError(f"{name}: its jobs execute only what you name; repeat or change: {shlex.join(executed)}")
    own = [f"components=[{','.join(packages)}]"] if packages else []
    return [*(word for word in before if key_of(word) not in {*typed, *NAMED_AGAIN}), *own]


def require(used: Sequence[str], packages: Sequence[str], name: str) -> None:
    """Check that the packages of a sweep's components were named, wherever they are set.

    Raises:
        ConfigError: If one was not.
    """
    if missing := [package for package in used if package not in packages]:
        raise ConfigError(f"{name}: name the packages of your components again, with components=[{','.join(missing)}]")
