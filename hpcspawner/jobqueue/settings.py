"""What a JobQueue may be told besides the site file: pauses and limits that no site has needed to change so far."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    """Seconds, unless a name says otherwise. Tests make them small."""

    cancel_window: float = 0.05
    """Cancels asked within it become one helper call per user."""
    cancel_retry: float = 5.0
    """First pause before a cancel is repeated; doubles up to cancel_retry_most."""
    cancel_retry_most: float = 60.0
    cancel_batch: int = 500
    """Most ids in one cancel."""
    look_first: float = 0.5
    """First pause of the look-up for a lost submit; doubles up to look_most."""
    look_most: float = 15.0
    no_receipt: float = 5.0
    """How long two looks that both find neither receipt nor job must lie apart before nothing was submitted."""
    lost_watch: float = 86400.0
    """How long a lost submit is still looked for, to cancel it if it turns up."""
    lost_pause: float = 15.0
    """First pause between those late looks; doubles up to forty times of it."""
    mass_limit: float = 900.0
    """After so long of good answers that lack many jobs at once, each of them is judged alone again."""
    linger: float = 600.0
    """How long a job that ended by absence alone is still asked for."""
    backoff_most: float = 60.0
    """Longest pause between queries while the scheduler does not answer."""
    urgent_gap: float = 0.5
    """Shortest pause before a query that somebody waits for (a report whose node is not known yet)."""
    urgent_per_minute: int = 8
    """Most of those a minute."""
    answer_margin: float = 15.0
    """Added to the site's time-outs, so that the helper gives up before the hub does."""
    close_wait: float = 5.0
    """How long close() waits for submits that are under way."""
    keep_rows: float = 14 * 86400.0
    """How long the journal keeps ended jobs."""
    clean_after: float = 3600.0
    """Ended jobs whose folder nobody has cleaned for so long are cleaned by the queue."""
    housekeeping: float = 300.0
    chunk: int = 200
    """Jobs handled before the loop gets a turn."""
