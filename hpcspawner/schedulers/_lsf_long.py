"""One job in LSF's long forms: bjobs -l, bjobs -UF and bhist -l."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, List, Optional

from ..job import JobState, JobStatus, Outcome
from . import _lsf_text as text
from . import _lsf_words as words

_EVENT = re.compile(r"((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d+ +\d\d:\d\d:\d\d(?: \d{4})?): (.*)")
_HEAD = re.compile(r"Job (?:Id )?<(\d+)(\[\d+\])?>,")


def unwrapped(long: str) -> List[str]:
    """The lines of a long form made whole.

    The form breaks at column 80 in the middle of a word and goes on below 21 blanks; a break at a blank loses it,
    but then the line falls short of the full width.
    """
    out: List[str] = []
    full = False
    for line in long.splitlines():
        if line.startswith(" " * 21) and out and line.strip():
            out[-1] += ("" if full else " ") + line[21:].rstrip()
        elif line.startswith(" " * 21):
            continue
        else:
            out.append(line.rstrip())
        full = len(line) >= 79
    return out


def blocks(long: str) -> Dict[str, List[str]]:
    """The lines of each job by id."""
    found: Dict[str, List[str]] = {}
    current: Optional[List[str]] = None
    for line in unwrapped(long):
        head = _HEAD.match(line)
        if head:
            current = found.setdefault(head.group(1) + (head.group(2) or ""), [])
        if current is not None:
            current.append(line)
    return found


def parse(long: str, id: str) -> Optional[JobStatus]:
    """What the long form tells about one job; None where it does not show it."""
    found = blocks(long)
    lines = found.get(id) or found.get(id.partition("[")[0])
    if not lines:
        return None
    head = lines[0]
    word = _field(head, "Status")
    status = JobStatus(
        id=id,
        state=words.state(word) if word else JobState.UNKNOWN,
        word=word,
        name=_field(head, "Job Name"),
        user=_field(head, "User"),
        partition=_field(head, "Queue"),
        account=_field(head, "Project"),
        walltime=_limit(lines),
    )
    return _events(status, lines)


def _field(head: str, name: str) -> str:
    # The command, which users choose, stands behind all that is read here; the name stands before it.
    match = re.search(r"(?:^|, ?){} <([^<>]*)>".format(name), head)
    return match.group(1) if match else ""


def _events(status: JobStatus, lines: List[str]) -> JobStatus:
    """The status with what the dated lines below the head tell; later ones count more."""
    found = status
    for line in lines[1:]:
        event = _EVENT.match(line)
        if not event:
            continue
        when, said = text.epoch(event.group(1)), event.group(2)
        if said.startswith("Submitted"):
            found = dataclasses.replace(found, submitted=when, partition=found.partition or _queue(said))
        elif re.match(r"(\[\d+\] )?([Ss]tarted|[Dd]ispatched)", said):
            # In a history this may be a later run, after one that ended.
            over = found.state is JobState.ENDED and not status.word
            if over:
                found = dataclasses.replace(
                    found, state=JobState.UNKNOWN, word="", outcome=None, reason="", exit_code=None, signal=None
                )
            ends = when + status.walltime if when is not None and status.walltime is not None else None
            nodes = _hosts(said) or found.nodes
            found = dataclasses.replace(found, started=when, ends=ends, nodes=nodes)
        elif re.match(r"(Done successfully|Exited|Completed)", said) and not _alive(status):
            found = _ended(found, said, lines)
    if found.state is JobState.ENDED and found.outcome is None:
        found = _ended(found, found.word, lines)
    if found.state.waits:
        found = dataclasses.replace(found, reason=_pending(lines) or words.STATE_WORDS.get(found.word, ""))
    elif found.state is not JobState.ENDED:
        found = dataclasses.replace(found, reason=words.STATE_WORDS.get(found.word, ""))
    return dataclasses.replace(found, ends=None) if found.state is JobState.ENDED or found.state.waits else found


def _alive(status: JobStatus) -> bool:
    """Whether the head says that it has not ended: then an end further below is that of a former run."""
    return bool(status.word) and status.state is not JobState.ENDED


def _queue(said: str) -> str:
    match = re.search(r"Queue <([^<>]*)>", said)
    return match.group(1) if match else ""


def _hosts(said: str) -> "tuple[str, ...]":
    head = re.split(r", (?:Execution|Effective|Allocated)|;|, Task", said)[0]
    return text.hosts(":".join(re.findall(r"<([^<>]*)>", head)))


def _limit(lines: List[str]) -> Optional[int]:
    for index, line in enumerate(lines[:-1]):
        if re.match(r"\s*RUNLIMIT\b", line):
            return text.duration(lines[index + 1])
    return None


def _ended(status: JobStatus, said: str, lines: List[str]) -> JobStatus:
    code = re.search(r"[Ee]xit(?:ed with exit)? code (\d+)", said)
    signal = re.search(r"by signal (\d+)", said)
    terminated = " ".join(re.findall(r"TERM_\w+[^;.]*", " ".join(lines[1:])))
    done = said.startswith("Done") or status.word == "DONE"
    exit_code = 0 if done else int(code.group(1)) if code else status.exit_code
    number = int(signal.group(1)) if signal else status.signal
    outcome, reason = words.ending("DONE" if done else "EXIT", exit_code, number, terminated)
    if outcome is Outcome.UNKNOWN and status.started is None:
        # What never started can only have been taken out of the queue.
        outcome, reason = Outcome.CANCELLED, "cancelled before it started"
    return dataclasses.replace(
        status,
        state=JobState.ENDED,
        word=status.word or ("DONE" if done else "EXIT"),
        outcome=outcome,
        reason=reason,
        exit_code=exit_code,
        signal=number,
    )


def _pending(lines: List[str]) -> str:
    """The sentences below PENDING REASONS."""
    out: List[str] = []
    inside = False
    for line in lines:
        if line.strip() == "PENDING REASONS:":
            inside = True
        elif inside and (not line.strip() or re.match(r"\s*[A-Z][A-Z /]+:?\s*\Z", line)):
            break
        elif inside:
            out.append(line)
    return words.waiting(";".join(out))
