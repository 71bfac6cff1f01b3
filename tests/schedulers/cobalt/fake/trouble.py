"""How Cobalt's commands fail when its components are away."""

from __future__ import annotations

import sys
import time

import fakebatch
from fakebatch import State

NOISE = 'No handlers could be found for logger "Proxy"\n'
_WHERE = "Proxy.py     :L#422:cn:{}"


class Exit(Exception):
    """The command ends with this code."""

    def __init__(self, code: int, err: str = "", out: str = "") -> None:
        super().__init__(code)
        self.code, self.err, self.out = code, err, out


def fault(text: str, number: int = 1001) -> Exit:
    """A refusal by the queue manager."""
    quote = '"' if "'" in text else "'"
    return Exit(1, "{}<Fault {}: {}{}{}>\n".format(NOISE, number, quote, text.replace("\n", "\\n"), quote))


def reach(state: State, action: str) -> None:
    """Raises Exit where what the action needs is away; hangs where everything hangs."""
    while state.switch("hung") is not None:
        time.sleep(fakebatch.TICK)
    down = state.switch("down")
    if down not in ("all", "slp", "cqm") and not (down == "system" and action == "add_jobs"):
        return
    noise = NOISE if down in ("all", "slp") and state.switch("quiet") is None else ""
    if action != "add_jobs":
        text = "component error: Following exception occurred while trying to execute queue-manager.{}: {}\n\n"
        raise Exit(1, noise + text.format(action, _WHERE.format("queue-manager")))
    if down == "cqm":
        raise Exit(1, _WHERE.format("queue-manager") + "\n")
    raise Exit(1, noise + "component error: Failed to connect to system: {}\n\n".format(_WHERE.format("system")))


def say(end: Exit) -> int:
    sys.stdout.write(end.out)
    sys.stderr.write(end.err)
    return end.code
