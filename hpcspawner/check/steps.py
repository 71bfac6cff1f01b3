"""What a check prints: one line a step, and below a failure what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

_INDENT = " " * 6


class Steps:
    """Prints each step at once, since some take minutes, and remembers whether one failed."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    @property
    def code(self) -> int:
        """Exit code of the command."""
        return 1 if self.counts["FAIL"] else 0

    def heading(self, words: str) -> None:
        self._print(f"\n{words}")

    def ok(self, title: str, found: str, *notes: str) -> bool:
        """Always True, so that a step can end with it."""
        return self._step("ok", title, found, notes)

    def fail(self, title: str, found: str, *advice: str, lines: Iterable[str] = ()) -> bool:
        """Always False. advice: what to do, the most likely first. lines: what somebody else said, such as a log."""
        self._step("FAIL", title, found, ())
        for line in lines:
            self._print(f"{_INDENT}| {line}")
        for sentence in advice:
            self._print(f"{_INDENT}-> {sentence}")
        return False

    def skip(self, title: str, why: str) -> bool:
        """Always False: what was not tried cannot be built on."""
        self._step("skip", title, why, ())
        return False

    def wait(self, words: str) -> None:
        """Tells on standard error what is being waited for; no part of the result."""
        print(f"{_INDENT}... {words}", file=sys.stderr, flush=True)

    def summary(self) -> None:
        counts = self.counts
        told = f"{counts['ok']} ok, {counts['FAIL']} failed"
        self._print(f"\n{told}, {counts['skip']} skipped" if counts["skip"] else f"\n{told}")

    def _step(self, state: str, title: str, found: str, notes: Iterable[str]) -> bool:
        self.counts[state] += 1
        self._print(f"{state:<4}  {title}: {found}")
        for note in notes:
            self._print(f"{_INDENT}{note}")
        return state == "ok"

    def _print(self, line: str) -> None:
        # Logs and error texts come from elsewhere; what a terminal would obey is not for this page.
        shown = "".join(x if x.isprintable() or x == "\n" else "?" for x in line)
        print(shown, file=self._out, flush=True)
