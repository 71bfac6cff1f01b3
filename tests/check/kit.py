"""For the tests of `hpcspawner check`: runs it and reads its lines back."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STEP = re.compile(r"(ok  |FAIL|skip)  (.*?): (.*)")


@dataclasses.dataclass(frozen=True)
class Line:
    """One step as it was printed."""

    state: str
    title: str
    found: str
    below: tuple[str, ...] = ()


class Page:
    """All that a check printed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: list[Line] = []
        for line in text.splitlines():
            match = _STEP.fullmatch(line)
            if match:
                self.lines.append(Line(match[1].strip(), match[2], match[3]))
            elif line.startswith(" " * 6) and self.lines:
                last = self.lines[-1]
                self.lines[-1] = dataclasses.replace(last, below=(*last.below, line.strip()))

    def step(self, title: str) -> Line:
        found = [line for line in self.lines if line.title == title]
        assert len(found) == 1, f"{title}: {len(found)} times in\n{self.text}"
        return found[0]

    def failed(self) -> list[str]:
        return [line.title for line in self.lines if line.state == "FAIL"]

    def advice(self, title: str) -> str:
        return "\n".join(self.step(title).below)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder like /tmp, where other users can make their own."""
    path = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    path.mkdir()
    os.chmod(path, 0o1777)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
