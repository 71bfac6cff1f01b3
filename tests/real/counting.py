"""Counts what reaches the scheduler: a directory of commands that note each call and then run the real one."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import time
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct")

# One write to a file opened for appending: lines of calls at the same time do not mix.
_WRAPPER = """#!/bin/bash
words="$*"
printf '%s %s %s\\n' "$EPOCHREALTIME" {name} "${{words:0:200}}" >> {log}
exec {real} "$@"
"""


@dataclasses.dataclass(frozen=True)
class Call:
    at: float
    """Seconds since the epoch."""
    name: str
    words: str

    @property
    def submit(self) -> bool:
        """Whether it submits a job (and does not only ask for the version)."""
        return self.name == "sbatch" and "--version" not in self.words

    @property
    def status(self) -> bool:
        """Whether it asks for the state of jobs."""
        return self.name in ("squeue", "sacct") or (self.name == "scontrol" and "show job" in self.words)


class Counter:
    """The commands in `commands`, and what was called so far. Everybody may call them."""

    def __init__(self, folder: Path) -> None:
        self.commands = folder / "commands"
        self.log = folder / "calls"
        self.commands.mkdir(parents=True)
        self.log.touch()
        self.log.chmod(0o666)
        for name in COMMANDS:
            real = shutil.which(name)
            if real is None:
                continue
            file = self.commands / name
            file.write_text(_WRAPPER.format(name=name, log=shlex.quote(str(self.log)), real=shlex.quote(real)))
            file.chmod(0o755)

    def calls(self, since: float = 0.0, until: float = float("inf")) -> list[Call]:
        """All calls in that time; seconds since the epoch."""
        found = []
        for line in self.log.read_text().splitlines():
            at, name, words = (*line.split(" ", 2), "")[:3]
            if since <= float(at) < until:
                found.append(Call(float(at), name, words))
        return found

    def submits(self, since: float = 0.0, until: float = float("inf")) -> list[Call]:
        return [call for call in self.calls(since, until) if call.submit]

    def status(self, since: float = 0.0, until: float = float("inf")) -> list[Call]:
        """Calls that ask for the state of jobs."""
        return [call for call in self.calls(since, until) if call.status]

    def window(self, seconds: float) -> list[Call]:
        """Lets that time pass and returns the status queries in it."""
        began = time.time()
        time.sleep(seconds)
        return self.status(began, began + seconds)
