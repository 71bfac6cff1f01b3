"""LSF's ways of writing ids, hosts, times and errors."""

from __future__ import annotations

import functools
import re
import time
from typing import List, Optional, Sequence, Tuple

from ..job import Result, SchedulerUnavailable

ENVIRONMENT = {"LSB_NTRIES": "1"}
"""Where mbatchd is away the commands retry for ever; with this they say so at once. Against one that hangs only our
own time-out helps. The batch script unsets it again: LSF carries the submit environment into the job."""

ID = re.compile(r"0*[1-9][0-9]{0,17}(\[0*[1-9][0-9]{0,9}\])?\Z")
"""123, or one element of an array: 123[4]. Never 0, which means all jobs of the user to bkill."""

_PROGRESS = re.compile(
    r"still trying|Cannot connect to LSF\. Please wait|LSF is (down|processing your request)\. Please wait"
    r"|^<<.*>>$|daemon not responding"
)
OUTAGE = re.compile(
    r"[Cc]onnection (refused|reset|timed out|closed)|LIM is (down|not)|not responding|LSF is down"
    r"|try (it )?(again )?later|sending/receiving|receiving a message|sending a message|[Tt]imed? ?out|time ?out"
    r"|[Cc]annot connect|master (is|host)|locate master|Bad (protocol|XDR|magic)|LSF library call|mbatchd"
    r"|[Bb]roken pipe|lsf\.conf|[Nn]o response|[Cc]ommunication (time|error|fail)"
)
# The line broke while a request was on its way: it may have been carried out all the same.
BROKEN = re.compile(
    r"[Cc]onnection (reset|timed out|closed)|sending/receiving|receiving a message|[Tt]imed? ?out|time ?out"
    r"|[Bb]roken pipe|not responding|[Nn]o response|LSF library call"
)
# The request never left: there is no job for certain, however the rest of the text reads.
NOT_SENT = re.compile(r"Connection refused by server|LIM is down|Cannot connect to LSF(?!\. Please)|lsf\.conf")
NO_JOB = re.compile(
    r"Job <[^>]*> is not found|No (unfinished |running |pending |suspended |finished |started |matching )*job found"
    r"|[Nn]o (matching|such) job|Job <[^>]*>: No matching job"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def lines(text: str) -> List[str]:
    """What a command said, without the lines that only tell that it waits."""
    found = (line.strip() for line in _CONTROL.sub("", text).splitlines())
    return [line for line in found if line and not _PROGRESS.search(line)]


def words(text: str) -> str:
    """The same as one line, as a user may read it."""
    return re.sub(r"\s+([.,;:])", r"\1", " ".join(lines(text)))[:2000]


def refuse_trouble(result: Result, seen: bool) -> None:
    """Raises SchedulerUnavailable unless the answer is one; seen: some job or queue stands in its output.

    The exit code alone says nothing: 255 comes with a good answer as soon as one of the ids is not known, and
    either code where nothing was found.
    """
    if result.code is None:
        raise SchedulerUnavailable(words(result.err) or "LSF did not answer in time")
    rest = [line for line in lines(result.err) if not NO_JOB.search(line)]
    if result.code != 0:
        for line in rest:
            if OUTAGE.search(line):
                raise SchedulerUnavailable(words(line))
    if not seen and not NO_JOB.search(result.err) and not NO_JOB.search(result.out):
        said = words("\n".join(rest)) or words(result.out) or "nothing"
        raise SchedulerUnavailable("LSF's answer (exit code {}) means nothing: {}".format(result.code, said[:300]))


def check_ids(ids: Sequence[str]) -> None:
    """Raises ValueError for an id that is no id of LSF."""
    if not ids:
        raise ValueError("ids: none given")
    for id in ids:
        if not ID.match(id):
            raise ValueError("ids: {!r} is no job id of LSF".format(id[:60]))


def check_user(user: str) -> None:
    """Raises ValueError for what an option of bjobs could take for something else than one user."""
    if not re.match(r"[^\s\-\"'][^\s\"']{0,255}\Z", user) or user == "all":
        raise ValueError("user: {!r} is no user name".format(user[:60]))


@functools.lru_cache(maxsize=4096)
def hosts(text: str) -> Tuple[str, ...]:
    """Hosts of 'a:a:b' or '4*a:2*b' without repeats, the one that runs the script first."""
    out: List[str] = []
    for part in text.strip().split(":"):
        name = re.sub(r"^\d+\*", "", part.strip().strip("<>"))
        if name and name != "-" and name not in out:
            out.append(name)
    return tuple(out)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TEXT_TIME = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w* +)?([A-Z][a-z]{2}) +(\d{1,2}),? +(\d{1,2}):(\d\d)(?::(\d\d))?"
    r"(?: +(\d{4}))?"
)
_SLASH_TIME = re.compile(r"(\d{1,2})/(\d{1,2})(?:/(\d{4}))?-(\d{1,2}):(\d\d)(?::(\d\d))?")
_ISO_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?")


def epoch(text: str, now: Optional[float] = None) -> Optional[float]:
    """A time in the zone of this machine; None where it is none.

    LSF mostly leaves out the year: it is taken so that the time lies nearest to now. Marks behind it (L: the limit,
    E: an estimate) don't matter.
    """
    text = text.strip()
    iso = _ISO_TIME.match(text)
    if iso:
        return _local(*(int(part or 0) for part in iso.groups()))
    slash, worded = _SLASH_TIME.match(text), _TEXT_TIME.match(text)
    if slash:
        month, day, year, hour, minute, second = slash.groups()
        return _nearest(year, int(month), int(day), int(hour), int(minute), int(second or 0), now)
    if worded and worded.group(1).lower() in _MONTHS:
        name, day, hour, minute, second, year = worded.groups()
        month_number = _MONTHS.index(name.lower()) + 1
        return _nearest(year, month_number, int(day), int(hour), int(minute), int(second or 0), now)
    return None


def _nearest(
    year: Optional[str], month: int, day: int, hour: int, minute: int, second: int, now: Optional[float]
) -> Optional[float]:
    if year:
        return _local(int(year), month, day, hour, minute, second)
    present = time.time() if now is None else now
    this = time.localtime(present).tm_year
    guesses = [_local(this + shift, month, day, hour, minute, second) for shift in (-1, 0, 1)]
    known = [guess for guess in guesses if guess is not None]
    return min(known, key=lambda guess: abs(guess - present)) if known else None


def _local(year: int, month: int, day: int, hour: int, minute: int, second: int) -> Optional[float]:
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 25 and minute < 60 and second < 62):
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2 and day > (29 if leap else 28):
        return None
    try:
        return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
    except (OverflowError, ValueError):
        return None


def duration(text: str) -> Optional[int]:
    """Seconds of '480.0 min of host', '1440.0' (minutes) or 'HH:MM[:SS]'; None where it is none."""
    clock = re.match(r"\s*(\d+):(\d\d)(?::(\d\d))?\b", text)
    if clock:
        return int(clock.group(1)) * 3600 + int(clock.group(2)) * 60 + int(clock.group(3) or 0)
    minutes = re.match(r"\s*(\d+(?:\.\d+)?)(?:\s*min\w*\b)?", text)
    return int(float(minutes.group(1)) * 60) if minutes else None


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTPE]?)", re.IGNORECASE)


def mebibytes(text: str) -> Optional[int]:
    """MiB of '24105M', '1.2T', '5.2 Gbytes'; None where it is none."""
    match = _SIZE.match(text)
    if not match:
        return None
    power = "KMGTPE".index(match.group(2).upper()) if match.group(2) else 1
    return int(float(match.group(1)) * 1024.0 ** (power - 1))
