"""The small job itself: submitted once, watched as its owner, and cancelled in any case."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

from ..choice import Choice
from ..job import JobState, JobStatus
from ..jobqueue import tags
from ..run_as import HelperError
from .subject import TROUBLE, Subject, words

LOOK = 1.0
"""Seconds between two questions; a check is rare, and somebody waits for it."""
RUN_SECONDS = 240.0
"""How long a job that runs may take until its result is to be seen: Python from a slow disk, and NFS' caches."""
LATE_SECONDS = 15.0
"""How long a result may stay unseen after the job's end, where nothing else of the job is to be seen either."""
END_SECONDS = 30.0
FIND_SECONDS = 60.0


class SmallJob:
    """One job of kind 'check'. Its tag has an instance id of its own, so that no hub takes it for one of its jobs."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.tag = tags.new(subject.site.prefix, secrets.token_hex(3))
        self.id = ""
        self.folder = self.log_path = ""
        self.submitted = time.monotonic()
        self.started_after: float | None = None
        self.submit_skew: float | None = None
        """Seconds by which the scheduler's clock is ahead of this machine's."""
        self.status: JobStatus | None = None
        self.nodes: tuple[str, ...] = ()
        self.ended = False
        self.log: list[str] = []
        self.result: dict[str, Any] | None = None
        self.result_seen = 0.0
        self._sent = False
        self._lacked = 0

    async def submit(self, choice: Choice, urls: Sequence[str]) -> str:
        """The scheduler's refusal, or '' where there is a job now. Raises TROUBLE."""
        self._sent, self.submitted = True, time.monotonic()
        before = time.time()
        try:
            answer = await asyncio.shield(
                self.subject.ask(
                    "submit",
                    tag=self.tag,
                    kind="check",
                    choice=choice.canonical(),
                    groups=sorted(self.subject.groups),
                    report={"urls": list(urls), "proxy": ""},
                )
            )
        except HelperError as error:
            if error.kind != "unknown":
                self._sent = False
                raise
            answer = {"outcome": "unknown", "text": error.text}
        after = time.time()
        self.folder, self.log_path = str(answer.get("folder") or ""), str(answer.get("log") or "")
        if answer.get("outcome") == "refused":
            self._sent = False
            return str(answer.get("text") or "no reason given")
        self.id = str(answer.get("id") or "") or await self._found(str(answer.get("text") or "no answer"))
        self._sent = False
        await self.look()
        told = self.status.submitted if self.status is not None else None
        if told:
            # Schedulers tell whole seconds, and some whole minutes only.
            grain = 60 if told % 60 == 0 else 1
            self.submit_skew = min(0.0, told + grain - before) or max(0.0, told - after)
        return ""

    async def _found(self, why: str) -> str:
        """The id of a job whose submit got no answer. Raises HelperError."""
        limit = time.monotonic() + FIND_SECONDS
        while time.monotonic() < limit:
            try:
                answer = await self.subject.ask("find", tag=self.tag)
            except HelperError:
                answer = {}
            rows = [row for row in answer.get("jobs") or () if isinstance(row, dict) and row.get("id")]
            if rows:
                return str(rows[0]["id"])
            await asyncio.sleep(LOOK)
        raise HelperError("unknown", f"{why}; no job named {self.tag} has turned up since")

    async def look(self) -> None:
        """Asks the scheduler once. Gone counts only after the job was seen, and twice. Raises TROUBLE."""
        status = await self.subject.status(self.id)
        if status is None:
            self._lacked += 1
            self.ended = self.ended or (self.status is not None and self._lacked > 1)
            return
        if self.status is None or status.state is not self.status.state:
            reason = f", {status.reason}" if status.reason else ""
            self.subject.steps.wait(f"job {self.id}: {status.state.value}{reason}")
        self.status, self._lacked = status, 0
        self.nodes = status.nodes or self.nodes
        self.ended = status.state is JobState.ENDED
        if self.started_after is None and not status.state.waits and not self.ended:
            self.started_after = time.monotonic() - self.submitted

    async def wait(self, queue_seconds: float) -> None:
        """Until the job has told its result, has ended without one, or a limit passes. Raises TROUBLE."""
        started: float | None = None
        late: float | None = None
        limit = self.submitted + queue_seconds
        while True:
            await self._patiently(self.look)
            now = time.monotonic()
            if self.status is None or not self.status.state.waits:
                await self._patiently(self._tail)
            if self.result is not None:
                return
            if started is None and self.started_after is not None:
                started, limit = now, now + RUN_SECONDS
            if self.ended:
                late = late or now + (2 * LOOK if self.log else LATE_SECONDS)
            if now > min(limit, late or limit):
                return
            await asyncio.sleep(LOOK)

    async def _patiently(self, question: Any) -> None:
        """Asks again where one answer failed: a busy scheduler is no result."""
        try:
            await question()
        except TROUBLE:
            await asyncio.sleep(3 * LOOK)
            await question()

    async def _tail(self) -> None:
        answer = await self.subject.ask("tail", tag=self.tag, id="", lines=15, check=True)
        self.log = [str(line) for line in answer.get("log") or ()]
        self.log_path = str(answer.get("path") or self.log_path)
        check = answer.get("check")
        if isinstance(check, dict):
            self.result, self.result_seen = check, time.time()

    async def remove(self) -> str:
        """Cancels the job unless it has ended, and removes its folder; in words what is left, '' nothing."""
        if not self.folder and not self._sent:
            return ""
        left = await asyncio.shield(self._cancelled())
        try:
            await self.subject.ask("clean", tags=[self.tag])
        except HelperError as error:
            left = left or f"{self.folder} could not be removed: {words(error)}"
        return left

    async def _cancelled(self) -> str:
        if not self.id and self._sent:
            return f"a job named {self.tag} may turn up later"
        limit, trouble = time.monotonic() + END_SECONDS, ""
        taken = False
        while self.id and not self.ended:
            try:
                # A job that was heard ends by itself; it is given the moment that this takes.
                if not taken and (self.result is None or time.monotonic() > limit - END_SECONDS / 2):
                    answer = await self.subject.ask("cancel", ids=[self.id])
                    taken = (answer.get("cancelled") or {}).get(self.id) is True
                    trouble = "" if taken else f": the scheduler did not take the cancel: {answer.get('text')}"
                await self.look()
            except TROUBLE as error:
                trouble = f": {words(error)}"
            if time.monotonic() > limit:
                return "" if taken and not trouble else f"job {self.id} may still run{trouble}"
            await asyncio.sleep(0.0 if self.ended else LOOK / 2)
        return ""
