"""Through this Hydra reads the configuration files of a user: each within our limits, and only those that it needs.

Hydra itself reads any file to its end and follows every alias. A directory of a user may hold thousands of files, or
lead to the whole file system; nothing here lists more than one directory.
"""

import io
from pathlib import Path

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import is_directory, is_file
from trainctl.fileformat.tree import LARGEST, check_size, not_yaml
from trainctl.fileformat.utf8 import read_text
from trainctl.settings.members import home

GROUP = "recipe"


class UserSource(ConfigSource):
    """A directory on Hydra's search path, written as ``user://DIRECTORY``."""

    @staticmethod
    def scheme() -> str:
        """Return the part of the path before ``://``."""
        return "user"

    def available(self) -> bool:
        """Return whether the directory exists."""
        return is_directory(Path(self.path))

    def is_group(self, config_path: str) -> bool:
        """Return whether a path leads to a directory."""
        return is_directory(Path(self.path, config_path))

    def is_config(self, config_path: str) -> bool:
        """Return whether a path leads to a file."""
        return is_file(Path(self.path, self._normalize_file_name(config_path)))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the groups or members in a directory."""
        found: list[str] = []
        with reading(Path(self.path, config_path), ConfigError):
            for path in Path(self.path, config_path).iterdir():
                self._list_add_result(found, str(Path(config_path, path.name)), path.name, results_filter)
        return sorted(set(found))

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file.

        Raises:
            ConfigError: If it cannot be read, exceeds a limit, or is not valid.
        """
        path = Path(self.path, self._normalize_file_name(config_path))
        text = read_text(path, ConfigError, largest=LARGEST)
        check_size(text, path)
        with reading(path, ConfigError, explain=lambda error: not_yaml(error, path)):
            return ConfigResult(
                config=OmegaConf.load(io.StringIO(text)),
                path=f"{self.scheme()}://{self.path}",
                provider=self.provider,
                header=self._get_header_dict(text[:512]),
            )


class RecipeSource(UserSource):
    """A directory `recipes` of the user on Hydra's search path, written as ``recipes://DIRECTORY``: its files are recipes."""

    @staticmethod
    def scheme() -> str:
        """Return the part of the path before ``://``."""
        return "recipes"

    def is_group(self, config_path: str) -> bool:
        """Return whether a path is that of the group of recipes."""
        return config_path in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Return whether a path leads to a recipe."""
        return self._inside(config_path) is not None and is_file(Path(self.path, str(self._inside(config_path))))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the recipes; a file in a directory below is none."""
        names = super().list("", ObjectType.CONFIG) if config_path == GROUP else []
        return [name for name in names if self._inside(f"{GROUP}/{name}")]

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a recipe.

        Raises:
            ConfigError: If it cannot be read, exceeds a limit, or is not valid.
        """
        return super().load_config(str(self._inside(config_path)))

    def _inside(self, config_path: str) -> str | None:
        """Return the name of a recipe's file; None if the path is not one of a recipe."""
        group, slash, name = self._normalize_file_name(config_path).partition("/")
        is_ours = (home("recipes") / name).is_file()  # which are registered with Hydra in another way
        return name if slash and group == GROUP and "/" not in name and not is_ours else None
