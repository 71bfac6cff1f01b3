"""Jobs as IBM Spectrum LSF shows them: `bjobs -o` with -json, or with a delimiter where -json is not known yet."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional

from ..job import JobState, JobStatus, SchedulerUnavailable
from . import _lsf_text as text
from . import _lsf_words as words
from ._lsf_rows import keep

FIELDS = (
    "jobid",
    "jobindex",
    "stat",
    "user",
    "queue",
    "exec_host",
    "exit_code",
    "submit_time",
    "start_time",
    "finish_time",
    "runtimelimit",
    "proj_name",
    "exit_reason",
    "pend_reason",
    # Last: users choose it, and it may hold the delimiter.
    "job_name",
)
DELIMITER = "^"


def parse(out: str) -> Optional[Dict[str, JobStatus]]:
    """The jobs by id, elements of arrays as 123[4]; None where the text holds no such answer at all.

    Raises SchedulerUnavailable for a garbled one.
    """
    found = _objects(out)
    if found is None:
        found = _delimited(out)
        if not found:
            return None
    jobs: Dict[str, JobStatus] = {}
    for record in found:
        status = _status(record)
        if status is not None:
            keep(jobs, status)
    return jobs


def records(out: str) -> List[Dict[str, str]]:
    """The records of a JSON answer with their keys in lower case, or none."""
    return _objects(out) or []


def _objects(out: str) -> Optional[List[Dict[str, str]]]:
    """Records of the JSON object in the text; lines such as 'Please wait' may stand before it."""
    start = re.search(r"^\s*\{", out, re.MULTILINE)
    if not start or '"RECORDS"' not in out:
        return None
    body = out[start.start() :].strip()
    try:
        value = json.JSONDecoder(strict=False).raw_decode(body)[0]
        found = value["RECORDS"]
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise SchedulerUnavailable("garbled answer of bjobs: RECORDS is no list of objects")
        return [{str(key).lower(): _plain(item) for key, item in record.items()} for record in found]
    except (ValueError, KeyError, TypeError):
        return _lines(body)


def _plain(value: Any) -> str:
    return "" if value is None else str(value)


def _lines(body: str) -> List[Dict[str, str]]:
    """Records read line by line: some releases don't escape quotes and backslashes within a name."""
    if not re.search(r"\]\s*\}\s*\Z", body):
        raise SchedulerUnavailable("garbled answer of bjobs: it ends in the middle")
    found: List[Dict[str, str]] = []
    record: Dict[str, str] = {}
    for line in body.partition('"RECORDS"')[2].splitlines():
        pair = re.match(r'\s*"([A-Za-z_%]+)"\s*:\s*"(.*)"\s*,?\s*\Z', line)
        if pair:
            record[pair.group(1).lower()] = pair.group(2)
        elif re.match(r"\s*\}", line) and record:
            found.append(record)
            record = {}
    number = re.search(r'"JOBS"\s*:\s*"?(\d+)', body)
    if number is None or len(found) < int(number.group(1)):
        raise SchedulerUnavailable("garbled answer of bjobs: it is no JSON")
    return found


def _delimited(out: str) -> List[Dict[str, str]]:
    found = []
    for line in out.splitlines():
        parts = line.split(DELIMITER, len(FIELDS) - 1)
        if len(parts) == len(FIELDS) and parts[0].strip().isdigit():
            found.append({name: parts[place].strip() for place, name in enumerate(FIELDS)})
    return found


def _status(record: Mapping[str, str]) -> Optional[JobStatus]:
    number, word = _value(record, "jobid"), _value(record, "stat")
    trouble = _value(record, "error")
    if trouble:
        if text.NO_JOB.search(trouble):
            return None
        raise SchedulerUnavailable(trouble)
    inside = re.match(r"(\d+)(?:\[(\d+)\])?\Z", number)
    if not inside or not word:
        raise SchedulerUnavailable("garbled answer of bjobs: a record without job id or state")
    index = inside.group(2) or _value(record, "jobindex")
    state = words.state(word)
    exit_code = int(record["exit_code"]) if re.match(r"-?\d+\Z", record.get("exit_code", "").strip()) else None
    outcome, reason = words.ending(word, exit_code, None, _value(record, "exit_reason"))
    if state.waits:
        reason = words.waiting(record.get("pend_reason", "")) or words.STATE_WORDS.get(word, "")
    elif state is not JobState.ENDED:
        reason = words.STATE_WORDS.get(word, "")
    finish = text.epoch(record.get("finish_time", ""))
    return JobStatus(
        id=str(int(inside.group(1))) + ("[{}]".format(int(index)) if index.isdigit() and int(index) else ""),
        state=state,
        word=word,
        reason=reason,
        name=_value(record, "job_name"),
        user=_value(record, "user"),
        partition=_value(record, "queue"),
        account=_value(record, "proj_name"),
        nodes=() if state.waits else text.hosts(record.get("exec_host", "")),
        submitted=text.epoch(record.get("submit_time", "")),
        started=text.epoch(record.get("start_time", "")),
        # For a job that lives this is the end of its run limit; afterwards it is when it ended.
        ends=finish if state.lives and not state.waits else None,
        walltime=text.duration(record.get("runtimelimit", "")),
        outcome=outcome,
        exit_code=0 if word == "DONE" else exit_code,
    )


def _value(record: Mapping[str, str], key: str) -> str:
    """A field of a record; an empty one is '' or '-'."""
    text_of = record.get(key, "").strip()
    return "" if text_of == "-" else text_of


def estimate(out: str, id: str) -> Optional[float]:
    """When LSF thinks that a job starts, from the fields jobid and estimated_start_time."""
    for record in records(out):
        if record.get("jobid", "").strip() == id.partition("[")[0]:
            return text.epoch(record.get("estimated_start_time", ""))
    return None
