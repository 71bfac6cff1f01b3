"""Which orphans may be cancelled."""

from __future__ import annotations

import pytest

from hpcspawner.jobqueue import Entry, SweepReport
from hpcspawner.jobqueue.sweep import decide


def orphans(count: int, stored: int = 0) -> list[Entry]:
    return [Entry(tag=f"t{number}", cluster="main", user="alice", stored=number < stored) for number in range(count)]


@pytest.mark.parametrize(
    ("found", "living", "unknown", "why"),
    [
        (orphans(1), 1, set(), ""),
        (orphans(3), 3, set(), ""),
        (orphans(4), 4, set(), "not to be believed"),
        (orphans(4), 8, set(), ""),
        (orphans(5), 8, set(), "not to be believed"),
        (orphans(1, stored=1), 100, set(), "older than the jobs"),
        (orphans(9, stored=1), 100, set(), "older than the jobs"),
        (orphans(1), 100, {"t9"}, "journal is older"),
    ],
)
def test_when_orphans_are_left_alone(found: list[Entry], living: int, unknown: set[str], why: str) -> None:
    text = decide(found, living, unknown)
    assert why in text
    assert bool(text) is bool(why)


def test_a_report_reads_well() -> None:
    assert str(SweepReport(("a", "b"), ("a", "b"))) == "2 orphans (a, b); 2 cancelled"
    assert str(SweepReport(("a",), (), (), "why")) == "1 orphans (a); 0 cancelled; why"
