"""Why a job ended: scheduler, the job's own end record, accounting, else not known. And the sentence for the user."""

from __future__ import annotations

import dataclasses
import signal as signals
import time
from collections.abc import Mapping
from typing import Any

from ..job import JobStatus, Outcome
from ..units import format_walltime
from . import answers
from .desk import TROUBLE, Desk, words
from .entry import Ending, Entry

_SENTENCES: Mapping[Outcome, str] = {
    Outcome.COMPLETED: "The job ended by itself.",
    Outcome.FAILED: "The job failed.",
    Outcome.CANCELLED: "The job was cancelled.",
    Outcome.TIMEOUT: "The job reached the end of its walltime.",
    Outcome.OUT_OF_MEMORY: "The job needed more memory than it had asked for and was ended.",
    Outcome.NODE_FAILURE: "A node of the job failed.",
    Outcome.PREEMPTED: "The scheduler ended the job to make room for another one.",
    Outcome.LAUNCH_FAILURE: "The scheduler could not launch the job.",
    Outcome.UNKNOWN: "The job ended; the reason is not known.",
}
_TELL_ALL = (Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.PREEMPTED)
"""Outcomes whose sentence says all; the scheduler's reason would say it twice."""
_PLAIN = (Outcome.COMPLETED, Outcome.FAILED)
"""Outcomes that the job's own record may know better."""


def of_status(status: JobStatus, source: str = "scheduler") -> Ending:
    """The Ending that the scheduler's (or accounting's) word makes."""
    outcome = status.outcome or Outcome.UNKNOWN
    if outcome is Outcome.UNKNOWN and (status.exit_code or status.signal):
        outcome = Outcome.FAILED
    text = sentence(outcome, status.exit_code, status.signal, status.reason)
    if outcome is Outcome.TIMEOUT and status.walltime:
        text = f"{text[:-1]} ({format_walltime(status.walltime)})."
    return Ending(outcome, text, source, status.exit_code, status.signal, status.ends)


CAUSES: Mapping[str, Outcome] = {"walltime": Outcome.TIMEOUT, "memory": Outcome.OUT_OF_MEMORY}
"""What the wrapper has found out about the end, in the words of its record."""


def of_record(record: Mapping[str, Any], entry: Entry) -> Ending:
    """The Ending that the end record of the in-job wrapper makes."""
    code, signal = answers.number(record, "exit_code"), answers.number(record, "signal")
    reason = answers.spoken(answers.text(record, "reason"))
    failed = bool(code) or bool(signal)
    outcome = CAUSES.get(answers.text(record, "cause")) or (Outcome.FAILED if failed else Outcome.COMPLETED)
    if outcome is Outcome.FAILED and entry.cancel_wanted:
        outcome = Outcome.CANCELLED
    return Ending(
        outcome,
        _proper(reason) or sentence(outcome, code, signal, ""),
        "end record",
        code,
        signal,
        answers.moment(record.get("ended")),
        answers.lines(record.get("lines")),
        entry.log,
    )


def of_absence(entry: Entry) -> Ending:
    """Nothing but its absence tells that the job ended."""
    if entry.cancel_taken:
        return Ending(Outcome.CANCELLED, _SENTENCES[Outcome.CANCELLED], "absence", log=entry.log)
    return Ending(Outcome.UNKNOWN, _SENTENCES[Outcome.UNKNOWN], "absence", log=entry.log)


def sentence(outcome: Outcome, code: int | None, signal: int | None, reason: str) -> str:
    """What a user reads."""
    text = _SENTENCES[outcome]
    if outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.LAUNCH_FAILURE):
        if signal:
            text = f"{text[:-1]} ({signal_name(signal)})."
        elif code:
            text = f"{text[:-1]} (exit code {code})."
    reason = "" if outcome in _TELL_ALL else reason.strip()
    if outcome is Outcome.CANCELLED and reason.startswith("cancelled by "):
        return f"The job was {reason}."
    if reason and reason.rstrip(".").casefold() not in text.casefold():
        text += " " + _proper(reason)
    return text


def _proper(text: str) -> str:
    """As a sentence, with a capital and an end."""
    text = text.strip()
    return text and text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def signal_name(number: int) -> str:
    """'signal 9, SIGKILL'; a number that this machine does not know stays a number."""
    try:
        return f"signal {number}, {signals.Signals(number).name}"
    except ValueError:
        return f"signal {number}"


def merge(scheduler: Ending | None, record: Ending | None, detail: Ending | None) -> Ending | None:
    """The first that knows the outcome wins; what it leaves open, the next ones fill.

    Where the scheduler only knows that the job ended or failed, the reason that the job itself noted ('no work for
    30 minutes') says more.
    """
    found = [ending for ending in (scheduler, record, detail) if ending is not None]
    known = [ending for ending in found if ending.outcome is not Outcome.UNKNOWN]
    if not found:
        return None
    best = (known or found)[0]
    text = best.text
    if record is not None and best.outcome in _PLAIN and record.outcome is not Outcome.UNKNOWN:
        text = record.text
        # A scheduler that counts no memory knows only that the job failed.
        best = dataclasses.replace(best, outcome=record.outcome if record.outcome not in _PLAIN else best.outcome)
    elif detail is not None and best.outcome is Outcome.CANCELLED is detail.outcome:
        # Only the accounting knows by whom.
        text = detail.text
    return dataclasses.replace(
        best,
        text=text,
        exit_code=next((e.exit_code for e in found if e.exit_code is not None), None),
        signal=next((e.signal for e in found if e.signal is not None), None),
        ended=next((e.ended for e in found if e.ended is not None), None),
        lines=next((e.lines for e in found if e.lines), ()),
        log=next((e.log for e in found if e.log), ""),
    )


def record_counts(record: Mapping[str, Any] | None, entry: Entry) -> bool:
    """Whether an end record is about this job and its last run: one that was requeued may have left an older one."""
    if record is None or record.get("tag") != entry.tag:
        return False
    run = answers.number(record, "run")
    if run is None or run > entry.run:
        return True
    # What ran and waits again was put back into the queue: its record tells of the former run.
    waits_again = entry.reported and entry.status is not None and entry.status.state.waits
    return run == entry.run and not (waits_again and not entry.ended)


class Postmortem:
    """Asks the owner's files and the accounting about one job."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def tail(self, entry: Entry, lines: int) -> tuple[Mapping[str, Any], Ending | None, JobStatus | None]:
        """The helper's answer, the Ending of the end record, the scheduler's detail. Raises HelperError, Garbled."""
        # Of an array the scheduler would tell about some one of its jobs.
        id = "" if entry.elements else entry.id
        answer = await self.desk.call("tail", entry.user, tag=entry.tag, id=id, lines=lines)
        record, detail = answers.table(answer, "end"), answers.table(answer, "detail")
        noted = of_record(record, entry) if record is not None and record_counts(record, entry) else None
        return answer, noted, answers.status(detail) if detail is not None else None

    async def why(self, entry: Entry, lines: int) -> Ending:
        """How the job ended with the last lines of its log; of a job that lives, the lines and what it does."""
        shown = entry.ending
        if entry.began is None or not entry.id or (shown is not None and shown.source in ("refused", "failed")):
            return shown or Ending(text="The job has not been submitted yet.", log=entry.log)
        try:
            answer, record, status = await self.tail(entry, lines)
        except TROUBLE as error:
            self.desk.log.info("The log of %s cannot be read: %s", entry.tag, words(error))
            return dataclasses.replace(shown or _living(entry), log=entry.log)
        read, path = answers.lines(answer.get("log")), answers.text(answer, "path") or entry.log
        detail = of_status(status, "accounting") if status is not None and not status.state.lives else None
        if not entry.ended:
            return dataclasses.replace(_living(entry), lines=read or (record.lines if record else ()), log=path)
        proved = shown if shown is not None and not shown.provisional else None
        ending = merge(proved, record, detail) or shown or of_absence(entry)
        if ending.text == _SENTENCES[Outcome.CANCELLED]:
            ending = dataclasses.replace(ending, text=_cancelled(entry))
        ending = dataclasses.replace(ending, lines=read or ending.lines, log=path, ended=ending.ended or entry.ended_at)
        if entry.tag in self.desk.book:
            self.desk.book.change(entry.tag, ending=ending)
        return ending


def _cancelled(entry: Entry) -> str:
    """By whom, as far as it is known without the scheduler's accounting."""
    if entry.cancel_wanted:
        return "The job was cancelled from the hub."
    return "The job was cancelled on the cluster, by its owner or an administrator."


def _living(entry: Entry) -> Ending:
    reason = entry.status.reason if entry.status else ""
    text = f"The job has not ended; it is {entry.state.value}."
    return Ending(text=text + (f" {reason}." if reason else ""), log=entry.log, ended=None)


def since(at: float, text: str) -> str:
    """'since 14:05: text'; at: seconds since the epoch."""
    return f"since {time.strftime('%H:%M', time.localtime(at))}: {text}"
