"""A PostgreSQL database, reached through Optuna's storage: rows in an order that all agree on, and heartbeats. No torch.

Optuna adds a trial while it locks the study, and numbers it in the same transaction. So the numbers of a study's trials
are an order that every reader sees alike and to which nothing is added in the middle: a journal. A row is a trial that is
over; a process that lives is a trial that runs, with a heartbeat by the clock of the database.

Once connected, everything here waits for a database that is away, for as long as the user wants.
"""

import importlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from trainctl.errors import CheckpointError, StorageError, UnavailableError
from trainctl.fileformat.waiting import waiting
from trainctl.settings import storage
from trainctl.store.journal_base import AwayError
from trainctl.wording import redacted

T = TypeVar("T")
KEY = "trainctl"  # of the attribute that has the content of a row
PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds between attempts to reach a database that is away
REMIND = 60.0  # seconds between lines that say that it is still away
ATTEMPTS = 5  # at creating the tables, which other processes may be doing
# How long a connection takes to notice that the other machine is gone; TIMEZONE: Optuna compares times of connections.
CONNECTION: dict[str, Any] = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 20_000, "application_name": "trainctl",
}  # fmt: skip
TIMEZONE = "-c timezone=utc"
UNAVAILABLE = "25006"  # PostgreSQL's code for a server that takes no changes, as during a switch to another one


class Database:
    """The rows of one sweep in a database.

    Args:
        url: Its URL, which :func:`trainctl.settings.storage.problem` has no objection to.
        lease: After how long without a heartbeat a process is dead [s].

    Raises:
        UnavailableError: If a package is missing.
        StorageError: If the database cannot be reached, or refuses to be used.
    """

    def __init__(self, url: str, lease: float) -> None:
        self.shown, self.lease = storage.shown(url), lease
        self.beat_every = max(1, int(min(10.0, lease / 5)))  # seconds
        self.say: Callable[[str], None] = lambda text: None
        self.hurried: Callable[[], bool] = lambda: False
        self._optuna = _packages()
        self._storage = self._connect(url)
        self._name, self._study = "", None
        self._last_met = self._steady_since = self._checked = time.monotonic()

    # Rows.

    def open(self, name: str) -> None:
        """Open the rows of a name, which may not exist yet."""
        self._name = f"trainctl:{name}"
        self._study = self.ask(
            lambda: self._optuna.create_study(
                study_name=self._name, storage=self._storage, direction="minimize", load_if_exists=True
            )
        )
        self._number = self.ask(lambda: self._storage.get_study_id_from_name(self._name))

    def rows(self) -> list[Any]:
        """Return all rows; those that are over are read once."""
        study: Any = self._study
        found: list[Any] = self.ask(lambda: study.get_trials(deepcopy=False))
        return found

    def add(self, content: Mapping[str, Any], *, lives: bool = False, patient: bool = True) -> int:
        """Add a row, which is on disk when this returns; if the connection broke, perhaps twice. Return its identifier.

        Args:
            content: What it says.
            lives: Whether it stands for a process that lives.
            patient: Whether to wait if the database is away.
        """
        state = self._optuna.trial.TrialState.RUNNING if lives else self._optuna.trial.TrialState.PRUNED
        row = self._optuna.trial.create_trial(state=state, user_attrs={KEY: dict(content)})
        return int(self.ask(lambda: self._storage.create_new_trial(self._number, row), patient=patient))

    # Heartbeats.

    def beat(self, row: int) -> None:
        """Record the heartbeat of a process; nothing happens if the database is away."""
        with suppress(Exception):
            self._storage.record_heartbeat(row)
            self._met()

    def end(self, number: int, *, dead: bool) -> None:
        """Note that a process has ended, or died; the first note counts. If the database is away, nothing happens.

        Args:
            number: Of its row, in the order of rows.
            dead: Whether it died.
        """
        state = self._optuna.trial.TrialState.FAIL if dead else self._optuna.trial.TrialState.PRUNED

        def note() -> None:
            with suppress(self._optuna.exceptions.UpdateFinishedTrialError):
                row = self._storage.get_trial_id_from_study_id_trial_number(self._number, number)
                self._storage.set_trial_state_values(row, state=state)

        with suppress(AwayError):  # without the note, its heartbeat tells
            self.ask(note, patient=False)

    def note_the_dead(self) -> None:
        """Note which processes had no heartbeat for a lease.

        Nobody is dead while this process has not been in touch with the database for a lease: what was away may have been the
        database, or this process, and the heartbeats of the others are as old as that.
        """
        now = time.monotonic()
        if now - self._steady_since < self.lease or now - self._checked < self.beat_every:
            return
        self._checked = now
        with _quiet():
            self.ask(lambda: self._optuna.storages.fail_stale_trials(self._study))

    def close(self) -> None:
        """Close the connections."""
        with suppress(Exception):
            self._storage.remove_session()
            self._storage.engine.dispose()

    # What goes wrong.

    def ask(self, what: Callable[[], T], *, patient: bool = True) -> T:
        """Return what a call of Optuna returns; wait while the database is away.

        Raises:
            AwayError: If the database is away and the user does not want to wait.
            StorageError: If waiting is of no use.
        """
        began, pauses, reminded = time.monotonic(), iter(PAUSES), -REMIND
        while True:
            try:
                result = what()
            except Exception as error:  # noqa: BLE001 - whatever a library raises
                away = time.monotonic() - began
                reason = self._why_away(error)
                if not patient or self.hurried():
                    raise AwayError(f"{self.shown}: cannot be reached: {reason}") from None
                if away - reminded >= REMIND:
                    since = f" for {away:.0f} s" if reminded >= 0 else ""
                    self.say(f"cannot reach the database {self.shown}{since}: {reason}; retrying, trials continue")
                    reminded = away
                self._sleep(next(pauses, PAUSES[-1]))
                self._steady_since = time.monotonic()
            else:
                if reminded >= 0:
                    self.say(f"the database {self.shown} is back after {time.monotonic() - began:.0f} s")
                self._met()
                return result

    def _why_away(self, error: Exception) -> str:
        """Return why the database is away.

        Raises:
            StorageError: If it is not away, but something else is wrong.
        """
        causes = list(_causes(error))
        if any(map(_is_away, causes)):
            return _reason(causes)
        if isinstance(error, KeyError):
            raise StorageError(f"{self.shown}: the sweep was removed from the database") from error
        raise StorageError(f"{self.shown}: cannot keep the journal: {_reason(causes)}") from error

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.hurried():
            time.sleep(0.1)

    def _met(self) -> None:
        """Note that the database has answered; after a silence, being in touch with it begins anew."""
        now = time.monotonic()
        if now - self._last_met > self.lease / 2:
            self._steady_since = now
        self._last_met = now

    def _connect(self, url: str) -> Any:
        scheme, _, rest = url.partition("://")
        given = storage.parameters(url)
        more = {key: value for key, value in CONNECTION.items() if key not in given}
        more["options"] = f"{given.get('options', '')} {TIMEZONE}".strip()
        full = f"postgresql+psycopg://{rest}" if scheme != "postgresql+psycopg" else url
        for attempt in range(ATTEMPTS):
            try:
                with waiting(f"connecting to {self.shown}"), _quiet():
                    return self._optuna.storages.RDBStorage(
                        full.replace("{", "{{").replace("}", "}}"),  # Optuna fills in fields in braces
                        engine_kwargs={"pool_pre_ping": True, "connect_args": more},
                        heartbeat_interval=self.beat_every,
                        grace_period=max(1, round(self.lease)),
                    )
            except Exception as error:  # noqa: BLE001 - whatever a library raises
                causes = list(_causes(error))
                if any(map(_is_away, causes)):
                    raise StorageError(f"{self.shown}: cannot connect: {_reason(causes)}{_hint(causes, url)}") from None
                if attempt == ATTEMPTS - 1 or not any(map(_was_created, causes)):
                    raise StorageError(f"{self.shown}: cannot keep the journal: {_reason(causes)}") from None
                time.sleep(0.2 * (attempt + 1))
        raise AssertionError


def _packages() -> Any:
    """Import Optuna and the driver, without their logs.

    Raises:
        UnavailableError: If one is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
        importlib.import_module("psycopg")
    except ImportError as error:  # psycopg raises one of its own if it finds no libpq
        what = "Optuna" if getattr(error, "name", "") == "optuna" else "psycopg"
        raise UnavailableError(f"sweep.storage needs {what}: pip install 'trainctl[sweep]'") from error
    optuna.logging.set_verbosity(logging.WARNING)
    logging.getLogger("optuna.storages").setLevel(logging.CRITICAL)  # what it warns of is an error here
    return optuna


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore that Optuna calls heartbeats experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it was caused by, one after the other."""
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__


def _is_away(error: BaseException) -> bool:
    psycopg: Any = importlib.import_module("psycopg")
    exceptions: Any = importlib.import_module("sqlalchemy.exc")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | exceptions.TimeoutError):
        return True
    return getattr(error, "sqlstate", None) == UNAVAILABLE or bool(getattr(error, "connection_invalidated", False))


def _was_created(error: BaseException) -> bool:
    """Return whether an error means that another process was creating the same table at the same time."""
    exceptions: Any = importlib.import_module("sqlalchemy.exc")
    return isinstance(error, exceptions.IntegrityError) or getattr(error, "sqlstate", None) in (
        "42P07",
        "42710",
        "23505",
    )


def _reason(causes: list[BaseException]) -> str:
    """Return what the database itself says, in one line; without it, what the library says."""
    psycopg: Any = importlib.import_module("psycopg")
    said = next((error for error in causes if isinstance(error, psycopg.Error)), causes[0])
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    first = next((line.partition("FATAL:")[2] for line in lines if "FATAL:" in line), lines[0] if lines else "")
    return redacted(" ".join(first.split())) or type(said).__name__


def _hint(causes: list[BaseException], url: str) -> str:
    """Return what to do about a connection that failed."""
    text = " ".join(map(str, causes))
    if "no password supplied" in text:
        return "; set PGPASSWORD, add a line to ~/.pgpass, or give the password in sweep.storage"
    if "password authentication failed" in text:
        where = "sweep.storage" if storage.has_password(url) else "PGPASSWORD or ~/.pgpass"
        return f"; check the password in {where}"
    if "FATAL:" in text or "connection option" in text:
        return ""
    return "; check that the server runs and can be reached from this machine"


def missing(shown: str, name: str) -> CheckpointError:
    """Return the error for a sweep whose rows are not in the database."""
    return CheckpointError(
        f"{shown}: has no journal of the sweep {name}; give the sweep.storage that it was started with"
    )
