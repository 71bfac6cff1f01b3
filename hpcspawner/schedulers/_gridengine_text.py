"""Grid Engine's ways of writing ids, states, times and jobs."""

from __future__ import annotations

import re
import time
from typing import Any, Mapping, Optional, Sequence

from ..job import JobState, JobStatus, Outcome, Result, SchedulerUnavailable

STATES: Mapping[str, JobState] = {
    "qw": JobState.PENDING,
    "hqw": JobState.HELD,
    "hRwq": JobState.HELD,
    "hRqw": JobState.HELD,
    "Eqw": JobState.HELD,
    "Ehqw": JobState.HELD,
    "EhRqw": JobState.HELD,
    "Rq": JobState.PENDING,
    "Rqw": JobState.PENDING,
    "t": JobState.STARTING,
    "Rt": JobState.STARTING,
    "r": JobState.RUNNING,
    "hr": JobState.RUNNING,
    "Rr": JobState.RUNNING,
    **{mark + word: JobState.SUSPENDED for mark in ("", "h", "R") for word in ("s", "ts", "S", "tS", "T", "tT")},
    **{"d" + word: JobState.ENDING for word in ("r", "t", "Rr", "Rt", "s", "ts", "S", "tS", "T", "tT", "Rs", "hr")},
    **{"d" + word: JobState.ENDING for word in ("qw", "hqw", "Eqw", "Rq")},
}

ID = re.compile(r"[1-9][0-9]{0,9}(\.[1-9][0-9]{0,9})?\Z")


def words(result: Result) -> str:
    return " ".join((result.err + " " + result.out).split())[:2000]


def check_user(user: str) -> str:
    if not re.match(r"[^\s\-,*\"'][^\s,*\"']{0,255}\Z", user):
        raise ValueError("user: {!r} is no user name".format(user[:60]))
    return user


def check_ids(ids: Sequence[str]) -> None:
    for id in ids:
        if not ID.match(id):
            raise ValueError("ids: {!r} is no job id of Grid Engine".format(id[:60]))


def xml(result: Result) -> Any:
    """The root of an answer; raises SchedulerUnavailable."""
    from xml.etree import ElementTree  # costs some milliseconds, which only these answers are worth

    if result.code != 0:
        raise SchedulerUnavailable(words(result) or "Grid Engine did not answer in time")
    try:
        if "<!" in result.out:
            raise ElementTree.ParseError  # entities could make a small answer a huge one
        return ElementTree.fromstring(result.out)  # noqa: S314
    except ElementTree.ParseError:
        raise SchedulerUnavailable("garbled answer: {}".format(result.out.strip()[:200] or "nothing")) from None


def status(row: Mapping[str, str], element: Any) -> JobStatus:
    word, id = row.get("state", ""), row.get("JB_job_number", "")
    task = row.get("tasks", "")
    if not ID.match(id) or not word:
        raise SchedulerUnavailable("garbled answer of qstat: job {!r} in state {!r}".format(id[:40], word[:40]))
    queue, _, host = row.get("queue_name", "").partition("@")
    started = epoch(row.get("JAT_start_time", ""))
    limits = [item.text or "" for item in element.findall("hard_request") if item.get("name") == "h_rt"]
    walltime = int(limits[0]) if limits and limits[0].isdigit() else None
    return JobStatus(
        id="{}.{}".format(id, task) if task.isdigit() else id,
        state=STATES.get(word, JobState.UNKNOWN),
        word=word,
        reason="its start failed, and it waits for its owner or an admin" if word.startswith("E") else "",
        name=row.get("full_job_name") or row.get("JB_name", ""),
        user=row.get("JB_owner", ""),
        partition=queue or row.get("hard_req_queue", ""),
        account=row.get("JB_project", ""),
        nodes=(host,) if host else (),
        submitted=epoch(row.get("JB_submission_time", "")),
        started=started,
        ends=started + walltime if started and walltime else None,
        walltime=walltime,
    )


def epoch(text: str) -> Optional[float]:
    for shape in ("%Y-%m-%dT%H:%M:%S", "%a %b %d %H:%M:%S %Y"):
        try:
            return time.mktime(time.strptime(text.strip(), shape))
        except (ValueError, OverflowError):
            continue
    return None


def waiting(id: str, out: str, rows: Mapping[str, str]) -> JobStatus:
    failed = re.search(r"^error reason.*?: +(?:\S+ \S+ \[\d+:\d+\]: )?(.*?)\s*$", out, re.MULTILINE)
    told = out.partition("scheduling info:")[2].split("\n")
    reasons = [line.strip() for line in told if line.strip() and "not contained in its hard queue list" not in line]
    waits = "usage" not in "".join(rows)
    return JobStatus(
        id=id,
        state=JobState.HELD if failed else JobState.PENDING if waits else JobState.RUNNING,
        reason=failed.group(1) if failed else "; ".join(reasons) if waits else "",
        name=rows.get("job_name", ""),
        user=rows.get("owner", ""),
    )


def ended(id: str, rows: Mapping[str, str]) -> JobStatus:
    failed, code = number(rows.get("failed", "")), number(rows.get("exit_status", ""))
    signal = code - 128 if code is not None and code > 128 and failed else None
    outcome = Outcome.FAILED if failed or code else Outcome.COMPLETED
    if failed == 37:
        # h_rt, h_cpu or h_vmem: only the first counts time, so it is the walltime if that has passed.
        outcome = Outcome.TIMEOUT if "h_rt" in rows.get("category", "") else outcome
    elif failed is not None and 0 < failed < 100:
        outcome = Outcome.LAUNCH_FAILURE
    return JobStatus(
        id=id,
        state=JobState.ENDED,
        reason=rows.get("failed", "").partition(":")[2].strip(),
        name=rows.get("jobname", ""),
        user=rows.get("owner", ""),
        partition=rows.get("qname", ""),
        nodes=(rows["hostname"],) if rows.get("hostname") else (),
        submitted=epoch(rows.get("qsub_time", "")),
        started=epoch(rows.get("start_time", "")),
        outcome=outcome,
        exit_code=code if signal is None else None,
        signal=signal,
    )


def number(text: str) -> Optional[int]:
    match = re.match(r"\s*(\d+)", text)
    return int(match.group(1)) if match else None
