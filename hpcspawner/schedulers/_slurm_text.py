"""Slurm's ways of writing ids, times, node lists and errors."""

from __future__ import annotations

import re
from typing import List, Optional, Sequence, Tuple

from ..job import Result, SchedulerUnavailable

ID = re.compile(r"[1-9][0-9]{0,17}(_([0-9]{1,9}|\[[0-9,:%-]+\])|\+[0-9]{1,6})?\Z")
"""123, one element 123_4, elements that still wait 123_[1-9%2], one part of a heterogeneous job 123+0."""

TIME_FORMAT = {"SLURM_TIME_FORMAT": "%s"}
"""Times as seconds since the epoch: the zone of the machine that answers doesn't matter."""

# Nothing was sent. Every other trouble on the way may have come after the controller acted.
NOT_SENT = re.compile(
    r"Unable to contact slurm controller \(connect failure\)|[Mm]unge encode failed|no such command|"
    r"Could not establish a configuration source"
)
OUTAGE = re.compile(
    r"[Ss]ocket timed out|Unable to contact|[Tt]imed? ?out|Zero Bytes|Transport endpoint|[Cc]onnection (refused|reset)|"
    r"Communication|Unexpected message|[Pp]rotocol authentication|[Ii]ncompatible versions|"
    r"Insane message|Protocol version|No route to host|unreachable|Interrupted system call|now in progress|"
    r"shutting? ?down|in standby|Resource temporarily unavailable|Broken pipe|Header lengths|backup controller|"
    r"[Mm]unge|could not establish|DNS|slurm_persist|Message (send|receive)"
)
NO_SUCH_JOB = re.compile(r"Invalid job id specified")
# squeue prints nothing and exits with 0 where the name service doesn't know the user just now.
NO_SUCH_USER = re.compile(r"Invalid user")

_PREFIX = re.compile(r"^(sbatch|squeue|scancel|scontrol|sinfo|sacct): +(error: +|info: +|warning: +)?", re.MULTILINE)
_FAILED = re.compile(r"^Batch job submission failed: ", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

MOST_NODES = 20000


def words(text: str) -> str:
    """What a command said, without its own name, as one line."""
    lines = _FAILED.sub("", _PREFIX.sub("", _CONTROL.sub("", text))).splitlines()
    said = [line.strip() for line in lines if line.strip()]
    # What sbatch says besides when a filter of the site has refused the job in its own words.
    if len(said) > 1 and said[-1] == "Unspecified error":
        said.pop()
    return "; ".join(said)[:2000]


def refuse_trouble(result: Result) -> None:
    """Raises SchedulerUnavailable unless the command ended by itself with exit code 0."""
    if result.code is None:
        raise SchedulerUnavailable(words(result.err) or "the scheduler did not answer in time")
    if result.code != 0:
        raise SchedulerUnavailable(words(result.err) or "the command ended with exit code {}".format(result.code))


def check_ids(ids: Sequence[str]) -> None:
    """Raises ValueError for an id that is no id of Slurm."""
    if not ids:
        raise ValueError("ids: none given")
    for id in ids:
        if not ID.match(id):
            raise ValueError("ids: {!r} is no job id of Slurm".format(id[:60]))


def epoch(text: str) -> Optional[float]:
    """A time written with TIME_FORMAT; None for N/A, Unknown and the like."""
    text = text.strip()
    return float(text) if text.isdigit() and int(text) > 0 else None


_DURATION = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?\Z")


def duration(text: str) -> Optional[int]:
    """Seconds of a time limit; None for no limit, unknown, invalid.

    The grammar: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS.
    """
    match = _DURATION.match(text.strip())
    if not match:
        return None
    days, one, two, three = match.groups()
    if days is not None:
        return int(days) * 86400 + int(one) * 3600 + int(two or 0) * 60 + int(three or 0)
    if two is None:
        return int(one) * 60
    if three is None:
        return int(one) * 60 + int(two)
    return int(one) * 3600 + int(two) * 60 + int(three)


def nodes(text: str) -> Tuple[str, ...]:
    """The names of a node list such as 'n[1-3,07],g1'; raises SchedulerUnavailable where it is none."""
    text = text.strip()
    if text in ("", "(null)", "None", "None assigned", "N/A", "n/a"):
        return ()
    if "[" not in text:
        return tuple(text.split(","))
    out: List[str] = []
    for part in _split(text):
        out.extend(_expand(part, MOST_NODES - len(out)))
    return tuple(out)


def _split(text: str) -> List[str]:
    """Splits at commas outside of brackets."""
    parts, start, depth = [], 0, 0
    for index, char in enumerate(text):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth != 0:
        raise SchedulerUnavailable("garbled node list: {!r}".format(text[:80]))
    return [*parts, text[start:]]


_RANGE = re.compile(r"(\d+)(?:-(\d+))?\Z")


def _expand(part: str, most: int) -> List[str]:
    head, bracket, rest = part.partition("[")
    if not bracket:
        return [part]
    inside, _, tail = rest.partition("]")
    numbers: List[str] = []
    for piece in inside.split(","):
        match = _RANGE.match(piece)
        if not match:
            raise SchedulerUnavailable("garbled node list: {!r}".format(part[:80]))
        low, high = match.group(1), match.group(2) or match.group(1)
        if int(high) - int(low) >= most - len(numbers):
            raise SchedulerUnavailable("node list of more than {} names".format(MOST_NODES))
        numbers.extend(str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
    tails = _expand(tail, most // max(1, len(numbers)) + 1)
    return [head + number + end for number in numbers for end in tails]
