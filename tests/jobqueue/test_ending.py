"""Why a job ended: order of evidence, and words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hpcspawner.job import JobState, JobStatus, Outcome
from hpcspawner.jobqueue import Ending, Entry
from hpcspawner.jobqueue import postmortem as pm
from hpcspawner.run_as import HelperError

from .world import FAST, Process, World, until

ENTRY = Entry(tag="jupyter-abcdef-aaaaaaaaaa", cluster="main", user="alice", id="7", log="/logs/7")


def status(**fields: Any) -> JobStatus:
    return JobStatus(id="7", state=JobState.ENDED, **fields)


@pytest.mark.parametrize(
    ("fields", "outcome", "text"),
    [
        ({"outcome": Outcome.COMPLETED}, Outcome.COMPLETED, "The job ended by itself."),
        ({"outcome": Outcome.FAILED, "exit_code": 127}, Outcome.FAILED, "The job failed (exit code 127)."),
        (
            {"outcome": Outcome.FAILED, "signal": 9, "exit_code": 0},
            Outcome.FAILED,
            "The job failed (signal 9, SIGKILL).",
        ),
        ({"outcome": Outcome.FAILED, "signal": 999}, Outcome.FAILED, "The job failed (signal 999)."),
        ({"exit_code": 1}, Outcome.FAILED, "The job failed (exit code 1)."),
        ({}, Outcome.UNKNOWN, "The job ended; the reason is not known."),
        (
            {"outcome": Outcome.NODE_FAILURE, "reason": "node n3 is down"},
            Outcome.NODE_FAILURE,
            "A node of the job failed. Node n3 is down.",
        ),
        ({"outcome": Outcome.TIMEOUT, "exit_code": 1}, Outcome.TIMEOUT, "The job reached the end of its walltime."),
        (
            {"outcome": Outcome.TIMEOUT, "walltime": 60, "reason": "the walltime was reached"},
            Outcome.TIMEOUT,
            "The job reached the end of its walltime (00:01:00).",
        ),
        (
            {"outcome": Outcome.OUT_OF_MEMORY, "reason": "it used more memory than it had asked for"},
            Outcome.OUT_OF_MEMORY,
            "The job needed more memory than it had asked for and was ended.",
        ),
        (
            {"outcome": Outcome.PREEMPTED, "reason": "it had to make room"},
            Outcome.PREEMPTED,
            "The scheduler ended the job to make room for another one.",
        ),
        (
            {"outcome": Outcome.CANCELLED, "reason": "cancelled by its owner"},
            Outcome.CANCELLED,
            "The job was cancelled by its owner.",
        ),
    ],
)
def test_words_of_the_scheduler(fields: dict[str, Any], outcome: Outcome, text: str) -> None:
    ending = pm.of_status(status(**fields))
    assert (ending.outcome, ending.text) == (outcome, text)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_sentence(outcome: Outcome) -> None:
    assert pm.sentence(outcome, None, None, "").endswith(".")


@pytest.mark.parametrize(
    ("record", "outcome", "text"),
    [
        ({"exit_code": 0, "reason": "no work for 30 minutes"}, Outcome.COMPLETED, "No work for 30 minutes."),
        ({"exit_code": 1, "reason": ""}, Outcome.FAILED, "The job failed (exit code 1)."),
        ({"signal": 9, "cause": "memory", "reason": "x"}, Outcome.OUT_OF_MEMORY, "X."),
        ({"exit_code": 143, "cause": "walltime", "reason": "x"}, Outcome.TIMEOUT, "X."),
        ({"exit_code": 1, "cause": "a word of tomorrow", "reason": "x"}, Outcome.FAILED, "X."),
        ({"signal": 11, "exit_code": None}, Outcome.FAILED, "The job failed (signal 11, SIGSEGV)."),
        ({"exit_code": "1", "signal": [], "ended": "x", "lines": 3, "reason": {}}, Outcome.COMPLETED, None),
    ],
)
def test_words_of_the_end_record(record: dict[str, Any], outcome: Outcome, text: str | None) -> None:
    ending = pm.of_record(record, ENTRY)
    assert ending.outcome is outcome
    assert text is None or ending.text == text


def test_a_server_that_we_ended_has_not_failed() -> None:
    wanted = dataclasses.replace(ENTRY, cancel_wanted=True)
    assert pm.of_record({"signal": 15}, wanted).outcome is Outcome.CANCELLED


SCHEDULER = pm.of_status(status(outcome=Outcome.OUT_OF_MEMORY, reason="OutOfMemory"))
VAGUE = pm.of_status(status())
FAILED = pm.of_status(status(outcome=Outcome.FAILED, exit_code=1))
RECORD = pm.of_record({"signal": 9, "reason": "the server was ended by signal 9", "lines": ["Killed"]}, ENTRY)
ACCOUNTING = pm.of_status(status(outcome=Outcome.TIMEOUT), "accounting")


@pytest.mark.parametrize(
    ("scheduler", "record", "accounting", "source", "text"),
    [
        (SCHEDULER, RECORD, ACCOUNTING, "scheduler", SCHEDULER.text),
        (VAGUE, RECORD, ACCOUNTING, "end record", RECORD.text),
        (None, RECORD, ACCOUNTING, "end record", RECORD.text),
        (VAGUE, None, ACCOUNTING, "accounting", ACCOUNTING.text),
        (VAGUE, None, None, "scheduler", VAGUE.text),
        (FAILED, RECORD, None, "scheduler", RECORD.text),
    ],
)
def test_order_of_evidence(
    scheduler: Ending | None, record: Ending | None, accounting: Ending | None, source: str, text: str
) -> None:
    ending = pm.merge(scheduler, record, accounting)
    assert ending is not None
    assert (ending.source, ending.text) == (source, text)


def test_a_scheduler_that_counts_no_memory_is_told_better_by_the_record() -> None:
    record = pm.of_record({"signal": 9, "cause": "memory", "reason": "the server needed more memory"}, ENTRY)
    ending = pm.merge(FAILED, record, None)
    assert ending is not None
    assert (ending.outcome, ending.text) == (Outcome.OUT_OF_MEMORY, "The server needed more memory.")


def test_only_the_accounting_knows_who_cancelled() -> None:
    plain = pm.of_status(status(outcome=Outcome.CANCELLED, reason="cancelled"))
    by = pm.of_status(status(outcome=Outcome.CANCELLED, reason="cancelled by an administrator"), "accounting")
    ending = pm.merge(plain, RECORD, by)
    assert ending is not None
    assert ending.text == "The job was cancelled by an administrator."


@pytest.mark.parametrize(
    ("reported", "waits", "run", "counts"),
    [
        (True, True, 0, False),
        (True, True, 1, True),
        (True, False, 0, True),
        (False, True, 0, True),
        (True, True, None, True),
    ],
)
def test_the_record_of_a_run_before_a_requeue_proves_nothing(
    reported: bool, waits: bool, run: int | None, counts: bool
) -> None:
    seen = JobStatus(id="7", state=JobState.PENDING if waits else JobState.RUNNING)
    entry = dataclasses.replace(ENTRY, reported=reported, status=seen)
    assert pm.record_counts({"tag": ENTRY.tag, "run": run}, entry) is counts
    if waits:
        assert pm.record_counts({"tag": "another", "run": 1}, entry) is False


@pytest.mark.parametrize(("by_us", "words"), [(True, "from the hub"), (False, "by its owner or an administrator")])
async def test_a_cancel_that_was_not_ours_is_told_as_such(hub: Process, world: World, by_us: bool, words: str) -> None:
    entry = await hub.submit()
    if by_us:
        await hub.queue.cancel(entry.tag)
    world.set(entry.id, state="ended", outcome="cancelled")
    await until(lambda: hub.queue.entry(entry.tag).ended)  # type: ignore[union-attr]
    assert words in (await hub.queue.why(entry.tag)).text


def test_what_the_best_evidence_leaves_open_the_next_fills() -> None:
    ending = pm.merge(SCHEDULER, RECORD, None)
    assert ending is not None
    assert (ending.signal, ending.lines) == (9, ("Killed",))
    assert pm.merge(None, None, None) is None


def test_an_ending_goes_through_the_journal() -> None:
    ending = Ending(Outcome.TIMEOUT, "text", "scheduler", 0, 15, 12.5, ("secret line",), "/log")
    again = Ending.from_json({**ending.as_json(), "newer": 1})
    assert again == dataclasses.replace(ending, lines=())
    assert Ending.from_json({"outcome": "a word of tomorrow"}).outcome is Outcome.UNKNOWN


async def test_why_tells_reason_and_last_lines(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.set(entry.id, state="ended", outcome="failed", exit_code=1)
    await until(lambda: hub.queue.entry(entry.tag).ended)  # type: ignore[union-attr]
    ending = await hub.queue.why(entry.tag, lines=1)
    assert (ending.outcome, ending.exit_code) == (Outcome.FAILED, 1)
    assert (ending.lines, ending.log) == (("last line",), f"/logs/{entry.tag}.log")


async def test_why_is_answered_when_nobody_answers(hub: Process, world: World) -> None:
    async def tail(*_: Any) -> dict[str, Any]:
        raise HelperError("folder", "cannot read /home/alice")

    world.hooks["tail"] = tail
    entry = await hub.submit()
    world.set(entry.id, state="ended", outcome="walltime reached")
    await until(lambda: hub.queue.entry(entry.tag).ended)  # type: ignore[union-attr]
    ending = await hub.queue.why(entry.tag)
    assert (ending.outcome, ending.lines, ending.log) == (Outcome.TIMEOUT, (), f"/logs/{entry.tag}.log")


async def test_why_of_a_job_that_lives_tells_its_log(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.set(entry.id, reason="Resources")
    await until(lambda: hub.queue.entry(entry.tag).status)  # type: ignore[union-attr]
    ending = await hub.queue.why(entry.tag)
    assert ending.text == "The job has not ended; it is pending. Resources."
    assert ending.lines == ("first line", "last line")
    assert not hub.queue.entry(entry.tag).ended  # type: ignore[union-attr]
    assert (await hub.queue.why("jupyter-abcdef-aaaaaaaaaa")).text == "The job is not known."


async def test_an_idle_server_s_own_reason_is_told(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.set(entry.id, state="ended", outcome="completed")
    world.ends[entry.tag] = {"tag": entry.tag, "run": 0, "exit_code": 0, "reason": "no work for 30 minutes"}
    await until(lambda: hub.queue.entry(entry.tag).ended)  # type: ignore[union-attr]
    assert (await hub.queue.why(entry.tag)).text == "No work for 30 minutes."


async def test_secrets_go_after_the_end_and_not_before(hub: Process, world: World) -> None:
    entry = await hub.submit()
    await hub.queue.clean(entry.tag)
    assert world.cleaned == []
    world.set(entry.id, state="ended", outcome="completed")
    await until(lambda: world.cleaned == [entry.tag])
    await hub.queue.clean(entry.tag)
    assert world.cleaned == [entry.tag]


async def test_a_clean_that_failed_is_repeated(start: Any, world: World) -> None:
    hub = await start(settings=dataclasses.replace(FAST, clean_after=0.0, linger=3600.0))
    entry = await hub.submit()

    async def clean(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        if world.count("clean") < 3:
            raise HelperError("folder", "stale file handle")
        return await proceed()  # type: ignore[no-any-return]

    world.hooks["clean"] = clean
    world.set(entry.id, state="ended", outcome="completed")
    await until(lambda: hub.queue.entry(entry.tag).cleaned)
    assert world.cleaned == [entry.tag]


async def test_what_is_over_leaves_memory_and_is_still_known(start: Any, world: World) -> None:
    hub = await start(settings=dataclasses.replace(FAST, linger=0.0))
    entry = await hub.submit()
    world.set(entry.id, state="ended", outcome="failed", exit_code=2)
    await until(lambda: hub.queue.entry(entry.tag).ended)
    await hub.queue.clean(entry.tag)
    await until(lambda: len(hub.queue._book) == 0)
    known = hub.queue.entry(entry.tag)
    assert known.ended
    assert known.ending.exit_code == 2
