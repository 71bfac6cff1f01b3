"""Options that only a site's own batch script knows (legacy_options): declared by the admin, values are plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .fields import ALIASES, FIELDS
from .units import shown

LONGEST = 256
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}\Z")
RESERVED = frozenset(
    "cmd username homedir prologue epilogue options keepvars keepvars_extra host srun cluster".split()  # noqa: SIM905
)
"""Names of a batchspawner template that no user sets: shell lines, directives and identities."""

# No white space, quote, $, backslash, backtick, brace, bracket, glob, ; & | < > # ! or ~: in a directive or a shell
# line such a text stays within its word, and no template sees a construct in it.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+=-]*\Z")


def problem(name: str) -> str:
    """Why a site must not declare that name; '' where it may."""
    if not NAME.match(name):
        return f"{shown(name)} is no name: letters, digits and _, at most 32"
    if name in RESERVED:
        return f"{name} is never taken from users"
    if name in FIELDS or name in ALIASES:
        return f"{name} is an option already; the template gets its checked value"
    return ""


def read(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """The declared options among the given ones. Raises ValueError 'name: why'; an empty value counts as missing."""
    found = {}
    for name in names:
        value = given.get(name)
        if isinstance(value, (list, tuple)):
            if len(value) > 1:
                raise ValueError(f"{name}: is given {len(value)} times")
            value = value[0] if value else None
        if isinstance(value, bool) or not (value is None or isinstance(value, (str, int))):
            raise ValueError(f"{name}: {shown(value)} is neither text nor number")
        text = "" if value is None else str(value).strip(" ")
        if text:
            found[name] = plain_value(name, text)
    return found


def plain_value(name: str, text: str) -> str:
    """The text, which holds plain characters only. Raises ValueError."""
    if len(text) > LONGEST:
        raise ValueError(f"{name}: a text of {len(text)} characters is longer than {LONGEST}")
    if not _PLAIN.match(text):
        raise ValueError(f"{name}: {shown(text)} holds more than letters, digits and _ . , : / @ % + = -")
    if text.startswith("-"):
        raise ValueError(f"{name}: {shown(text)} begins with '-', as an option of a command would")
    return text
