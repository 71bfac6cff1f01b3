"""What users and schedulers write reaches pages and logs as one harmless line, and breaks no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcspawner.jobqueue import answers, postmortem
from hpcspawner.jobqueue.answers import Garbled
from hpcspawner.jobqueue.entry import Entry

FORGED = "killed\n[I 2026-01-01 JupyterHub log:1] alice logged in\x1b[2J\u202e" + "x" * 9000


def record(**values: Any) -> dict[str, Any]:
    return {"tag": "jupyter-abcdef-aaaaaaaaaa", "exit_code": 1, **values}


def entry() -> Entry:
    return Entry(tag="jupyter-abcdef-aaaaaaaaaa", cluster="main", user="alice", owner_key="alice/")


def test_the_reason_of_an_end_record_is_one_short_line() -> None:
    ending = postmortem.of_record(record(reason=FORGED, lines=[FORGED, 5, None] * 400), entry())
    assert ending.text.isprintable()
    assert len(ending.text) < 600
    assert len(ending.lines) <= 500
    assert all(line.isprintable() and len(line) <= 1000 for line in ending.lines)


@pytest.mark.parametrize("time", ["NaN", "Infinity", "1e999", "9" * 400, "true", '"now"', "[]"])
def test_what_is_no_time_is_no_time(time: str) -> None:
    assert postmortem.of_record(json.loads(f'{{"ended": {time}}}'), entry()).ended is None
    with pytest.raises(Garbled):
        answers.status(json.loads(f'{{"id": "1", "state": "running", "started": {time}}}'))


@pytest.mark.parametrize("state", [[], {}, None, 5, "no such state"])
def test_a_state_that_is_not_understood_is_unknown_and_never_an_end(state: Any) -> None:
    found = answers.status({"id": "1", "state": state, "outcome": state, "reason": FORGED})
    assert found.state.value == "unknown"
    assert found.reason.isprintable()
