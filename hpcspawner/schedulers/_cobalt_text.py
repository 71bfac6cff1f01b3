"""Cobalt's ways of writing ids, tables, times, node lists and errors."""

from __future__ import annotations

import calendar
import functools
import re
import time
from typing import Dict, List, Optional, Sequence, Tuple

from ..job import Result, SchedulerUnavailable

ID = re.compile(r"0*[1-9][0-9]{0,17}\Z")

_NOISE = re.compile(r"^No handlers could be found for logger|^\s*$")
_FAULT = re.compile(r"<Fault (-?\d+): (?P<quote>['\"])(.*?)(?P=quote)>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# What could not be looked up was never sent to.
NOT_SENT = re.compile(r"^\s*(component error: Failed to connect to .*|Proxy\.py +:L#\d+:cn:\S+)\s*$", re.MULTILINE)
OUTAGE = re.compile(
    r"component error|Proxy\.py|FATAL EXCEPTION|Traceback|[Tt]imed? ?out|[Cc]onnection|Errno|SSL|[Ss]ocket"
)


def lines(text: str) -> List[str]:
    """What a command said, without Cobalt's usual noise."""
    found = (line.strip() for line in _CONTROL.sub("", text).splitlines())
    return [line for line in found if not _NOISE.match(line)]


def words(text: str) -> str:
    """The same as one line for a user; of a fault only what it says."""
    return " ".join(_FAULT.sub(_said, "\n".join(lines(text))).split())[:2000]


def _said(match: "re.Match[str]") -> str:
    return match.group(3).replace("\\n", " ").replace("\\'", "'").replace('\\"', '"')


def fault(text: str) -> Optional[int]:
    """The number of the fault in the text: from 1000 to 1999 they are Cobalt's own refusals."""
    match = _FAULT.search(text)
    return int(match.group(1)) if match else None


def answered(result: Result) -> str:
    """The output of a query; '' where it says that there is no such job. Raises SchedulerUnavailable.

    Silence on both streams with exit code 1 is how Cobalt says that it knows none of the jobs; any text on stderr
    beside exit code 1 means that it can't tell.
    """
    if result.code is None:
        raise SchedulerUnavailable(words(result.err) or "Cobalt did not answer in time")
    if result.code == 0:
        return result.out
    if result.code == 1 and not result.out.strip() and not result.err.strip():
        return ""
    said = words(result.err) or words(result.out) or "nothing"
    raise SchedulerUnavailable("{} (exit code {})".format(said, result.code))


def check_ids(ids: Sequence[str]) -> None:
    """Raises ValueError for an id that is no id of Cobalt."""
    if not ids:
        raise ValueError("ids: none given")
    for id in ids:
        if not ID.match(id):
            raise ValueError("ids: {!r} is no job id of Cobalt".format(id[:60]))


def blocks(out: str) -> List[Dict[str, str]]:
    """The jobs of `qstat -l`: 'JobID: 116', then lines '    State : running'. Keys in lower case.

    A key counts once: what follows may belong to a job name with line feeds in it.
    """
    found: List[Dict[str, str]] = []
    for line in out.splitlines():
        head = re.match(r"JobID\s*: *(\d+)\s*\Z", line, re.IGNORECASE)
        pair = re.match(r"\s+([A-Za-z_]+)\s*: ?(.*?)\s*\Z", line)
        if head:
            found.append({"jobid": head.group(1)})
        elif pair and found:
            found[-1].setdefault(pair.group(1).lower(), pair.group(2))
    return found


def table(out: str) -> List[Dict[str, str]]:
    """Rows below a head and a line of '=': the columns begin where the words of the head do. Keys in lower case."""
    rows = out.splitlines()
    rule = next((place for place, line in enumerate(rows) if place and re.match(r"={3,}\s*\Z", line)), None)
    if rule is None:
        return []
    columns = [(match.group(0).lower(), match.start()) for match in re.finditer(r"\S+", rows[rule - 1])]
    ends = [start for _, start in columns[1:]] + [None]
    found = []
    for row in rows[rule + 1 :]:
        if row.strip():
            found.append({name: row[start : ends[place]].strip() for place, (name, start) in enumerate(columns)})
    return found


def is_table(out: str) -> bool:
    """Whether the head of a table stands there, with rows or without."""
    return re.search(r"^jobid\b.*\n={3,}\s*$", out, re.MULTILINE | re.IGNORECASE) is not None


def empty(value: str) -> bool:
    """Whether a field holds nothing."""
    return value.strip() in ("", "-", "None", "N/A")


@functools.lru_cache(maxsize=4096)
def seconds(text: str) -> Optional[int]:
    """Seconds of HH:MM:SS (the hours may be many), or DD:HH:MM:SS; None for None and the like."""
    if not re.match(r"\d+(:\d\d){2,3}\Z", text.strip()):
        return None
    total = 0
    parts = [int(part) for part in text.strip().split(":")]
    for part, size in zip(reversed(parts), (1, 60, 3600, 86400)):  # noqa: B905
        total += part * size
    return total


_WORDED = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})(?: ([+-])(\d\d)(\d\d))?")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@functools.lru_cache(maxsize=4096)
def epoch(text: str) -> Optional[float]:
    """'Fri Nov 20 15:54:51 2026 +0000 (UTC)', or the estimate '2026-11-20 15:54:51' in the local zone."""
    worded = _WORDED.match(text.strip())
    if worded and worded.group(1) in _MONTHS:
        month, day, hour, minute, second, year, sign, zone_hours, zone_minutes = worded.groups()
        moment = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), 0, 0, -1)
        if sign is None:
            return time.mktime(moment)
        shift = int(zone_hours) * 3600 + int(zone_minutes) * 60
        return float(calendar.timegm(moment) - (shift if sign == "+" else -shift))
    try:
        return time.mktime(time.strptime(text.strip(), "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return None


MOST_NODES = 20000


@functools.lru_cache(maxsize=4096)
def nodes(text: str) -> Tuple[str, ...]:
    """The names of a location such as 'thetagpu[02-03,07],x1'; () for None. The order is that of the alphabet.

    Raises SchedulerUnavailable where it is none.
    """
    if empty(text):
        return ()
    out: List[str] = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text.strip()):
        out.extend(_expand(part))
        if len(out) > MOST_NODES:
            raise SchedulerUnavailable("node list of more than {} names".format(MOST_NODES))
    return tuple(out)


def _expand(part: str) -> List[str]:
    head, bracket, rest = part.partition("[")
    if not bracket:
        return [part]
    inside, _, tail = rest.partition("]")
    numbers: List[str] = []
    for piece in inside.split(","):
        match = re.match(r"(\d+)(?:-(\d+))?\Z", piece.strip())
        if not match:
            raise SchedulerUnavailable("garbled node list: {!r}".format(part[:80]))
        low, high = match.group(1), match.group(2) or match.group(1)
        if int(high) - int(low) > MOST_NODES:
            raise SchedulerUnavailable("node list of more than {} names".format(MOST_NODES))
        numbers.extend(str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
    return [head + number + end for number in numbers for end in _expand(tail)]
