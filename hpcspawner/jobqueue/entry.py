"""Entry: what the queue knows of one job, as pages and spawners read it. Ending: how and why it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..job import JobState, JobStatus, Outcome
from .elements import Part


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a job ended."""

    outcome: Outcome = Outcome.UNKNOWN
    text: str = ""
    """One or two sentences for the user."""
    source: str = ""
    """What proved it: scheduler, end record, accounting, absence, lost, refused, failed or unsubmitted."""
    exit_code: int | None = None
    signal: int | None = None
    ended: float | None = None
    """Seconds since the epoch, where known."""
    lines: tuple[str, ...] = ()
    """Last lines of the job's log."""
    log: str = ""
    """Path of the log, as the user sees it."""

    @property
    def provisional(self) -> bool:
        """Rests on the job not being seen; a job that turns up again proves it wrong."""
        return self.source in ("absence", "lost")

    def as_json(self) -> dict[str, Any]:
        """For the journal; without the log's lines, which are the user's."""
        made = {key: value for key, value in dataclasses.asdict(self).items() if key != "lines" and value}
        return {**made, "outcome": self.outcome.value, "exit_code": self.exit_code, "signal": self.signal}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Ending:
        """What as_json made, also by another version: unknown keys and words are passed over."""
        names = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in given.items() if key in names and key != "lines"}
        values["outcome"] = outcome(values.get("outcome"))
        return cls(**values)


def outcome(word: Any) -> Outcome:
    """The Outcome of that word; an unknown word is UNKNOWN."""
    try:
        return Outcome(word)
    except ValueError:
        return Outcome.UNKNOWN


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One job at one moment. A change makes a new Entry, so that holders can compare."""

    tag: str
    """The job's unique name; the key everywhere."""
    cluster: str
    user: str
    owner_key: str = ""
    """What the caller calls the thing behind the job ('alice/gpu')."""
    kind: str = "server"
    choice: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The canonical options; no secrets."""
    submitted: float = 0.0
    """When the job was asked for; seconds since the epoch."""
    began: float | None = None
    """When the submit command was begun. None: it waits in line, and nothing has reached the scheduler."""
    place: int = 0
    """Place in the line of submits, from 1; 0: not in line."""
    id: str = ""
    """The scheduler's id; empty until it is known."""
    state: JobState = JobState.UNKNOWN
    status: JobStatus | None = None
    """The last answer that showed the job."""
    elements: int = 0
    """Jobs of an array; 0: it is none."""
    parts: Mapping[int, Part] = dataclasses.field(default_factory=dict)
    """Of an array, what is known of each of its jobs, by index from 1 on."""
    run: int = 0
    """How often the scheduler has restarted it, as the job itself reported."""
    reported: bool = False
    """The job itself has said that it runs."""
    notice: str = ""
    """What the scheduler or a site filter said at the submit."""
    changed_by_site: tuple[str, ...] = ()
    """What the site's filters changed: 'partition: long instead of main'."""
    trouble: str = ""
    """Why the state may be old: the scheduler does not answer, or does not show the job."""
    log: str = ""
    folder: str = ""
    cancel_wanted: bool = False
    cancel_taken: bool = False
    """The scheduler has taken the cancel."""
    abandoned: bool = False
    """Nobody waits for it any more: the queue itself cleans up after its end."""
    stored: bool = False
    """Whoever submitted it has it in a database of their own."""
    ended: bool = False
    ended_at: float | None = None
    ending: Ending | None = None
    cleaned: bool = False
    """Secrets and folder are gone."""

    @property
    def outcome(self) -> str:
        """How it ended, in words; empty while it lives."""
        return self.ending.text if self.ending else ""

    def part(self, index: int) -> Part:
        """One job of an array; where it is none, the job itself."""
        if self.ended or not self.elements:
            found = self.parts.get(index)
            status = found.status if found is not None else self.status
            return Part(self.state, status)
        return self.parts.get(index) or Part(self.state if self.state.waits else JobState.UNKNOWN)

    @property
    def in_line(self) -> bool:
        return self.began is None and not self.ended

    @property
    def lost(self) -> bool:
        """A submit was begun and no id is known."""
        return self.began is not None and not self.id and not self.ended

    @property
    def starting(self) -> bool:
        """Something is about to happen: waits, starts, is being ended, or has not reported yet."""
        if self.ended:
            return False
        if self.state is JobState.RUNNING:
            return self.cancel_wanted or (self.kind == "server" and not self.reported)
        return self.state is not JobState.SUSPENDED or self.cancel_wanted
