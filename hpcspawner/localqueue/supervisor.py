"""The process that looks after one job: waits for its turn, runs the script, writes down the end.

It is in a session of its own, so neither the end of the submit command nor a restart of the hub touches it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from typing import Any, Dict, List, Optional, Tuple

from . import turn
from .store import QueueError, Store, write_json

# A bell that was rung by nobody (its ringer was killed) costs this many seconds.
LOOK_AGAIN = 2.0
_SUBREAPER, _DEATH_SIGNAL = 36, 1


class Supervisor:
    def __init__(self, store: Store, id: str, job: Dict[str, Any], totals: Tuple[int, int], alive: int) -> None:
        self.store, self.id, self.job, self.totals = store, id, job, totals
        self.folder = store.path(id)
        self.alive = alive
        self.cancelled = False
        # Opened for both directions: never at its end when a writer goes away.
        self.control = os.open(os.path.join(self.folder, "control"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.bell = os.open(os.path.join(self.folder, "bell"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminated)

    def _terminated(self, *_: Any) -> None:
        """The machine shuts down."""
        self.cancelled = True

    def work(self) -> None:
        """From the submit to the end of the job."""
        end: Dict[str, Any] = {"outcome": "CANCELLED", "started": None}
        try:
            if self._wait_for_turn():
                end = self._run()
        except (OSError, QueueError) as error:
            end = {"outcome": "LAUNCH", "reason": str(error), "started": None}
        finally:
            try:
                write_json(self.folder, "end.json", dict(end, ended=time.time()))
            finally:
                os.close(self.alive)
                turn.ring(self.store)

    def _pause(self, seconds: float) -> None:
        """Until something happens, or the time has passed."""
        ready, _, _ = select.select([self.control, self.bell, self.wake], [], [], max(0.0, seconds))
        for handle in ready:
            os.read(handle, 4096)
            if handle == self.control:
                self.cancelled = True

    def _wait_for_turn(self) -> bool:
        """False: cancelled before it started. True: run.json says that it runs."""
        while not self.cancelled:
            with self.store.locked():
                if turn.may_start(self.store, self.id, *self.totals):
                    self._note(started=time.time())
                    break
            self._pause(LOOK_AGAIN)
        # What comes next may fit as well, or wait for nobody any more.
        turn.ring(self.store)
        return not self.cancelled

    def _note(self, **more: Any) -> None:
        self.job.setdefault("run", {}).update(more)
        write_json(self.folder, "run.json", self.job["run"])

    def _run(self) -> Dict[str, Any]:
        begun = self.job["run"]["started"]
        ends = begun + self.job["walltime"] if self.job["walltime"] else None
        _prctl(_SUBREAPER, 1)
        pid = self._start(ends)
        self._note(pid=pid, start=turn.started(pid))
        status, reached = self._watch(pid, ends)
        _kill_the_rest(pid)
        outcome = "TIMEOUT" if reached else "CANCELLED" if self.cancelled else ""
        return dict(_ending(status), started=begun, **({"outcome": outcome} if outcome else {}))

    def _watch(self, pid: int, ends: Optional[float]) -> Tuple[int, bool]:
        """Exit status of the script, and whether the walltime was reached. TERM first, KILL after the grace."""
        reached, kill_at = False, None  # type: Tuple[bool, Optional[float]]
        while True:
            done, status = _waited(pid)
            if done:
                return status, reached
            now = time.time()
            if kill_at is None and (self.cancelled or (ends is not None and now >= ends)):
                reached = not self.cancelled
                kill_at = now + self.job["grace"]
                self._note(ending=True)
                _to_group(pid, signal.SIGTERM)
            elif kill_at is not None and now >= kill_at:
                _to_group(pid, signal.SIGKILL)
                kill_at = now + 1
            limit = kill_at if kill_at is not None else ends
            self._pause(min(60.0, limit - now) if limit is not None else 60.0)

    def _start(self, ends: Optional[float]) -> int:
        environment = dict(self.job["environment"])
        environment["HPCSPAWNER_JOB_ID"] = self.id
        environment["HPCSPAWNER_JOB_NAME"] = self.job["name"]
        environment["HPCSPAWNER_JOB_CORES"] = str(self.job["cores"])
        if ends is not None:
            environment["HPCSPAWNER_JOB_END"] = str(int(ends))
        _, separator, index = self.id.partition("_")
        if separator:
            environment["HPCSPAWNER_JOB_INDEX"] = index
        script = os.path.join(self.folder, "script")
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(script, environment, parent)
            except BaseException as error:
                os.write(2, "hpcspawner: the job could not be launched: {}\n".format(error).encode())
            finally:
                os._exit(127)
        return pid

    def _become(self, script: str, environment: Dict[str, str], parent: int) -> None:
        """The child's part: log file, folder, and the script in place of this program."""
        os.setsid()
        # Were the supervisor killed, nobody would enforce the walltime; and the job counts as ended then.
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        _log_to(self.job["output"])
        os.chdir(self.job["workdir"] or environment.get("HOME") or "/")
        # Not by its first line: the folder may be on a file system from which nothing may be executed.
        os.execve("/bin/bash", ["bash", script], environment)  # noqa: S606


def _log_to(path: str) -> None:
    log = os.open(path or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _waited(pid: int) -> Tuple[bool, int]:
    """Whether the script has ended, and its status. Adopted orphans are cleared away too."""
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True, 0
        if child == 0:
            return False, 0
        if child == pid:
            return True, status


def _ending(status: int) -> Dict[str, Any]:
    if os.WIFSIGNALED(status):
        return {"outcome": "FAILED", "signal": os.WTERMSIG(status)}
    code = os.WEXITSTATUS(status)
    return {"outcome": "FAILED" if code else "COMPLETED", "exit_code": code}


def _to_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except OSError:
        pass


def _kill_the_rest(pid: int) -> None:
    """Nothing of a job outlives it: its process group, and what left it and was given to us as subreaper."""
    _to_group(pid, signal.SIGKILL)
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                pass
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return


def _children() -> List[int]:
    own, out = str(os.getpid()).encode(), []
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            try:
                with open("/proc/{}/stat".format(name), "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[1] == own and fields[0] != b"Z":
                out.append(int(name))
    return out


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere a job that hides from its process group may outlive its end."""
    try:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass
