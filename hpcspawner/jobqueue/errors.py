"""Why a submit did not give a job. str() of each is a sentence for the user."""

from __future__ import annotations


class SubmitError(Exception):
    """Base of the three; text is for users, in the scheduler's own words where it said something."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SubmitRefused(SubmitError):
    """The scheduler or the site's rules said no. There is no job."""


class SubmitFailed(SubmitError):
    """The submit could not be carried out; nothing is in the queue.

    kind is one of the helper's (folder, forbidden, site, protocol, unavailable, ...), 'journal' where the hub's own
    disk failed, or 'cancelled' where the job was cancelled while it waited in line. path: the file it is about.
    """

    def __init__(self, kind: str, text: str, path: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.path = path


class SubmitLost(SubmitError):
    """The submit got no answer and no job was found within the site's limit. Should it turn up, it is cancelled."""
