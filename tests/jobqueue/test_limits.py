"""The line of submits and the limit of helper calls."""

from __future__ import annotations

import asyncio

import pytest

from hpcspawner.jobqueue.limiter import Left, Line, Slots

from .world import until


async def test_no_more_than_so_many_at_one_time_and_in_order() -> None:
    slots, order, running = Slots(2), [], 0
    gate = asyncio.Event()

    async def work(number: int) -> None:
        nonlocal running
        async with slots:
            running += 1
            assert running <= 2
            order.append(number)
            await gate.wait()
            running -= 1

    tasks = [asyncio.create_task(work(number)) for number in range(6)]
    await until(lambda: len(order) == 2)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == list(range(6))


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_it_on() -> None:
    slots = Slots(1)
    await slots.__aenter__()
    first, second = asyncio.create_task(slots.__aenter__()), asyncio.create_task(slots.__aenter__())
    await asyncio.sleep(0)
    await slots.__aexit__()
    first.cancel()
    await second
    assert first.cancelled()
    await slots.__aexit__()
    await slots.__aenter__()


class Places:
    def __init__(self, rate: float, parallel: int) -> None:
        self.places: dict[str, int] = {}
        self.line = Line(rate, parallel, self.places.__setitem__)
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def queue(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self.line.turn(name))
        await asyncio.sleep(0)


async def test_whoever_waits_sees_the_place() -> None:
    line = Places(1000.0, 1)
    await line.queue("a", "b", "c")
    assert line.places == {"a": 0, "b": 1, "c": 2}
    line.line.done()
    await line.tasks["b"]
    assert line.places == {"a": 0, "b": 0, "c": 1}


async def test_who_leaves_makes_room() -> None:
    line = Places(1000.0, 1)
    await line.queue("a", "b", "c")
    assert line.line.leave("b")
    with pytest.raises(Left):
        await line.tasks["b"]
    assert line.places["c"] == 1
    assert not line.line.leave("b")
    assert not line.line.leave("a")


async def test_a_cancelled_waiter_is_out_of_the_line() -> None:
    line = Places(1000.0, 1)
    await line.queue("a", "b", "c")
    line.tasks["b"].cancel()
    await asyncio.gather(line.tasks["b"], return_exceptions=True)
    line.line.done()
    await line.tasks["c"]


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_ends_the_turn() -> None:
    line = Places(1000.0, 1)
    await line.queue("a", "b", "c")
    line.line.done()
    line.tasks["b"].cancel()
    await line.tasks["c"]


async def test_the_rate_lets_a_second_s_worth_through_at_once_and_then_waits() -> None:
    line = Places(3.0, 100)
    await line.queue("a", "b", "c", "d", "e")
    assert [line.places[name] for name in "abcde"] == [0, 0, 0, 1, 2]
    await line.tasks["d"]
    line.line.close()
    line.tasks["e"].cancel()
