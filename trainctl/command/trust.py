"""Trust the project of the current directory to decide what is executed and contacted.

    trainctl trust [FILE] [yes=true|false]

FILE is a trainctl.yaml or pyproject.toml; without it, that of the project around the current directory. A project may
name packages of components (components: [my_package]), which are code. Because a directory may come from anywhere,
they are not imported until you have said once that you trust it. The same holds for settings that contact a server or
run lines of a shell (sweep.storage, sweep.slurm and its lines, logger.mlflow.uri, logger.wandb.mode=online). The
packages and these settings are remembered with the path of the file, in your own configuration directory; if the file
names others later, it must be trusted again. yes=false takes the trust back.

    trainctl trust
    trainctl trust ~/project/trainctl.yaml
    trainctl trust yes=false
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, option_values
from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_directory
from trainctl.report import table
from trainctl.settings import project, project_file, project_root, trust_store
from trainctl.store import directories, files
from trainctl.wording import shell_words

OPTIONS = {"yes": "true"}


def main(argv: Sequence[str]) -> int:
    """Remember that a project is trusted, or forget it; return the exit code.

    Raises:
        ConfigError: If there is no project, or its file is not valid.
    """
    parsed = arguments.parse(argv, OPTIONS, most_names=1)
    yes = option_values.choice("yes", parsed.options["yes"], ("true", "false")) == "true"
    path = _file(parsed.names[0]) if parsed.names else project_root.nearest()
    if path is None:
        raise ConfigError(
            f"{Path.cwd()}: no {project_root.YAML}, and no pyproject.toml with [tool.trainctl], in this project"
        )
    found = project_file.read(path)
    powers = list(project.powers(found, found.settings)) if yes else []
    directories.ensure_directory(trust_store.store().parent, mode=0o700)
    files.write_bytes(trust_store.store(), trust_store.with_entry(path, powers if yes else None))
    names, shown = ", ".join(name for name in powers if "=" not in name), project_file.shown(path)
    settings = shell_words(word for word in powers if "=" in word)
    if not yes:
        table.line(f"{shown}: no longer trusted")
    elif names:
        table.line(f"{shown}: trusted; its packages are imported from now on: {names}")
    else:
        table.line(f"{shown}: trusted; it names no packages")
    if yes and settings:
        table.line(f"{shown}: these settings take effect from now on: {settings}")
    return 0


def _file(name: str) -> Path:
    """Return the file that is meant by a word.

    Raises:
        ConfigError: If it has no settings of a project.
    """
    path = Path(name).absolute()
    places = [path / project_root.YAML, path / project_root.TOML] if is_directory(path) else [path]
    found = [place for place in places if place.name in project_root.NAMES and project_root.is_ours(place)]
    if not found:
        raise ConfigError(f"{name}: expected a trainctl.yaml, or a pyproject.toml with [tool.trainctl]")
    return found[0]
