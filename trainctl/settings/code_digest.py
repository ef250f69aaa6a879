"""The digest of the code of the user's components, so that a change of it is noticed. Imports no torch."""

import hashlib
from contextlib import suppress
from functools import cache

from trainctl.errors import ConfigError
from trainctl.fileformat.place import open_regular
from trainctl.fileformat.source import LARGEST
from trainctl.settings import component


@cache  # cached: edits after the import do not change the code that this process runs
def own_code(packages: tuple[str, ...]) -> str:
    """Return the first 12 hex digits of the SHA-256 of all modules in the user's packages; "" if there are no modules."""
    modules = [path for package in packages for folder in component.folders(package) for path in folder.rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(modules):
        with suppress(ConfigError, OSError), open_regular(path, ConfigError) as file:
            digest.update(file.read(LARGEST))
    return digest.hexdigest()[:12] if modules else ""
