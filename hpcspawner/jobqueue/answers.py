"""Answers of the helper as values. What is not understood is Garbled, and says nothing about jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..job import JobState, JobStatus, Outcome

_NAMES = frozenset(field.name for field in dataclasses.fields(JobStatus))
_TEXTS = ("id", "word", "reason", "name", "user", "partition", "account")
_TIMES = ("submitted", "started", "ends", "estimated_start")
_STATES = {state.value: state for state in JobState}
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class Garbled(Exception):
    """An answer that does not have the promised shape."""


def status(given: Any) -> JobStatus:
    """A JobStatus that came through JSON; raises Garbled."""
    if not isinstance(given, Mapping):
        raise Garbled("a job's status is no table")
    values = {key: value for key, value in given.items() if key in _NAMES}
    for key in _TEXTS:
        if not isinstance(values.get(key, ""), str):
            raise Garbled(f"{key} of a job's status is no text")
    for key in _TIMES:
        time = values.get(key)
        if time is not None and moment(time) is None:
            raise Garbled(f"{key} of a job's status is no time")
    if not values.get("id") or "state" not in values:
        raise Garbled("a job's status has no id or no state")
    # A state that only a newer helper knows is unknown, never ended.
    values["state"] = _STATES.get(str(values["state"]), JobState.UNKNOWN)
    values["outcome"] = _OUTCOMES.get(str(values["outcome"]), Outcome.UNKNOWN) if values.get("outcome") else None
    values["reason"] = spoken(values.get("reason", ""))
    nodes = values.get("nodes", ())
    if not isinstance(nodes, (list, tuple)) or not all(isinstance(node, str) for node in nodes):
        raise Garbled("nodes of a job's status are no list of texts")
    values["nodes"] = tuple(nodes)
    return JobStatus(**values)


def moment(value: Any) -> float | None:
    """Seconds since the epoch; None for what is no time, as JSON's NaN, Infinity and numbers of a thousand digits."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e11 else None


def spoken(text: str, most: int = 500) -> str:
    """A text that users or schedulers wrote, as part of one line: it must not look like lines of our own in a log."""
    return shown(" ".join(text.split()), most)


def shown(text: str, most: int = 1000) -> str:
    """One line of a job's log without control characters."""
    return "".join(mark if mark.isprintable() or mark == "\t" else " " for mark in text[:most])


def lines(given: Any, most: int = 500) -> tuple[str, ...]:
    """The last of these lines of text; nothing where it is no list."""
    found = [line for line in given if isinstance(line, str)] if isinstance(given, list) else []
    return tuple(shown(line) for line in found[-most:])


def jobs(answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The jobs of an answer to 'query', each still as JSON; raises Garbled."""
    found = answer.get("jobs")
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise Garbled("the answer has no table of jobs")
    return found


def seconds(answer: Mapping[str, Any], measured: float) -> float:
    """What the scheduler's command took; the hub's own measure where the helper does not tell."""
    told = answer.get("seconds")
    return float(told) if isinstance(told, (int, float)) and not isinstance(told, bool) and told >= 0 else measured


def table(answer: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """A table of the answer, or None where it is absent or null; raises Garbled."""
    value = answer.get(key)
    if value is not None and not isinstance(value, dict):
        raise Garbled(f"{key} is no table")
    return value


def text(answer: Mapping[str, Any], key: str) -> str:
    """A text of the answer; '' where it is absent or something else."""
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def number(given: Mapping[str, Any], key: str) -> int | None:
    """A whole number of a table; None where it is absent or something else."""
    value = given.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
