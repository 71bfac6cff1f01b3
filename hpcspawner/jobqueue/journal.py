"""The journal: what a killed hub must know again. One SQLite file for all clusters of a process, and its instance id.

Rows hold no secrets. Writes are made in order by one thread, which commits in one go whatever has gathered meanwhile:
no disk makes the loop wait, and sixty submits at once cost a few fsyncs.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from .. import STATE_SCHEMA
from .instance import JournalError, instance, lock

COLUMNS: Mapping[str, str] = {
    "tag": "TEXT PRIMARY KEY",
    "cluster": "TEXT NOT NULL",
    "user": "TEXT NOT NULL",
    "owner_key": "TEXT NOT NULL DEFAULT ''",
    "kind": "TEXT NOT NULL DEFAULT 'server'",
    "choice": "TEXT NOT NULL DEFAULT '{}'",
    "submitted": "REAL NOT NULL DEFAULT 0",
    "began": "REAL",
    "id": "TEXT NOT NULL DEFAULT ''",
    "elements": "INTEGER NOT NULL DEFAULT 0",
    "run": "INTEGER NOT NULL DEFAULT 0",
    "reported": "INTEGER NOT NULL DEFAULT 0",
    "view": "TEXT NOT NULL DEFAULT ''",
    "seen": "INTEGER NOT NULL DEFAULT 0",
    "notice": "TEXT NOT NULL DEFAULT ''",
    "log": "TEXT NOT NULL DEFAULT ''",
    "folder": "TEXT NOT NULL DEFAULT ''",
    "cancel_wanted": "INTEGER NOT NULL DEFAULT 0",
    "abandoned": "INTEGER NOT NULL DEFAULT 0",
    "stored": "INTEGER NOT NULL DEFAULT 0",
    "ended_at": "REAL",
    "ending": "TEXT NOT NULL DEFAULT ''",
    "cleaned": "INTEGER NOT NULL DEFAULT 0",
}
"""Of the table jobs. Columns are only ever added: an older hub reads what it knows."""

_TABLES = ("choice", "ending")
Write = tuple[str, tuple[Any, ...]]


class Journal:
    """Opens (or makes) the journal in a directory of this hub. Raises JournalError, also where another hub has it."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.path = self.directory / "journal.sqlite"
        self._lock_fd = lock(self.directory / "journal.lock")
        try:
            self.instance = instance(self.directory / "instance")
            self._db = self._open()
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._guard = threading.Lock()
        self._gathered: list[Write] = []
        self._next: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hpcspawner-journal")
        self.closed = False
        self.trouble = ""
        """Why the last write failed; empty where it did not."""

    def _open(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            os.chmod(self.path, 0o600)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode=WAL")
            # A power cut must not lose the tag of a job that runs.
            db.execute("PRAGMA synchronous=FULL")
            _migrate(db)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"{self.path}: {error}") from error
        return db

    # Writing -----------------------------------------------------------------------------------------------------

    def add(self, **columns: Any) -> Future[None]:
        """A new job. The future is done once it is on disk."""
        values = _values(columns)
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        return self._write(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608

    def change(self, tag: str, **columns: Any) -> Future[None]:
        """New values of one job."""
        values = _values(columns)
        names = ", ".join(f"{name} = ?" for name in values)
        return self._write(f"UPDATE jobs SET {names} WHERE tag = ?", (*values.values(), tag))  # noqa: S608

    def forget(self, before: float) -> Future[None]:
        """Rows of jobs that ended before then (seconds since the epoch) and were cleaned."""
        return self._write("DELETE FROM jobs WHERE ended_at < ? AND cleaned = 1", (before,))

    def flushed(self) -> Future[None]:
        """Done once all that was written so far is on disk."""
        with self._guard:
            return self._soon()

    def _write(self, sql: str, values: tuple[Any, ...]) -> Future[None]:
        with self._guard:
            self._gathered.append((sql, values))
            return self._soon()

    def _soon(self) -> Future[None]:
        if self.closed:
            raise JournalError(f"{self.path} is closed")
        if self._next is None:
            self._next = self._thread.submit(self._commit)
        return self._next

    def _commit(self) -> None:
        with self._guard:
            work, self._gathered, self._next = self._gathered, [], None
        if not work:
            return
        try:
            self._together(work)
            self.trouble = ""
        except sqlite3.OperationalError as error:
            # A full or absent disk: nothing is lost, the next write tries all of it again.
            with self._guard:
                self._gathered[:0] = work
            self._fail(error)
        except sqlite3.Error as error:
            if len(work) == 1:
                self._fail(error)
            self._one_by_one(work)

    def _together(self, work: list[Write]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for sql, values in work:
                self._db.execute(sql, values)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _one_by_one(self, work: list[Write]) -> None:
        """A write that is wrong in itself (a tag that is there already) must not take the others along."""
        wrong: sqlite3.Error | None = None
        for write in work:
            try:
                self._together([write])
            except sqlite3.OperationalError:
                with self._guard:
                    self._gathered.append(write)
            except sqlite3.Error as error:
                wrong = error
        if wrong is not None:
            self._fail(wrong)

    def _fail(self, error: sqlite3.Error) -> NoReturn:
        self.trouble = str(error)
        raise JournalError(f"{self.path}: {error}") from error

    # Reading -----------------------------------------------------------------------------------------------------

    def rows(self, cluster: str, *, ended_after: float = 0.0) -> list[dict[str, Any]]:
        """The jobs of a cluster, oldest first: those not ended, not cleaned, or ended after that time."""
        sql = (
            "SELECT * FROM jobs WHERE cluster = ? AND (ended_at IS NULL OR cleaned = 0 OR ended_at > ?) "
            "ORDER BY submitted, rowid"
        )
        return self._read(sql, (cluster, ended_after))

    def row(self, cluster: str, tag: str) -> dict[str, Any] | None:
        """One job, whatever became of it."""
        found = self._read("SELECT * FROM jobs WHERE cluster = ? AND tag = ?", (cluster, tag))
        return found[0] if found else None

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            self._commit()
            return [_row(row) for row in self._db.execute(sql, values)]

        try:
            return self._thread.submit(read).result()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Writes what is left and gives the lock back."""
        if self.closed:
            return
        self.closed = True
        try:
            self._thread.submit(self._commit).result()
        finally:
            self._thread.shutdown()
            self._db.close()
            os.close(self._lock_fd)


def _values(columns: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(columns) - set(COLUMNS)
    if unknown:
        raise ValueError(f"the journal has no column {', '.join(sorted(unknown))}")
    return {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in columns.items()}


def _row(row: sqlite3.Row) -> dict[str, Any]:
    values = {key: row[key] for key in row.keys() if key in COLUMNS}  # noqa: SIM118  iterating a Row gives values
    for key in _TABLES:
        try:
            table = json.loads(values.get(key) or "{}")
        except ValueError:
            table = {}
        values[key] = table if isinstance(table, dict) else {}
    return values


def _migrate(db: sqlite3.Connection) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    db.execute(f"CREATE TABLE IF NOT EXISTS jobs ({columns})")
    there = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
    for name, kind in COLUMNS.items():
        if name not in there:
            db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {kind}")
    db.execute("CREATE INDEX IF NOT EXISTS jobs_of_cluster ON jobs (cluster, ended_at)")
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if schema < STATE_SCHEMA:
        db.execute(f"PRAGMA user_version = {STATE_SCHEMA}")
    # A newer number is no error: columns are only added, so that the way back from an upgrade works.
