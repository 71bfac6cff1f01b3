"""Commands of the scheduler that stop at a chosen point, until the test lets them go on or ends them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import psutil

from .hub import until

_COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct")

# before: nothing was asked of the scheduler yet. after: it has acted, and nobody has been told.
_WRAPPER = """#!/bin/bash
case "$*" in *--version*) exec {real} "$@" ;; esac
meet() {{
    rm {folder}/armed.{name}.$1 2>/dev/null || return 0
    echo $$ >{folder}/.met && mv {folder}/.met {folder}/met
    until [ -e {folder}/go ]; do sleep 0.05; done
}}
meet before
out=$({real} "$@")
code=$?
meet after
printf '%s\\n' "$out"
exit $code
"""


class Stopping:
    """The directory `commands` for a site file. One stop at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands = folder / "meeting", folder / "commands"
        self.commands.mkdir(parents=True)
        self.folder.mkdir()
        self.folder.chmod(0o777)
        for name in _COMMANDS:
            real = shutil.which(name)
            assert real, name
            file = self.commands / name
            file.write_text(_WRAPPER.format(real=real, folder=self.folder, name=name))
            file.chmod(0o755)

    def arm(self, point: str) -> None:
        """The next call stops there. point: such as sbatch.before."""
        for file in self.folder.iterdir():
            file.unlink()
        (self.folder / f"armed.{point}").touch()

    def wait(self) -> psutil.Process:
        """Until the command has stopped; its process."""
        until((self.folder / "met").exists, "the command stops")
        return psutil.Process(int((self.folder / "met").read_text()))

    def finish(self, command: psutil.Process) -> None:
        """Lets it go on to its end, and the helper that started it too."""
        waiting = _chain(command)
        (self.folder / "go").touch()
        psutil.wait_procs(waiting, timeout=60)


def _chain(command: psutil.Process) -> list[psutil.Process]:
    """The command, its children, and the processes of the helper above it."""
    above = []
    for process in command.parents():
        with contextlib.suppress(psutil.Error):
            if "helper.pyz" not in " ".join(process.cmdline()):
                break
            above.append(process)
    return [*command.children(recursive=True), command, *above]


def end(command: psutil.Process) -> None:
    """kill -9 of the command and of the helper: what a machine does that loses its power."""
    for process in reversed(_chain(command)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
