"""Which workers share a job and which jobs an array. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

MOST = 1000
"""Jobs in an array where the batch system does not tell its limit."""

_LIMIT = re.compile(
    r"QOSMax\w*|QOSGrp\w*|AssocMax\w*|AssocGrp\w*|MaxSubmit\w*|MaxJobs\w*|MaxArraySize|JobArrayLimit"
    r"|array (size|specification)|violates accounting/QOS policy|job submit limit"
    r"|(limit|maximum)[^.]{0,40}(exceed|reached)|exceeds?[^.]{0,40}(limit|maximum)|too many (jobs|pending)"
    r"|Pending job threshold|job slot limit|quota",
    re.IGNORECASE,
)


def is_limit(text: str) -> bool:
    """Whether a refusal means 'not so many', so that fewer jobs, or the same ones later, are taken."""
    return bool(_LIMIT.search(text))


def groups(items: Sequence[T], per_job: int) -> list[list[T]]:
    """Those that share a job."""
    size = max(1, per_job)
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def chunks(jobs: Sequence[T], most: int) -> list[list[T]]:
    """Jobs in arrays of nearly equal size."""
    if not jobs:
        return []
    count = math.ceil(len(jobs) / max(1, most))
    size = math.ceil(len(jobs) / count)
    return [list(jobs[start : start + size]) for start in range(0, len(jobs), size)]


def together(keys: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    """Indexes by tag."""
    found: dict[str, set[int]] = {}
    for tag, index in keys:
        found.setdefault(tag, set()).add(index)
    return found
