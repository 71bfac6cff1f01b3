"""Limits on what reaches the scheduler: helper calls at one time, and the line of submits with a place for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Left(Exception):
    """The job was taken out of the line."""


class Slots:
    """So many at one time, first come first served.

    Not asyncio.Semaphore: before Python 3.12 a waiter that was cancelled at the wrong moment took its wake-up along.
    """

    def __init__(self, size: int) -> None:
        self._free = max(1, size)
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Line:
    """Submits wait here: at most so many a second and so many at one time, in order of arrival.

    moved(tag, place) is called whenever somebody's place changes; 0: it is that job's turn.
    """

    def __init__(self, rate: float, parallel: int, moved: Callable[[str, int], None]) -> None:
        self._rate = max(rate, 0.001)
        self._burst = max(1.0, self._rate)
        self._tokens = self._burst
        self._counted: float | None = None
        self._parallel = max(1, parallel)
        self._running = 0
        self._moved = moved
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def turn(self, tag: str) -> None:
        """Waits for the turn of tag; done() must follow. Raises Left where leave() took it out."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting[tag] = turn
        self._pump()
        if not turn.done():
            self._moved(tag, len(self._waiting))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.done()
            else:
                self.leave(tag)
            raise

    def done(self) -> None:
        """One submit is over; the next one may begin."""
        self._running -= 1
        self._pump()

    def leave(self, tag: str) -> bool:
        """Takes a job out; False where it is not in line (any more)."""
        turn = self._waiting.pop(tag, None)
        if turn is None:
            return False
        if not turn.done():
            turn.set_exception(Left(tag))
        self._places()
        return True

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _pump(self) -> None:
        self._refill()
        called = False
        while self._waiting and self._running < self._parallel and self._tokens >= 1.0:
            tag = next(iter(self._waiting))
            turn = self._waiting.pop(tag)
            if turn.done():
                continue
            self._tokens -= 1.0
            self._running += 1
            turn.set_result(None)
            self._moved(tag, 0)
            called = True
        if called:
            self._places()
        if self._waiting and self._running < self._parallel:
            self._later((1.0 - self._tokens) / self._rate)

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._counted is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._rate)
        self._counted = now

    def _later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A little more than the exact time, so that rounding never leaves a token at 0.999.
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.0) + 0.001, self._pump)

    def _places(self) -> None:
        for place, tag in enumerate(self._waiting, 1):
            self._moved(tag, place)
