"""How the embedded queue shows a job."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

from ..job import JobState, JobStatus, Outcome

STATES: Mapping[str, JobState] = {
    "PENDING": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "ENDING": JobState.ENDING,
    "ENDED": JobState.ENDED,
}
_OUTCOMES: Mapping[str, Tuple[Outcome, str]] = {
    "COMPLETED": (Outcome.COMPLETED, ""),
    "FAILED": (Outcome.FAILED, ""),
    "CANCELLED": (Outcome.CANCELLED, "cancelled"),
    "TIMEOUT": (Outcome.TIMEOUT, "the walltime was reached"),
    "LAUNCH": (Outcome.LAUNCH_FAILURE, "it could not be launched"),
}


def _number(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def status(row: Mapping[str, Any]) -> JobStatus:
    """The job in our words; raises KeyError, TypeError or ValueError for what is no row of the queue."""
    state = STATES.get(row["state"], JobState.UNKNOWN)
    end: Mapping[str, Any] = row.get("end") or {}
    begun, walltime = _number(row.get("started")), _number(row.get("walltime"))
    outcome, reason = _how(end) if state is JobState.ENDED else (None, "")
    if state is JobState.PENDING:
        reason = "waiting for free cores or memory of this machine"
    return JobStatus(
        id=str(row["id"]),
        state=state,
        word=str(row["state"]),
        reason=reason,
        name=str(row.get("name") or ""),
        user=str(row.get("user") or ""),
        partition=str(row.get("partition") or ""),
        account=str(row.get("account") or ""),
        nodes=("localhost",) if begun else (),
        submitted=_number(row.get("submitted")),
        started=begun,
        ends=begun + walltime if begun and walltime and state is not JobState.ENDED else None,
        walltime=int(walltime) if walltime else None,
        outcome=outcome,
        exit_code=end.get("exit_code"),
        signal=end.get("signal"),
    )


def _how(end: Mapping[str, Any]) -> Tuple[Outcome, str]:
    outcome, reason = _OUTCOMES.get(str(end.get("outcome")), (Outcome.UNKNOWN, ""))
    if outcome is Outcome.UNKNOWN:
        return outcome, "its supervisor process was killed"
    if end.get("reason"):
        reason = "it could not be launched: {}".format(end["reason"])
    elif outcome is Outcome.FAILED and end.get("signal"):
        reason = "ended by signal {}".format(end["signal"])
    elif outcome is Outcome.FAILED:
        reason = "the command ended with exit code {}".format(end.get("exit_code"))
    return outcome, reason
