"""How often the scheduler is asked: counts, never times. A hundred stubs as real Slurm jobs on one hub."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from . import manyservers as many
from .conftest import Hubs, squeue
from .counting import Counter
from .hub import Hub, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

WINDOW = 12.0
"""Seconds of counting; what a minute allows is scaled to it."""
FAST = 2.0
"""Seconds between queries while something starts (the site file's default)."""
URGENT = 8
"""Most additional queries a minute, for reports whose node is not known yet."""

BURST = [f"s{number}" for number in range(60)]
MORE = [f"s{number}" for number in range(60, 100)]
WAITING = [f"w{number}" for number in range(50)]


@pytest.fixture(scope="module")
def counter(hubs: Hubs) -> Counter:
    return Counter(hubs.base / "counting")


@pytest.fixture(scope="module")
def hub(hubs: Hubs, counter: Counter) -> Iterator[Hub]:
    with many.shared_partition() as partition:
        hub = hubs.slurm(
            edit=many.edit(counter.commands, partition), more=many.profiles(hubs.base, partition), extra=many.EXTRA
        )
        yield hub.start()
        hub.close()


def mine(hub: Hub, user: str) -> list[dict[str, str]]:
    """The jobs that this hub has in Slurm for that user."""
    return [row for row in squeue() if row["user"] == user and hub.prefix in row["name"]]  # type: ignore[attr-defined]


def ready(hub: Hub, names: list[str]) -> None:
    """Asks for those that the hub does not have yet, and waits for all."""
    missing = sorted(set(names) - set(many.servers(hub, "alice")))
    many.ask_all(hub, "alice", missing, {"profile": "stub"})
    many.wait_ready(hub, "alice", names)


def test_sixty_servers_at_once_are_one_submit_each_and_one_query_an_interval(hub: Hub, counter: Counter) -> None:
    hub.add_user("alice")
    before = list(many.servers(hub, "alice"))  # of a first try
    many.stop_all(hub, "alice", before)
    many.wait_gone(hub, "alice", before)
    began = time.time()
    ready(hub, BURST)
    ended = time.time()
    assert len(counter.submits(began)) == len(BURST)
    assert len(mine(hub, "alice")) == len(BURST)
    assert len(counter.status(began, ended)) <= (ended - began) / FAST + 1 + URGENT


def test_a_hundred_running_servers_cause_at_most_twelve_queries_a_minute(hub: Hub, counter: Counter) -> None:
    ready(hub, BURST + MORE)
    calls = counter.window(WINDOW)
    assert len(calls) <= 12 * WINDOW / 60, calls
    assert all(server["ready"] for server in many.servers(hub, "alice").values())


def test_fifty_pending_servers_cause_at_most_forty_queries_a_minute(hub: Hub, counter: Counter) -> None:
    many.ask_all(hub, "bob", WAITING, {"profile": "later"})
    many.wait_jobs(hub, "bob", WAITING)
    calls = counter.window(WINDOW)
    assert 0 < len(calls) <= 40 * WINDOW / 60, calls
    assert all(server["pending"] == "spawn" for server in many.servers(hub, "bob").values())


def test_stopping_fifty_servers_at_once_cancels_each_once(hub: Hub, counter: Counter) -> None:
    many.ask_all(hub, "bob", sorted(set(WAITING) - set(many.servers(hub, "bob"))), {"profile": "later"})
    many.wait_jobs(hub, "bob", WAITING)
    began = time.time()
    many.stop_all(hub, "bob", WAITING)
    many.wait_gone(hub, "bob", WAITING)
    ended = time.time()
    cancels = [call for call in counter.calls(began) if call.name == "scancel"]
    ids = [id for call in cancels for id in call.words.split()]
    assert len(ids) == len(set(ids)) == len(WAITING)
    assert len(cancels) < len(WAITING) / 2
    assert len(counter.status(began, ended)) <= (ended - began) / FAST + 1 + URGENT
    until(lambda: not mine(hub, "bob"), "no job is left")
