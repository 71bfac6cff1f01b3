"""Any other command as the server of a job: gets a free port, and is reported once it is this command that listens."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping

if TYPE_CHECKING or __package__:
    from . import hpcspawner_idle as idle
    from . import hpcspawner_place as place
    from . import hpcspawner_process as process
    from . import hpcspawner_report as report
    from . import hpcspawner_session as session
else:
    import hpcspawner_idle as idle
    import hpcspawner_place as place
    import hpcspawner_process as process
    import hpcspawner_report as report
    import hpcspawner_session as session

TRIES = 5
"""How often the command is started with another port when somebody else took the first."""
BUSY_SHARE = 0.05
"""A command that uses more than this share of a core works."""


class Reporter:
    """Reports one command, and ends it when it is idle. Its threads end with the process."""

    def __init__(self, settings: Mapping[str, Any], environ: Dict[str, str], say: Callable[[str], None]) -> None:
        self.settings = settings
        self.environ = environ
        self.say = say
        self.port = 0
        self.tries = 0
        self.taken = False
        self.over = threading.Event()

    def choose_port(self) -> Dict[str, str]:
        """A free port; what replaces {port}, {base_url} and {host} in the command. Raises PlaceError."""
        first, last = self.settings["ports"]
        held = place.hold_port((first, last), self.settings["bind"])
        self.port = held.port
        # Released now: not every server sets SO_REUSEADDR. Whether it got the port is looked at later.
        held.release()
        url = self.environ.get("JUPYTERHUB_SERVICE_URL") or ""
        self.environ["JUPYTERHUB_SERVICE_URL"] = place.with_port(url, self.port, self.settings["bind"])
        return {
            "port": str(self.port),
            "base_url": self.environ.get("JUPYTERHUB_SERVICE_PREFIX") or "/",
            "host": self.settings["bind"] or "0.0.0.0",  # noqa: S104
        }

    def watch(self, pid: int) -> None:
        """Begins to watch the command with this process id."""
        self.taken = False
        self.over = threading.Event()
        threading.Thread(target=self._watch, args=(pid, self.over), daemon=True).start()

    def again(self) -> bool:
        """Called when the command has ended: whether to start it with another port."""
        self.over.set()
        ours = session.read(self.settings["notes"])
        if ours.get("reported") or ours.get("reason"):
            return False
        self.taken = self.taken or bool(process.listeners(self.port))
        self.tries += 1
        if self.taken and self.tries < TRIES:
            self.say("port {} was taken by somebody else; starting again".format(self.port))
            return True
        return False

    def _watch(self, pid: int, over: threading.Event) -> None:
        pause = 0.05
        while not over.wait(pause):
            listens = process.listens(pid, self.port)
            if listens:
                break
            if listens is False:
                self.taken = True
                _end(pid)
                return
            pause = min(pause * 1.5, 1.0)
        else:
            return
        self.say("the command listens on port {}; telling the hub".format(self.port))
        if self.settings.get("idle") or self.settings.get("unclaimed"):
            threading.Thread(target=self._watch_idle, args=(pid, over), daemon=True).start()
        body = {**self.settings["body"], "port": self.port}
        try:
            if report.deliver(self.settings["report"], body, self.environ, self.say, over.wait):
                session.note(self.settings["notes"], reported=True)
        except report.Refused as error:
            self._end_for(str(error), pid)

    def _watch_idle(self, pid: int, over: threading.Event) -> None:
        """An open connection (a tab) or CPU time counts as work here: no more can be seen of a strange program."""
        started = worked = time.time()
        claimed, connected, used, then = False, False, 0.0, time.monotonic()
        pause = idle.interval(self.settings)
        while not over.wait(pause):
            now = time.monotonic()
            spent = process.cpu_seconds(process.family(pid))
            before, connected = connected, process.connections(self.port) > 0
            busy = spent - used > BUSY_SHARE * (now - then)
            used, then = spent, now
            # Seen twice: the hub itself connects for a moment to see whether the server answers.
            claimed = claimed or (before and connected)
            if busy or connected or idle.helpers_work(self.settings.get("busy") or "", time.time()):
                worked = time.time()
            reason = idle.verdict(time.time(), worked, claimed, started, self.settings)
            if reason:
                self._end_for(reason, pid)
                return

    def _end_for(self, reason: str, pid: int) -> None:
        session.note(self.settings["notes"], reason=reason)
        _end(pid)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError:
        pass
