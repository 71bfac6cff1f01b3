"""How the last job of a server ended: kept in the hub's database after the job, until the next one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class LastEnding:
    """text: one or two sentences for the user; at: seconds since the epoch; both empty where nothing is to be told."""

    text: str = ""
    at: float = 0.0
    job_id: str = ""

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def words(self) -> str:
        """'Your last job (77) ended on 2026-01-31 at 14:05: A node of the job failed.'"""
        if not self.text:
            return ""
        job = f" ({self.job_id})" if self.job_id else ""
        return f"Your last job{job} ended on {time.strftime('%Y-%m-%d at %H:%M', time.localtime(self.at))}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """For the server's state."""
        return dataclasses.asdict(self) if self.text else {}

    @classmethod
    def from_json(cls, given: Any) -> LastEnding:
        """What as_json made, also by another version; nothing where it is something else."""
        if not isinstance(given, Mapping) or not isinstance(given.get("text"), str):
            return cls()
        at = given.get("at")
        return cls(given["text"], float(at) if isinstance(at, (int, float)) else 0.0, str(given.get("job_id") or ""))
