"""Words and lines of a batch script."""

from __future__ import annotations

import re
import shlex

ODD = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
"""Characters that end a line or do something to a terminal, and what can't be written as UTF-8."""


def word(text: str) -> str:
    """The text as one word for bash, on one line: no part of it can be read as a directive.

    Raises ValueError for what no command line can carry.
    """
    if "\x00" in text or re.search("[\ud800-\udfff]", text):
        raise ValueError("command: {!r} holds a character that no command line can carry".format(text[:80]))
    if not ODD.search(text):
        return shlex.quote(text)
    body = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + re.sub(r"[\x00-\x1f\x7f]", lambda match: "\\{:03o}".format(ord(match.group())), body) + "'"


def line(field: str, text: str) -> str:
    """A line of the site file; raises ValueError where it is more than one."""
    if "\n" in text or "\r" in text or "\x00" in text:
        raise ValueError("{}: {!r} is more than one line".format(field, text[:80]))
    return text
