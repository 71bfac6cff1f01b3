"""The last lines of a job's log, as text that a page can show."""

from __future__ import annotations

import os
import re
from typing import List, Tuple

from .faults import Fault
from .jobfolder import JobFolders

_MOST = 65_536
_LINE = 1000
# Colours and cursor movements of terminals, and what else cannot be shown.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def last_lines(folders: JobFolders, tag: str, count: int) -> Tuple[List[str], str]:
    """At most count lines, and why there are none where the log cannot be read."""
    if not os.path.isdir(folders.log_dir):
        return [], ""
    try:
        with folders.logs(make=False) as logs:
            data = logs.read(tag + ".log", _MOST, tail=True)
    except Fault as fault:
        return [], fault.text
    return ([], "") if data is None or count < 1 else (readable(data)[-count:], "")


def readable(data: bytes) -> List[str]:
    """Lines without terminal codes; of a progress bar that redraws its line only the last picture."""
    text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    lines = [_CONTROLS.sub("", line)[:_LINE].rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines
