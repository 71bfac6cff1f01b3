"""What a site's filters made of a job, in words: the options that were asked for beside what the scheduler shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import units
from ..job import JobState, JobStatus

_SLACK = 90
"""Seconds by which schedulers round a walltime."""


def changes(choice: Mapping[str, Any], status: JobStatus) -> tuple[str, ...]:
    """One text for each option that differs; empty where nothing was asked for or nothing is shown."""
    found = []
    for name in ("partition", "account"):
        asked, shown = choice.get(name), getattr(status, name)
        if isinstance(asked, str) and asked and shown and asked.casefold() != shown.casefold():
            found.append(f"{name}: {shown} instead of {asked}")
    asked = choice.get("walltime")
    if isinstance(asked, int) and status.state is JobState.RUNNING and status.ends and status.started:
        shown_seconds = status.ends - status.started
        if abs(shown_seconds - asked) > _SLACK:
            found.append(
                f"walltime: {units.format_walltime(round(shown_seconds))} instead of {units.format_walltime(asked)}"
            )
    return tuple(found)
