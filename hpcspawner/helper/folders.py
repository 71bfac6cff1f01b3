"""Directories of the user, held open: nothing here follows a link that somebody else may have put there.

The helper acts as the user already. What is left to fear is a state directory on storage where others can write: a
link or a folder put in our way must neither receive a secret nor be executed by the user's job.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Callable, List, Optional, Tuple, Type

from .faults import Fault, fail_folder

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """An open directory that belongs to the acting user and that nobody else can write to."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def __enter__(self) -> "Folder":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        os.close(self.fd)

    def join(self, name: str) -> str:
        return os.path.join(self.path, name)

    def sub(self, name: str, make: bool = True) -> "Folder":
        """The folder of that name inside, made with mode 0700 where it is missing."""
        path = self.join(name)
        try:
            if make:
                _made(lambda: os.mkdir(name, 0o700, dir_fd=self.fd))
            fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
        except OSError as error:
            fail_folder("open the folder", path, error)
        return _checked(path, fd)

    def claim(self, name: str) -> Optional["Folder"]:
        """A new folder of that name, or None where there is one already."""
        try:
            new = _made(lambda: os.mkdir(name, 0o700, dir_fd=self.fd))
        except OSError as error:
            fail_folder("make the folder", self.join(name), error)
        return self.sub(name, make=False) if new else None

    def write(self, name: str, data: bytes, mode: int = 0o600) -> str:
        """Writes a file in one step, safe on disk when it returns; a file or link of that name is replaced."""
        path, temporary = self.join(name), ".{}.{}".format(name[:60], os.urandom(4).hex())
        try:
            fd = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.fd
            )
            try:
                _write_all(fd, data, mode)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            os.fsync(self.fd)
        except OSError as error:
            self.remove(temporary)
            fail_folder("write", path, error)
        return path

    def read(self, name: str, limit: int, tail: bool = False) -> Optional[bytes]:
        """At most limit bytes of a regular file of the user, from its start or its end; None where there is none."""
        path = self.join(name)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            fail_folder("read", path, error)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
                raise Fault("folder", "{} is not a file of the user".format(path), path)
            if tail and info.st_size > limit:
                os.lseek(fd, -limit, os.SEEK_END)
            return _read_all(fd, limit)
        except OSError as error:
            fail_folder("read", path, error)
        finally:
            os.close(fd)

    def entries(self) -> List[Tuple[str, float]]:
        """Names and times of change (seconds since the epoch)."""
        try:
            with os.scandir(self.fd) as found:
                return [(x.name, x.stat(follow_symlinks=False).st_mtime) for x in found]
        except OSError as error:
            fail_folder("read the folder", self.path, error)

    def has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except OSError:
            return False
        return True

    def remove(self, name: str) -> bool:
        """Removes a file, a link or a whole folder; never what a link points to. False: something is left."""
        try:
            os.unlink(name, dir_fd=self.fd)
            return True
        except FileNotFoundError:
            return True
        except OSError:
            pass
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
        except OSError:
            return False
        with Folder(self.join(name), fd) as inner:
            try:
                for entry in os.listdir(fd):
                    inner.remove(entry)
                os.rmdir(name, dir_fd=self.fd)
            except OSError:
                return False
        return True


def open_base(path: str, make: bool = True, home: str = "") -> Folder:
    """Opens a directory that the site names, made with its parents where it is missing (mode 0700).

    The last part may be a link that the user (or root) made, as people do whose home is too small. home: what lies in
    the user's own home is not asked who could move it: they could have changed the user's .bashrc already.
    """
    try:
        _nobody_else_can_move(path, home)
        if make:
            _made(lambda: os.makedirs(path, 0o700))
        link = os.lstat(path)
        if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
            raise Fault("folder", "{} is a link that another user made".format(path), path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        fail_folder("make" if make else "open", path, error)
    return _checked(path, fd)


def _nobody_else_can_move(path: str, home: str) -> None:
    """Raises a folder Fault where another user could put a folder of theirs in the place of path or of one above it.

    The job runs programs by their paths: who can rename a folder on the way decides what the user's job runs.
    """
    # As written first: a link that another user made is found before anything is looked up through it.
    for whole in (path, os.path.realpath(path)):
        if home not in ("", "/") and (whole + "/").startswith(home.rstrip("/") + "/"):
            continue
        parts = whole.strip("/").split("/")
        for count in range(len(parts)):
            above = "/" + "/".join(parts[:count])
            try:
                info = os.lstat(above)
            except FileNotFoundError:
                break
            if _owner_is_another_user(info.st_uid):
                raise Fault("folder", "{} belongs to another user (uid {})".format(above, info.st_uid), above)
            if stat.S_ISDIR(info.st_mode) and _others_can_change(info):
                text = "{} can be changed by other users: run chmod go-w or chmod +t on it".format(above)
                raise Fault("folder", text, above)


def _owner_is_another_user(uid: int) -> bool:
    """System accounts own file systems here and there, and NFS shows root as nobody where names are not mapped."""
    return uid not in (os.geteuid(), 65534, 2**32 - 2) and uid >= 1000


def _others_can_change(info: os.stat_result) -> bool:
    return bool(info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not info.st_mode & stat.S_ISVTX


def _made(make: Callable[[], None]) -> bool:
    try:
        make()
    except FileExistsError:
        return False
    return True


def _checked(path: str, fd: int) -> Folder:
    """Nobody but the user may own or write to it: who can rename files in it decides what the user's job runs."""
    info = os.fstat(fd)
    if info.st_uid != os.geteuid():
        os.close(fd)
        raise Fault("folder", "{} belongs to another user (uid {})".format(path, info.st_uid), path)
    if _others_can_change(info):
        os.close(fd)
        raise Fault("folder", "{} can be changed by other users: run chmod go-w on it".format(path), path)
    return Folder(path, fd)


def _write_all(fd: int, data: bytes, mode: int) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.fchmod(fd, mode)
    os.fsync(fd)


def _read_all(fd: int, limit: int) -> bytes:
    parts, left = [], limit
    while left > 0:
        part = os.read(fd, left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
