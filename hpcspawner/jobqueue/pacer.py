"""When to ask the scheduler next. Pure."""

from __future__ import annotations

import dataclasses

DUTY = 20.0
"""A query may take one twentieth of the time at most."""
CALM = 30.0
"""What has not changed for t seconds is asked for every t / CALM seconds, between the site's two bounds."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """The site's bounds and the longest pause while nobody answers; seconds."""

    fast: float
    slow: float
    backoff_most: float


def interval(pace: Pace, quiet: float | None, *, seconds: float, queries: int = 1, failures: int = 0) -> float:
    """Seconds from the start of one query to the start of the next.

    quiet: seconds since the last change of whatever is starting, waiting or being ended; None where nothing is.
    seconds: what the last query took. queries: how many of them make a round (one for each owner where the site hides
    jobs); together they keep to the duty. failures: in a row.
    """
    base = pace.slow if quiet is None else min(max(pace.fast, quiet / CALM), pace.slow)
    if failures:
        # At least the fast bound, so that an outage never makes a slow site's queries faster than its answers did.
        base = min(max(base, pace.fast * 2.0 ** min(failures, 16)), max(pace.backoff_most, pace.fast))
    return max(base, DUTY * seconds * max(queries, 1))


def jittered(seconds: float, chance: float, failures: int) -> float:
    """Spreads the retries of many hubs after an outage. chance: 0 to 1, random. Never shortens."""
    return seconds * (1.0 + 0.25 * chance) if failures else seconds
