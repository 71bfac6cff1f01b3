"""Failures in words: what a user reads on the page, and what the hub's log says besides."""

from __future__ import annotations

import html

from jupyterhub.spawner import SpawnException


class StartFailure(SpawnException):  # type: ignore[misc]
    """A start that did not succeed for a reason that is no fault of the hub.

    text is shown to the user as it stands; lines (the end of the job's log) below it.
    """

    def __init__(
        self, text: str, *, reason: str, lines: tuple[str, ...] = (), status: int = 400, log: str = ""
    ) -> None:
        shown = text + ("\n" + "\n".join(lines) if lines else "")
        body = f"<p>{html.escape(text)}</p>"
        if lines:
            body += '<pre class="hpc-log">' + html.escape("\n".join(lines)) + "</pre>"
        super().__init__(text, reason=reason, message_html=body, log_message=log or shown, status_code=status)
        # Pages and events read these two names, which the base class does not set.
        self.jupyterhub_message = shown
        self.jupyterhub_html_message = body


def refused_choice(text: str) -> StartFailure:
    """A choice that is not allowed, out of range, malformed or unknown."""
    return StartFailure(text, reason="options", status=400)


def drained(text: str) -> StartFailure:
    """An admin keeps the cluster free of new servers for a while."""
    return StartFailure(text, reason="drained", status=503)


def refused_job(text: str) -> StartFailure:
    """The scheduler said no."""
    return StartFailure(f"The scheduler refused the job: {text}", reason="refused", status=400)


def not_submitted(text: str) -> StartFailure:
    """The job could not be submitted; nothing runs."""
    return StartFailure(f"The job could not be submitted: {text}", reason="submit", status=503)


def lost(text: str) -> StartFailure:
    """The submit got no answer and the job was not found; should it turn up it is cancelled."""
    return StartFailure(
        f"The scheduler did not say whether it took the job: {text} "
        "If the job turns up later it is cancelled. Please try again.",
        reason="submit",
        status=503,
    )


def waited_too_long(seconds: float, words: str) -> StartFailure:
    """Queue time is over."""
    return StartFailure(
        f"The job did not start within {_minutes(seconds)}, the longest that this profile waits in the queue. "
        f"Last state: {words}. The job was cancelled.",
        reason="queue_timeout",
        status=503,
    )


def started_too_slowly(seconds: float, lines: tuple[str, ...], log: str) -> StartFailure:
    """The job runs, but no server reported."""
    return StartFailure(
        f"The job runs, but its server did not report within {_minutes(seconds)}. The job was cancelled. Log: {log}",
        reason="start_timeout",
        lines=lines,
        status=503,
    )


def ended(text: str, lines: tuple[str, ...]) -> StartFailure:
    """The job ended before its server was ready."""
    return StartFailure(text, reason="ended", lines=lines, status=503)


def _minutes(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 120 else f"{round(seconds / 60)} min"
