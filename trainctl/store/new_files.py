"""Write files for a user to edit, never over another file. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path

from trainctl.errors import ConfigError, StorageError
from trainctl.fileformat.place import is_file, open_regular
from trainctl.store import files

DATA = (".csv", ".tar")


def write_new(wanted: Mapping[Path, bytes]) -> list[Path]:
    """Write files that must not exist yet; one of data that has the wanted content already is left as it is.

    Args:
        wanted: The content of each file.

    Returns:
        Those that were written.

    Raises:
        ConfigError: If one exists already; nothing is written then.
        StorageError: If one cannot be written.
    """
    missing = [path for path, content in wanted.items() if not _is_there(path, content)]
    for path in missing:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path.parent}: cannot create directory: {error.strerror}") from error
        if not files.create(path, wanted[path]):
            raise _exists(path)
    return missing


def _is_there(path: Path, content: bytes) -> bool:
    """Return whether a file has a content already.

    Raises:
        ConfigError: If there is something else of that name.
    """
    if not path.exists() and not path.is_symlink():
        return False
    if path.suffix in DATA and is_file(path):
        with open_regular(path, ConfigError) as file:
            if file.read(len(content) + 1) == content:
                return True
    raise _exists(path)


def _exists(path: Path) -> ConfigError:
    return ConfigError(f"{path}: {'directory' if path.is_dir() else 'file'} already exists; nothing is overwritten")
