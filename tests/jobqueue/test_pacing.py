"""When the scheduler is asked next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner.jobqueue import pacer
from hpcspawner.jobqueue.pacer import Pace, interval, jittered
from hpcspawner.jobqueue.settings import Settings
from hpcspawner.jobqueue.view import View

PACE = Pace(fast=2.0, slow=30.0, backoff_most=60.0)


@pytest.mark.parametrize(
    ("quiet", "seconds", "queries", "failures", "wait"),
    [
        (None, 0.01, 1, 0, 30.0),
        (0.0, 0.01, 1, 0, 2.0),
        (60.0, 0.01, 1, 0, 2.0),
        (300.0, 0.01, 1, 0, 10.0),
        (86400.0, 0.01, 1, 0, 30.0),
        (0.0, 0.5, 1, 0, 10.0),
        (None, 0.5, 1, 0, 30.0),
        (None, 3.0, 1, 0, 60.0),
        (0.0, 0.02, 100, 0, 40.0),
        (0.0, 0.01, 1, 1, 4.0),
        (0.0, 0.01, 1, 3, 16.0),
        (0.0, 0.01, 1, 500, 60.0),
        (None, 0.01, 1, 1, 30.0),
        (None, 0.01, 1, 9, 60.0),
    ],
)
def test_interval(quiet: float | None, seconds: float, queries: int, failures: int, wait: float) -> None:
    assert interval(PACE, quiet, seconds=seconds, queries=queries, failures=failures) == pytest.approx(wait)


@given(
    st.none() | st.floats(0, 1e6),
    st.floats(0, 30),
    st.integers(1, 2000),
    st.integers(0, 10**6),
    st.floats(0, 1),
)
def test_never_faster_than_the_site_allows_or_a_twentieth_of_the_time(
    quiet: float | None, seconds: float, queries: int, failures: int, chance: float
) -> None:
    wait = jittered(interval(PACE, quiet, seconds=seconds, queries=queries, failures=failures), chance, failures)
    assert wait >= PACE.fast
    assert wait >= pacer.DUTY * seconds * queries


def test_only_retries_are_spread() -> None:
    assert jittered(10.0, 0.9, 0) == 10.0
    assert jittered(10.0, 1.0, 2) == 12.5


def test_fifty_pending_jobs_ask_at_most_forty_times_a_minute() -> None:
    assert 60.0 / interval(PACE, 0.0, seconds=0.02) <= 40
    assert 60.0 / interval(PACE, None, seconds=0.02) <= 12


def test_urgent_questions_are_few_a_minute() -> None:
    view = View("", PACE, Settings(urgent_per_minute=3))
    told = 0
    for _ in range(10):
        if view.urgent():
            told += 1
            view.began()
    assert told == 3


def test_an_urgent_question_does_not_wait_for_the_interval() -> None:
    view = View("", PACE, Settings(urgent_gap=0.5))
    started = view.began()
    view.good(0.001)
    assert view.due(None, 1) == started + 30.0
    view.urgent()
    assert view.due(None, 1) == started + 0.5


def test_an_urgent_question_keeps_to_the_duty_and_to_the_back_off() -> None:
    view = View("", PACE, Settings())
    started = view.began()
    view.good(0.2)
    view.urgent()
    assert view.due(0.0, 1) == started + 4.0
    view.bad("no answer")
    assert view.due(0.0, 1) >= started + 4.0


def test_a_failure_is_no_measure_of_the_scheduler() -> None:
    view = View("", PACE, Settings())
    view.began()
    view.good(0.1)
    view.bad("timed out after 45 s")
    assert (view.seconds, view.failures, view.trouble) == (0.1, 1, "timed out after 45 s")
    view.good(0.1)
    assert (view.failures, view.trouble) == (0, "")


def test_one_slow_answer_alone_slows_nothing_down_and_a_second_one_does() -> None:
    view = View("", PACE, Settings())
    started = view.began()
    view.good(0.01)
    view.good(8.0)
    assert view.due(0.0, 1) == started + PACE.fast
    view.good(8.0)
    assert view.due(0.0, 1) == started + 160.0


def test_a_slow_first_answer_is_no_reason_to_wait_longer_than_when_all_is_quiet() -> None:
    view = View("", PACE, Settings())
    started = view.began()
    view.good(8.0)
    assert view.due(0.0, 1) == started + PACE.slow


def test_the_end_of_an_outage_ends_the_back_off() -> None:
    view = View("", PACE, Settings())
    view.began()
    view.hurry()
    assert view.due(0.0, 1) > float("-inf")
    view.bad("no answer")
    view.asking = False
    view.hurry()
    assert view.due(0.0, 1) == float("-inf")
