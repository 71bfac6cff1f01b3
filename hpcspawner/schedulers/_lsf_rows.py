"""Jobs as every LSF can show them: the rows of `bjobs -w` and `bjobs -p`."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from ..job import JobState, JobStatus
from . import _lsf_text as text
from . import _lsf_words as words

# JOBID USER STAT QUEUE FROM_HOST EXEC_HOST: a job's name may hold blanks, so nothing behind these is safe to split.
_ROW = re.compile(r"(\d+)(\[\d+\])?\s+(\S+)\s+([A-Z][A-Z_]+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+(.*?))?\s*\Z")
_SUBMITTED = re.compile(
    r"(?:^|\s)((?:[A-Z][a-z]{2}\s+\d{1,2}\s+\d{1,2}:\d\d(?::\d\d)?(?:\s+\d{4})?)"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)\Z"
)
_ELEMENT = re.compile(r"\[(\d+)\]\Z")


def parse(out: str) -> Dict[str, JobStatus]:
    """The jobs of the rows by id; elements of arrays as 123[4]. Lines that are no row are passed over."""
    jobs: Dict[str, JobStatus] = {}
    for line in out.splitlines():
        status = _row(line)
        if status is not None:
            keep(jobs, status)
    return jobs


def keep(jobs: Dict[str, JobStatus], status: JobStatus) -> None:
    """Adds a job; of two answers about one id the one that says less about an end counts.

    LSF itself names a job once. A name with a line feed in it could look like a row of somebody else's job, and so
    must never be able to end it.
    """
    known = jobs.get(status.id)
    if known is None or (known.state is JobState.ENDED and status.state is not JobState.ENDED):
        jobs[status.id] = status


def _row(line: str) -> Optional[JobStatus]:
    match = _ROW.match(line)
    if not match:
        return None
    number, index, user, word, queue, _, host, rest = match.groups()
    name, submitted = _name(rest or "")
    element = _ELEMENT.search(name)
    if not index and element:
        index = element.group(0)
    state = words.state(word)
    # Without -w a waiting job has nothing in this column, and the name slips into it.
    nodes = () if state.waits else text.hosts(host)
    return JobStatus(
        id=str(int(number)) + (index or ""),
        state=state,
        word=word,
        reason=words.STATE_WORDS.get(word, ""),
        name=name,
        user=user,
        partition=queue,
        nodes=nodes,
        submitted=submitted,
        outcome=words.ending(word, None, None, "")[0],
    )


def _name(rest: str) -> Tuple[str, Optional[float]]:
    when = _SUBMITTED.search(rest)
    if not when:
        return rest.strip(), None
    return rest[: when.start()].strip(), text.epoch(when.group(1))


def reasons(out: str) -> Dict[str, str]:
    """Why jobs wait, by id: below each row `bjobs -p` sets lines with a blank in front."""
    found: Dict[str, List[str]] = {}
    current = ""
    for line in out.splitlines():
        match = _ROW.match(line)
        if match:
            current = str(int(match.group(1)))
        elif current and line[:1].isspace() and line.strip() and not re.match(r"\s{30}", line):
            found.setdefault(current, []).append(line.strip())
    return {id: words.waiting(";".join(parts)) for id, parts in found.items()}
