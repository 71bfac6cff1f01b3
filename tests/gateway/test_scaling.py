"""What a heartbeat means: whole jobs are given back, what works is never touched, failures are told apart."""

from __future__ import annotations

from typing import Any

from dask_gateway_server.backends.db_base import JobStatus, Worker

from hpcspawner.gateway.scaling import judge, unwanted_jobs


def worker(name: str, status: JobStatus = JobStatus.SUBMITTED, tag: str = "", index: int = 0, **more: Any) -> Worker:
    state = {"tag": tag, "index": index} if tag else {}
    return Worker(name=name, status=status, target=more.pop("target", JobStatus.RUNNING), state=state, **more)


def beat(active: str = "", closing: str = "", closed: str = "") -> dict[str, Any]:
    return {"active_workers": active.split(), "closing_workers": closing.split(), "closed_workers": closed.split()}


def names(found: list[tuple[Worker, JobStatus]]) -> dict[str, JobStatus]:
    return {each.name: target for each, target in found}


def test_workers_that_registered_run() -> None:
    made = judge([worker("a"), worker("b", JobStatus.RUNNING), worker("c")], beat("a b"), 3)
    assert [each.name for each in made.running] == ["a"]
    assert not made.stopped


def test_a_worker_that_closed_unasked_has_failed_once_two_heartbeats_say_so() -> None:
    workers = [worker("a", JobStatus.RUNNING), worker("b", JobStatus.RUNNING, close_expected=True)]
    assert names(judge(workers, beat(closed="a b"), 0).stopped) == {"b": JobStatus.STOPPED}
    both = names(judge(workers, beat(closed="a b"), 0, {"a"}).stopped)
    assert both == {"a": JobStatus.FAILED, "b": JobStatus.STOPPED}


def test_what_is_not_submitted_is_given_back_first_then_the_last_jobs() -> None:
    workers = [worker("a", tag="t", index=1), worker("b", tag="t", index=2), worker("c"), worker("d")]
    assert set(names(judge(workers, beat(), 3).stopped)) == {"d"}
    assert set(names(judge(workers, beat(), 1).stopped)) == {"b", "c", "d"}


def test_jobs_are_given_back_whole_or_not_at_all() -> None:
    workers = [worker(name, tag="t", index=1 + at // 4) for at, name in enumerate("abcdefgh")]
    assert not judge(workers, beat(), 5).stopped
    assert set(names(judge(workers, beat(), 4).stopped)) == set("efgh")
    assert set(names(judge(workers, beat(), 1).stopped)) == set("efgh")


def test_the_job_of_a_worker_that_runs_is_not_given_back() -> None:
    workers = [worker("a", tag="t", index=1), worker("b", tag="t", index=1), worker("c", tag="t", index=2)]
    assert set(names(judge(workers, beat("a"), 1).stopped)) == {"c"}


def test_a_job_is_unwanted_when_its_last_worker_has_been_stopped() -> None:
    stopped = {"target": JobStatus.STOPPED}
    workers = [
        worker("a", tag="t", index=1, **stopped),
        worker("b", tag="t", index=1),
        worker("c", tag="t", index=2, **stopped),
        worker("d", tag="u", index=1, **stopped),
        worker("e", **stopped),
    ]
    assert unwanted_jobs(workers, lambda key: key == ("u", 1)) == [("t", 2)]
