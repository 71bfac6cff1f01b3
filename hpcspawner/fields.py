"""The options of a start, one definition for form, REST body, URL and the helper: names, kinds, grammar, words.

Standard library only, and Python 3.8 or newer. A value is an int (numbers; memory in MiB, walltime in seconds) or a
str. Nothing that passes here holds a control character, a line end, a quote or anything else that a shell, a
directive or a template could take for more than text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Union

from . import sitemodel, units

Value = Union[int, str]

COUNT, MEMORY, WALLTIME, NAME, PATH = "count", "memory", "walltime", "name", "path"

LONGEST_NAME = 64
LONGEST_PATH = 1024

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@:+/-]{0,63})\Z")
# What a directory may hold besides letters and digits of any language. No quote, $, backslash, brace, ; & | < > * ?
_PATH_MARKS = frozenset(" ._-+=@%,:/~()[]#^!")


@dataclasses.dataclass(frozen=True)
class Field:
    """One option: how its value is written, and its name for people."""

    name: str
    kind: str
    label: str
    help: str = ""
    least: int = 0
    """Smallest number that makes sense, in MiB or seconds where it is memory or walltime."""
    most: int = 0
    """Largest number that is not a slip of the keyboard."""

    @property
    def numeric(self) -> bool:
        return self.kind in (COUNT, MEMORY, WALLTIME)

    @property
    def neutral(self) -> Value | None:
        """The value that asks for nothing; None: the field is not sent and the scheduler's default holds."""
        return {"nodes": 1, "gpus": 0}.get(self.name) if self.numeric else ""

    def parse(self, value: Any) -> Value:
        """A value as JSON or a form gives it; raises ValueError in words. Bare memory is MiB, bare walltime minutes."""
        if isinstance(value, str):
            _check_text(value, LONGEST_PATH if self.kind == PATH else LONGEST_NAME)
            value = value.strip(" ")
        if self.kind == MEMORY:
            return self._sane(units.parse_memory(value))
        if self.kind == WALLTIME:
            return self._sane(units.parse_walltime(value))
        if self.kind == COUNT:
            return self._sane(units.parse_int(value))
        if not isinstance(value, str):
            raise ValueError(f"{units.shown(value)} is no text")
        return _path(value) if self.kind == PATH else _name(value)

    def text(self, value: Value) -> str:
        """The value as a user may type it: parse() reads it back."""
        if self.kind == MEMORY:
            return units.format_memory(int(value))
        if self.kind == WALLTIME:
            return units.format_walltime(int(value))
        return str(value)

    def say(self, value: Value) -> str:
        """The value for people, with its unit: '4 GiB', '2 h', '3 cores'."""
        if self.kind == MEMORY:
            return units.say_memory(int(value))
        if self.kind == WALLTIME:
            return units.say_walltime(int(value))
        if self.kind == COUNT:
            return f"{value} {_noun(self.name, int(value))}"
        return str(value)

    def plain(self, value: Value) -> Value:
        """The value for JSON: counts as numbers, all else as text with its unit."""
        return int(value) if self.kind == COUNT else self.text(value)

    def _sane(self, number: int) -> int:
        if number < self.least:
            raise ValueError(f"{self.text(number)} is less than {self.text(self.least)}")
        if number > self.most:
            raise ValueError(f"{self.text(number)} is more than {self.text(self.most)}")
        return number


def _all() -> dict[str, Field]:
    found = (
        Field("cluster", NAME, "Cluster"),
        Field("profile", NAME, "Profile"),
        Field("partition", NAME, "Partition", "Where the job runs; also called queue."),
        Field("account", NAME, "Account", "The project that the job is counted for."),
        Field("qos", NAME, "QOS", "Quality of service, where your project has several."),
        Field("reservation", NAME, "Reservation", "Only where nodes were reserved for you or your course."),
        Field("nodes", COUNT, "Nodes", "", 1, 100_000),
        Field("cores", COUNT, "Cores", "", 1, 100_000),
        Field("memory", MEMORY, "Memory", "For example 8G or 512M.", 1, 1024**3),
        Field("gpus", COUNT, "GPUs", "", 0, 10_000),
        Field("gpu_type", NAME, "GPU type"),
        Field("walltime", WALLTIME, "Walltime", "Hours:minutes:seconds; the server ends then.", 60, 3660 * 86400),
        Field("environment", NAME, "Software", "The software that notebooks run with."),
        Field("app", NAME, "Application"),
        Field("workdir", PATH, "Working directory", "Where the server starts; empty: your home directory."),
    )
    return {field.name: field for field in found}


FIELDS: Mapping[str, Field] = _all()
"""Every option by name, in the order of sitemodel.OPTIONS."""

ALIASES: Mapping[str, str] = {"queue": "partition"}

assert tuple(FIELDS) == sitemodel.OPTIONS

_NOUNS = {"nodes": "node", "cores": "core", "gpus": "GPU"}


def _noun(name: str, count: int) -> str:
    word = _NOUNS.get(name, name)
    return word if count == 1 else word + "s"


def _check_text(value: str, longest: int) -> None:
    if len(value) > longest:
        raise ValueError(f"a text of {len(value)} characters is longer than {longest}")
    if not value.isprintable():
        raise ValueError(f"{units.shown(value)} holds a control character or a line end")


def _name(value: str) -> str:
    if not _NAME.match(value):
        rule = "letters, digits and _ . @ : + / - are allowed, and the first is a letter, a digit or _"
        raise ValueError(f"{units.shown(value)} is no name; {rule}")
    return value


def _path(value: str) -> str:
    bad = sorted({mark for mark in value if not (mark.isalnum() or mark in _PATH_MARKS)})
    if bad:
        raise ValueError("{} holds {}, which a directory here may not".format(units.shown(value), " ".join(bad)))
    if not (value.startswith("/") or value == "~" or value.startswith("~/")):
        raise ValueError(f"{units.shown(value)} must start with / or ~/")
    if ".." in value.split("/"):
        raise ValueError(f"{units.shown(value)} holds '..'")
    return value
