"""The queue's folder: one folder a job, and who may touch what.

    FOLDER/lock              taken to give out numbers and to decide who starts
    FOLDER/jobs/17/          owned by the job's owner: the owner of this folder is the owner of the job
        job.json             what was asked for
        run.json             written when it starts
        end.json             written when it ended
        alive                locked by the supervisor while it lives
        control, bell        pipes: 'control' ends the job (owner and root), 'bell' says "look again" (anybody)

Where several accounts share the queue FOLDER/jobs has the sticky bit: nobody can remove or replace another's job.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from typing import Any, Dict, Iterator, List, Optional

_ID = re.compile(r"([1-9][0-9]{0,14})(?:_([0-9]{1,6}))?\Z")
SHARED = "/var/lib/hpcspawner/localqueue"
LOCK_SECONDS = 20.0
_RECORD = 65_536


class QueueError(ValueError):
    """The queue can't be used; the text says why."""


def default_folder() -> str:
    """Where the queue is if nobody says so."""
    said = os.environ.get("HPCSPAWNER_LOCALQUEUE", "")
    if said:
        return said
    if os.geteuid() == 0 or os.access(os.path.join(SHARED, "jobs"), os.W_OK):
        return SHARED
    return os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".local/state/hpcspawner/localqueue")


def order(id: str) -> "tuple[int, int]":
    """For sorting: 2 before 10, 10_2 before 10_10."""
    match = _ID.match(id)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)


def is_id(id: str) -> bool:
    return bool(_ID.match(id))


def write_json(folder: str, name: str, value: Dict[str, Any]) -> None:
    """Whole or not at all, readable by everybody (there are no secrets in it)."""
    handle, path = tempfile.mkstemp(prefix="." + name, dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path, os.path.join(folder, name))


class Store:
    """The queue's folder, opened and found to be safe. Raises QueueError."""

    def __init__(self, folder: str) -> None:
        if not os.path.isabs(folder):
            raise QueueError("the queue's folder {!r} is not an absolute path".format(folder))
        self.folder = folder
        self.jobs = os.path.join(folder, "jobs")
        if not os.path.isdir(self.jobs):
            try:
                self.prepare(folder, shared=os.geteuid() == 0)
            except (OSError, ValueError) as error:
                text = "the queue's folder can't be made: {} (the hub's account makes it: localqueue prepare)"
                raise QueueError(text.format(error)) from None
        for path in (self.folder, self.jobs):
            self._check(path)

    @staticmethod
    def prepare(folder: str, shared: bool) -> None:
        """Makes the folder. A second time, or two at once, is fine; an existing one keeps its mode."""
        jobs = os.path.join(folder, "jobs")
        _make_folders(folder, 0o755 if shared else 0o700)
        with contextlib.suppress(FileExistsError):
            # Not world-writable before the sticky bit is there.
            os.mkdir(jobs, 0o700)
            os.chmod(jobs, 0o1777 if shared else 0o700)
        Store._check(jobs)
        # Reading is enough to take the lock.
        lock = os.open(os.path.join(folder, "lock"), os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        if os.fstat(lock).st_uid == os.geteuid():
            os.fchmod(lock, 0o644)
        os.close(lock)

    @staticmethod
    def _check(path: str) -> None:
        try:
            info = os.lstat(path)
        except OSError as error:
            raise QueueError("the queue's folder can't be used: {}".format(error)) from None
        if not stat.S_ISDIR(info.st_mode):
            raise QueueError("the queue's folder {} is not a folder".format(path))
        if info.st_uid != os.geteuid() and info.st_uid >= 1000:
            # Who owns a folder may exchange what lies in it, sticky or not: another's script for ours.
            raise QueueError("the queue's folder {} belongs to another user (uid {})".format(path, info.st_uid))
        if info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
            raise QueueError("the queue's folder {} may be changed by anybody (chmod 1777 or 700)".format(path))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process of the machine at a time. Raises QueueError where the lock is not to be had."""
        try:
            handle = os.open(os.path.join(self.folder, "lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise QueueError("the queue's lock can't be opened: {}".format(error)) from None
        try:
            _take(handle, LOCK_SECONDS)
            yield
        finally:
            os.close(handle)

    def path(self, id: str) -> str:
        return os.path.join(self.jobs, id)

    def ids(self) -> List[str]:
        """All jobs, the oldest first."""
        return sorted((name for name in os.listdir(self.jobs) if is_id(name)), key=order)

    def next_number(self) -> str:
        """One more than the highest; to be called with the lock held.

        Where somebody made a folder with the last number there is, what follows the highest number below counts.
        """
        used = sorted({order(id)[0] for id in self.ids()} | {0}, reverse=True)
        taken = set(used)
        free = (str(number + 1) for number in used if number + 1 not in taken)
        found = next((number for number in free if is_id(number)), "")
        if not found:
            raise QueueError("the queue has no numbers left")
        return found

    def owner(self, id: str) -> Optional[int]:
        """The uid that owns the job; None where there is no such job."""
        try:
            info = os.lstat(self.path(id))
        except OSError:
            return None
        return info.st_uid if stat.S_ISDIR(info.st_mode) else None

    def read(self, id: str, name: str) -> Optional[Dict[str, Any]]:
        """One record of a job; None where it is not there. What the job's owner did not write is not read."""
        owner = self.owner(id)
        try:
            # Not blocked by a pipe that somebody put there.
            handle = os.open(os.path.join(self.path(id), name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode) or info.st_uid != owner or info.st_size > _RECORD:
                return None
            try:
                value = json.loads(file.read(_RECORD).decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                return None
        return value if isinstance(value, dict) else None

    def alive(self, id: str) -> bool:
        """Whether the job's supervisor lives: it holds a lock, which ends with it in every case."""
        try:
            handle = os.open(os.path.join(self.path(id), "alive"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            # Not being able to look is no proof of death.
            return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError:
            return True
        finally:
            os.close(handle)

    def signal(self, id: str, pipe: str) -> bool:
        """Writes one byte into a job's pipe; False where nobody reads it (or one may not)."""
        try:
            handle = os.open(os.path.join(self.path(id), pipe), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            if not stat.S_ISFIFO(os.fstat(handle).st_mode):
                return False
            os.write(handle, b"x")
            return True
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(handle)

    def forget(self, before: float) -> None:
        """Removes this account's jobs that ended before that time, and unfinished ones of crashed submits.

        Never the newest job: its number is what keeps numbers from being given twice.
        """
        newest = self.ids()[-1:]
        for name in os.listdir(self.jobs):
            path = os.path.join(self.jobs, name)
            try:
                info = os.lstat(path)
            except OSError:
                continue
            if info.st_uid != os.geteuid() or name in newest:
                continue
            if is_id(name):
                end = self.read(name, "end.json")
                ended = float(end["ended"]) if end and isinstance(end.get("ended"), (int, float)) else info.st_mtime
                old = ended < before and not self.alive(name)
            else:
                old = name.startswith(".new-") and info.st_mtime < min(before, time.time() - 600)
            if old:
                shutil.rmtree(path, ignore_errors=True)


def _make_folders(path: str, mode: int) -> None:
    """Whatever the umask says; folders that are there stay as they are."""
    if path != "/" and not os.path.isdir(path):
        _make_folders(os.path.dirname(path.rstrip("/")), 0o755)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            os.chmod(path, mode)


def _take(handle: int, seconds: float) -> None:
    """flock with a limit: a stopped process that holds it must not stop everybody for ever."""
    limit = time.monotonic() + seconds
    pause = 0.001
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > limit:
                raise QueueError("the queue is busy: its lock is taken for {:g} seconds".format(seconds)) from None
            time.sleep(pause)
            pause = min(0.05, pause * 2)
