"""What one answer means for one job."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner.job import JobState, JobStatus
from hpcspawner.jobqueue.evidence import HUB, OWNER, Finding, Look, Rules, Sight, belongs, is_mass, judge, state_of

TAG = "jupyter-abcdef-aaaaaaaaaa"
RULES = Rules(grace=20.0, unseen_limit=300.0, mass_limit=900.0)
SEEN = Sight(seen=True, named=True)
OWNED = dataclasses.replace(SEEN, view=OWNER)
BLIND = Sight(view=OWNER)


def shown(state: JobState = JobState.RUNNING, **fields: str) -> JobStatus:
    return JobStatus(**{"id": "7", "name": TAG, "user": "alice", **fields, "state": state})  # type: ignore[arg-type]


def decide(sight: Sight, look: Look, ending: bool = False) -> tuple[Finding, Sight]:
    return judge(sight, look, RULES, tag=TAG, user="alice", ending=ending)


def absent(sight: Sight, times: list[float], *, view: str = HUB, outage: bool = False, ending: bool = False) -> Finding:
    """The finding after the last of several answers that lack the job."""
    finding = Finding.WAIT
    for at in times:
        finding, sight = decide(sight, Look(at, view, None, outage), ending)
    return finding


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.ENDED])
def test_any_state_but_ended_lives(state: JobState) -> None:
    finding, sight = decide(Sight(misses=1, missing_since=5.0), Look(9.0, HUB, shown(state)))
    assert finding is Finding.SEEN
    assert (sight.seen, sight.misses, sight.missing_since) == (True, 0, None)


def test_the_scheduler_says_ended() -> None:
    assert decide(Sight(), Look(1.0, HUB, shown(JobState.ENDED)))[0] is Finding.ENDED


TABLE = [
    # what, sight, answers that lack it, view, outage, ending, finding
    ("one answer is nothing", SEEN, [0], HUB, False, False, Finding.WAIT),
    ("two within the grace period are nothing", SEEN, [0, 19], HUB, False, False, Finding.WAIT),
    ("one long after the other is one too few", SEEN, [100], HUB, False, False, Finding.WAIT),
    ("two after the grace period: the owner is asked", SEEN, [0, 20], HUB, False, False, Finding.ASK_OWNER),
    ("a blind query proves nothing: the owner is asked", Sight(), [0, 1], HUB, False, False, Finding.ASK_OWNER),
    ("one blind answer may be too early", Sight(), [0], HUB, False, False, Finding.WAIT),
    ("the owner is not shown it either", OWNED, [0, 20], OWNER, False, False, Finding.GONE),
    ("the owner's answers need the grace period too", OWNED, [0, 5, 19], OWNER, False, False, Finding.WAIT),
    ("never shown to anybody: much later", BLIND, [0, 100, 299], OWNER, False, False, Finding.WAIT),
    ("never shown to anybody: the site's limit", BLIND, [0, 100, 300], OWNER, False, False, Finding.GONE),
    ("an outage changes nothing", SEEN, [0, 20, 40, 60], HUB, True, False, Finding.WAIT),
    ("nor as the owner", OWNED, [0, 20, 40, 899], OWNER, True, False, Finding.WAIT),
    ("an outage of good answers has an end", SEEN, [0, 20, 900], HUB, True, False, Finding.ASK_OWNER),
    ("as the owner too", OWNED, [0, 20, 900], OWNER, True, False, Finding.GONE),
    ("a job being cancelled is expected to go", SEEN, [0, 1], HUB, False, True, Finding.GONE),
    ("but not after one answer", SEEN, [0], HUB, False, True, Finding.WAIT),
    ("and not by a blind query", Sight(), [0, 1], HUB, False, True, Finding.ASK_OWNER),
    ("many cancelled at once are no outage", SEEN, [0, 1], HUB, True, True, Finding.GONE),
    ("cancelled and its owner is not shown it", BLIND, [0, 1], OWNER, False, True, Finding.GONE),
]


@pytest.mark.parametrize(
    ("sight", "times", "view", "outage", "ending", "finding"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_absence(sight: Sight, times: list[float], view: str, outage: bool, ending: bool, finding: Finding) -> None:
    assert absent(sight, times, view=view, outage=outage, ending=ending) is finding


def test_being_shown_starts_the_count_anew() -> None:
    _, sight = decide(SEEN, Look(0.0, HUB, None))
    _, sight = decide(sight, Look(10.0, HUB, shown()))
    finding, sight = decide(sight, Look(30.0, HUB, None))
    assert finding is Finding.WAIT
    assert sight.misses == 1


def test_asking_the_owner_keeps_the_time_and_counts_anew() -> None:
    _, sight = decide(SEEN, Look(0.0, HUB, None))
    finding, sight = decide(sight, Look(20.0, HUB, None))
    assert (finding, sight.view, sight.misses, sight.missing_since) == (Finding.ASK_OWNER, OWNER, 0, 0.0)
    finding, sight = decide(sight, Look(22.0, OWNER, None))
    assert finding is Finding.WAIT
    assert decide(sight, Look(24.0, OWNER, None))[0] is Finding.GONE


def test_a_job_shown_to_its_owner_only_stays_with_the_owner() -> None:
    _, sight = decide(SEEN, Look(0.0, HUB, None))
    finding, sight = decide(sight, Look(1.0, OWNER, shown()))
    assert finding is Finding.SEEN
    assert (sight.view, sight.misses) == (OWNER, 0)


def test_a_look_as_the_owner_at_a_job_the_hub_sees_changes_no_view() -> None:
    assert decide(SEEN, Look(1.0, OWNER, shown()))[1].view == HUB


def test_an_answer_of_the_other_view_that_lacks_the_job_is_nothing() -> None:
    assert decide(SEEN, Look(1.0, OWNER, None)) == (Finding.WAIT, SEEN)
    assert decide(OWNED, Look(1.0, HUB, None)) == (Finding.WAIT, OWNED)


def test_a_server_that_answers_lives() -> None:
    sight = OWNED
    for at in (0.0, 20.0, 40.0, 60.0, 80.0):
        finding, sight = decide(dataclasses.replace(sight, life=at - 1.0), Look(at, OWNER, None))
        assert finding is Finding.WAIT
    finding, sight = decide(sight, Look(99.0, OWNER, None))
    assert finding is Finding.WAIT
    assert decide(sight, Look(101.0, OWNER, None))[0] is Finding.GONE


def test_a_sign_of_life_from_before_is_none() -> None:
    assert absent(dataclasses.replace(OWNED, life=-1.0), [0, 20], view=OWNER) is Finding.GONE


@pytest.mark.parametrize(
    ("status", "named", "ours"),
    [
        (shown(), False, True),
        (shown(user=""), True, True),
        (shown(user="bob"), False, False),
        (shown(name="site_" + TAG), True, True),
        (shown(name="renamed-by-filter"), False, True),
        (shown(name="another-job"), True, False),
        (shown(name=""), True, True),
    ],
)
def test_whose_job_an_id_is(status: JobStatus, named: bool, ours: bool) -> None:
    assert belongs(TAG, "alice", named, status) is ours


def test_another_job_with_the_id_counts_as_absence() -> None:
    finding, sight = decide(OWNED, Look(0.0, OWNER, shown(user="bob")))
    assert (finding, sight.misses) == (Finding.WAIT, 1)
    assert decide(sight, Look(20.0, OWNER, shown(user="bob")))[0] is Finding.GONE


@pytest.mark.parametrize(
    ("missing", "known", "mass"),
    [(1, 1, False), (2, 2, False), (3, 3, True), (3, 5, True), (3, 6, False), (50, 100, False), (51, 100, True)],
)
def test_many_at_once(missing: int, known: int, mass: bool) -> None:
    assert is_mass(missing, known) is mass


LOOKS = st.lists(
    st.tuples(st.floats(0.1, 200.0), st.sampled_from([HUB, OWNER]), st.booleans()), min_size=1, max_size=30
)


@given(LOOKS, st.sampled_from([Sight(), SEEN, OWNED, BLIND]))
def test_a_job_is_never_gone_before_two_answers_in_a_row_and_the_grace_period(
    looks: list[tuple[float, str, bool]], sight: Sight
) -> None:
    now, lacked = 0.0, []
    for step, view, there in looks:
        now += step
        finding, after = decide(sight, Look(now, view, shown() if there else None))
        if there:
            lacked = []
            assert finding is Finding.SEEN
        elif view == sight.view:
            lacked.append(now)
        if finding is Finding.GONE:
            assert view == OWNER
            assert len(lacked) >= 2
            assert now - lacked[0] >= RULES.grace
        sight = after


@pytest.mark.parametrize(
    ("state", "reported", "told"),
    [
        (JobState.PENDING, 5.0, JobState.RUNNING),
        (JobState.STARTING, 5.0, JobState.RUNNING),
        (JobState.PENDING, 3.0, JobState.PENDING),
        (JobState.PENDING, None, JobState.PENDING),
        (JobState.ENDING, 5.0, JobState.ENDING),
        (JobState.SUSPENDED, 5.0, JobState.SUSPENDED),
    ],
)
def test_a_report_beats_an_answer_asked_for_before(state: JobState, reported: float | None, told: JobState) -> None:
    assert state_of(shown(state), asked=4.0, reported=reported) is told
