"""`sweep.storage`: which URL of a database is one, and how it is shown without its password. Imports no torch."""

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from trainctl.settings.text import unquoted
from trainctl.wording import redacted

FORM = "postgresql://USER@HOST/DATABASE"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
SECRETS = ("password",)  # in the names of parameters of a URL
HOST = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[\w.-]*)(:\d{1,5})?")


def problem(url: str, lease: float) -> str:
    """Return why a URL is not one of a database that a journal can be kept in; empty if it is.

    >>> problem("sqlite:///sweep.db", 60).partition(",")[0]
    'SQLite locks the whole file'
    >>> problem("postgresql://me:secret@db.example.org/sweeps", 60), problem("redis://db", 60)
    ('', 'expected postgresql://USER@HOST/DATABASE')
    """
    scheme = url.partition(":")[0].lower()
    if scheme.startswith("sqlite"):
        return f"SQLite locks the whole file, which does not work reliably between machines; expected {FORM}"
    if scheme not in SCHEMES or "://" not in url:
        return f"expected {FORM}"
    if url.count("@") > 1 or any(character.isspace() or not character.isprintable() for character in url):
        return "write @ / : # ? % and spaces in a name or password as %40 %2F %3A %23 %3F %25 and %20"
    try:
        parts = urlsplit(url)
        port = parts.port
        path = unquote(parts.path, errors="strict")
    except ValueError:
        return f"cannot be read as a URL; expected {FORM}"
    where = parts.netloc.rpartition("@")[2]
    if any(secret in f"{parts.query}{parts.fragment}".lower() for secret in SECRETS):
        return "give a password as USER:PASSWORD@HOST, or in PGPASSWORD or ~/.pgpass, not as a parameter"
    if "@" in parts.path + parts.query + parts.fragment or parts.fragment or not HOST.fullmatch(where) or port == 0:
        return f"cannot be read as a URL (write @ / : # ? in a password as %40 %2F %3A %23 %3F); expected {FORM}"
    if not path.strip("/") or "/" in path.strip("/"):
        return f"names no database; expected {FORM}"
    if lease < 5:
        return "needs a sweep.lease of at least 5s: the database may take seconds to answer"
    return ""


def without_password(url: str) -> str:
    """Return a URL without its password, by which the database can be found again.

    >>> without_password("postgresql://me:secret@db:5433/sweeps?sslmode=require")
    'postgresql://me@db:5433/sweeps?sslmode=require'
    """
    if problem(url, lease=60):
        safe = redacted(url)
        return safe if safe != url or "@" not in url else f"***@{url.rpartition('@')[2]}"
    parts = urlsplit(url)
    query = urlencode(_parameters(parts), safe="/:,")
    return f"{parts.scheme}://{_address(parts)}{parts.path}" + (f"?{query}" if query else "")


def shown(url: str) -> str:
    """Return a URL for messages, without its password and its parameters.

    >>> shown("postgresql://me:secret@db:5433/sweeps?sslmode=require")
    'postgresql://me@db:5433/sweeps'
    """
    return without_password(url).partition("?")[0]


def has_password(url: str) -> bool:
    """Return whether a URL contains a password."""
    return bool(urlsplit(url).password)


def parameters(url: str) -> dict[str, str]:
    """Return the parameters of a URL, such as ``sslmode``."""
    return dict(_parameters(urlsplit(url)))


def harmless(words: Sequence[str]) -> list[str]:
    """Return words of the command line without the password of a database.

    >>> harmless(["seed=1", "sweep.storage=postgresql://me:secret@db/sweeps"])
    ['seed=1', 'sweep.storage=postgresql://me@db/sweeps']
    """
    return [_harmless(word) for word in words]


def _harmless(word: str) -> str:
    key, equals, url = word.partition("=")
    if key.lstrip("+") != "sweep.storage" or url == "null":
        return word
    return f"{key}{equals}{without_password(unquoted(url))}"


def _parameters(parts: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(parts.query, keep_blank_values=True)


def _address(parts: SplitResult) -> str:
    user, at, where = parts.netloc.rpartition("@")
    return f"{user.partition(':')[0]}{at}{where}"
