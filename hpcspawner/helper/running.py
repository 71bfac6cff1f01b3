"""Runs the scheduler's commands: no shell, a clean environment, a time limit that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Dict, Optional

from ..job import Cluster, Command, Result
from .identity import Account

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class Runner:
    """Runs commands for one account and one cluster until a common deadline."""

    def __init__(self, cluster: Cluster, who: Account, each: float, whole: float) -> None:
        """each: seconds that one command may take; whole: seconds for all of them together."""
        self.cluster = cluster
        self.who = who
        self.each = each
        self.deadline = time.monotonic() + whole
        self.child: Optional["subprocess.Popen[str]"] = None

    def environment(self, command: Command) -> Dict[str, str]:
        """Nothing of the hub's own environment reaches a command, and so nothing of it reaches a job."""
        return {
            "PATH": DEFAULT_PATH,
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "HOME": self.who.home or "/",
            "USER": self.who.name,
            "LOGNAME": self.who.name,
            "SHELL": self.who.shell or "/bin/sh",
            **self.cluster.environment,
            **command.environment,
        }

    def run(self, command: Command) -> Result:
        """What the command answered; code is None where it could not be started or took too long."""
        limit = min(self.each, self.deadline - time.monotonic())
        if limit <= 0:
            return Result(None, "", "{}: no time left to run it".format(command.argv[0]))
        mask = os.umask(0o022)
        try:
            self.child = self._start(command)
        except (OSError, ValueError) as error:
            return Result(None, "", "{}: {}".format(command.argv[0], getattr(error, "strerror", None) or error))
        finally:
            os.umask(mask)
        try:
            out, err = self.child.communicate(command.stdin, timeout=limit)
            return Result(self.child.returncode, out, err)
        except subprocess.TimeoutExpired:
            self.stop()
            return Result(None, "", "{}: no answer within {:.0f} s".format(command.argv[0], limit))
        except BaseException:
            self.stop()
            raise
        finally:
            self.child = None

    def _start(self, command: Command) -> "subprocess.Popen[str]":
        environment = self.environment(command)
        return subprocess.Popen(
            _found(command.argv, environment["PATH"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
            cwd="/",
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ends the running command with all that it started."""
        child = self.child
        if child is None or child.poll() is not None:
            return
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except OSError:
            pass
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass
        child.wait()


def _found(argv: "tuple[str, ...]", path: str) -> "list[str]":
    """argv with its command looked up on the command's own PATH: Popen would search ours."""
    if "/" in argv[0]:
        return list(argv)
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder, argv[0])
        if folder.startswith("/") and os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return [candidate, *argv[1:]]
    raise FileNotFoundError(2, "there is no such command on {}".format(path))
