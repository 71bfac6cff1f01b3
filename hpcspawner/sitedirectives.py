"""Native directives in a site file: one option on a line, and never one that a job's own fields set.

A second --mem or -q would silently win over (or lose to) what the user chose and the form showed.
"""

from __future__ import annotations

import re

from . import schedulers
from .units import shown

_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z0-9_-]*)(?:[\s=]|\Z)")


def directive_problem(scheduler: str, line: str) -> str:
    """Why the line can't be a directive of that scheduler; '' where it can."""
    if "\n" in line or "\r" in line or not line.replace("\t", "").isprintable():
        return f"{shown(line)} must be one line"
    for prefix in _prefixes():
        if re.match(rf"#?\s*{re.escape(prefix.lstrip('#'))}(?![\w-])", line):
            return f"{shown(line)}: leave out {prefix}"
    match = _OPTION.match(line)
    if not match:
        return f"{shown(line)} must begin with an option such as --constraint=..."
    option, taken = match.group(1), own(scheduler)
    if not option.startswith("--") and not any(len(one) > 2 and not one.startswith("--") for one in taken):
        option = option[:2]  # -N2 is -N 2, where no option of one dash is longer than a letter
    if option in taken:
        return f"{option} is set from the options of the job; use 'fields' or 'exclusive', 'requeue', 'log_dir'"
    return ""


def own(scheduler: str) -> frozenset[str]:
    """Directive options that the dialect sets itself, all spellings; empty where the dialect does not tell."""
    try:
        dialect = schedulers.load(scheduler)
    except (ValueError, ImportError):
        return frozenset()
    return frozenset(dialect.OWN_DIRECTIVES)


def _prefixes() -> list[str]:
    """What begins a directive in a script, of any dialect: lines are copied from scripts for another one, too."""
    return [prefix for prefix in (schedulers.load(name).DIRECTIVE for name in schedulers.names()) if prefix]
