"""Memory, walltime and whole numbers as people write them, and back.

One grammar for the site file, the form, REST bodies and URLs. Standard library only, and Python 3.8 or newer: the
helper checks options too. Each parser takes what JSON, YAML or a form field can hold and raises ValueError in words.
"""

from __future__ import annotations

import re
from typing import Any

MOST = 10**12
"""No option of a job is larger; longer digits are refused before int() has to work on them."""

MEMORY_GRAMMAR = "a size such as 8G, 512M or 1.5T (a plain number is MiB)"
WALLTIME_GRAMMAR = "HH:MM:SS, D-HH:MM:SS or a number of minutes"

_INT = re.compile(r"[+-]?[0-9]{1,13}\Z")
_MEMORY = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?\s*([KMGTP]?)(?:i?B)?\Z", re.IGNORECASE)
_MIB = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
_CLOCK = re.compile(r"([0-9]{1,6}):([0-9]{2}):([0-9]{2})\Z")
_DAYS = re.compile(r"([0-9]{1,5})-([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2}))?)?\Z")
_SHORT = re.compile(r"[0-9]{1,6}:[0-9]{1,2}\Z")


def parse_int(value: Any) -> int:
    """A whole number, given as a number or as text."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("{} is no whole number".format(shown(value)))
    if isinstance(value, str) and not _INT.match(value.strip()):
        raise ValueError("{} is no whole number".format(shown(value)))
    number = int(value)
    if abs(number) > MOST:
        raise ValueError("{} is too large".format(shown(value)))
    return number


def parse_memory(value: Any) -> int:
    """MiB of '8G', '8GiB', '512M', '1.5T' or a number of MiB; at least 1. Units are binary, as schedulers read them."""
    match = _MEMORY.match(_text(value, MEMORY_GRAMMAR))
    if not match:
        raise ValueError("{} is not {}".format(shown(value), MEMORY_GRAMMAR))
    whole, part, unit = match.groups()
    if part and not unit:
        raise ValueError("{} is not {}".format(shown(value), MEMORY_GRAMMAR))
    size = float(whole + "." + (part or "0")) * _MIB[unit.upper()]
    if size < 1:  # 0 is no size: Slurm would read it as all the memory of the node
        raise ValueError("{} is less than 1M".format(shown(value)))
    if size > MOST:
        raise ValueError("{} is too large".format(shown(value)))
    return int(size)


def format_memory(mib: int) -> str:
    """The shortest text that parse_memory reads back as the same number: '8G', '1536M'."""
    for unit in "TG":
        size = int(_MIB[unit])
        if mib >= size and mib % size == 0:
            return "{}{}".format(mib // size, unit)
    return "{}M".format(mib)


def parse_walltime(value: Any) -> int:
    """Seconds of 'HH:MM:SS', 'D-HH:MM:SS' (also 'D-HH:MM', 'D-HH') or a number of minutes; more than 0.

    Two numbers alone ('30:00') are refused: Slurm reads minutes and seconds there, LSF hours and minutes.
    """
    text = _text(value, WALLTIME_GRAMMAR)
    if _INT.match(text):
        seconds = parse_int(text) * 60
    elif _CLOCK.match(text):
        hours, minutes, rest = (int(part) for part in _CLOCK.match(text).groups())  # type: ignore[union-attr]
        seconds = _clock(value, hours, minutes, rest)
    elif _DAYS.match(text):
        parts = _DAYS.match(text).groups("0")  # type: ignore[union-attr]
        days, hours, minutes, rest = (int(part) for part in parts)
        if hours > 23:
            raise ValueError("{} has more than 23 hours after the days".format(shown(value)))
        seconds = days * 86400 + _clock(value, hours, minutes, rest)
    elif _SHORT.match(text):
        raise ValueError("{} can mean hours or minutes; write HH:MM:SS".format(shown(value)))
    else:
        raise ValueError("{} is not {}".format(shown(value), WALLTIME_GRAMMAR))
    if seconds <= 0:
        raise ValueError("{} is no time; it must be more than 0".format(shown(value)))
    if seconds > MOST:
        raise ValueError("{} is too large".format(shown(value)))
    return seconds


def format_walltime(seconds: int) -> str:
    """Text that parse_walltime reads back: '02:00:00', from one day on '1-02:03:04'."""
    days, rest = divmod(int(seconds), 86400)
    clock = "{:02d}:{:02d}:{:02d}".format(rest // 3600, rest // 60 % 60, rest % 60)
    return "{}-{}".format(days, clock) if days else clock


def say_memory(mib: int) -> str:
    """For people: '4 GiB', '1.5 GiB', '512 MiB'. Rounded, not for parsing."""
    for unit, size in (("TiB", 1024**2), ("GiB", 1024)):
        if mib >= size:
            return "{} {}".format("{:.1f}".format(mib / size).replace(".0", ""), unit)
    return "{} MiB".format(mib)


def say_walltime(seconds: int) -> str:
    """For people: '2 h', '1 d 6 h', '1 h 30 min', '45 s'. The two largest units, not for parsing."""
    out = []
    rest = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            out.append("{} {}".format(count, unit))
    return " ".join(out[:2]) or "0 s"


def shown(value: Any) -> str:
    """A value as an error text may quote it: on one line, cut short, control characters escaped.

    Numbers too long to print are named by their size; printing them would itself fail in newer Pythons.
    """
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of {} bits".format(value.bit_length())
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: Any, grammar: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("{} is not {}".format(shown(value), grammar))
    if isinstance(value, int):
        return str(parse_int(value))
    return value.strip()


def _clock(value: Any, hours: int, minutes: int, seconds: int) -> int:
    if minutes > 59 or seconds > 59:
        raise ValueError("{} has more than 59 minutes or seconds".format(shown(value)))
    return hours * 3600 + minutes * 60 + seconds
