"""Grid Engine: what its answers mean, all of them recorded on a real one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hpcspawner.job import (
    Accepted,
    Cluster,
    Job,
    JobState,
    Outcome,
    Refused,
    Resources,
    Result,
    SchedulerUnavailable,
    Unknown,
)
from hpcspawner.schedulers import gridengine

from .schedkit import recorded, result

CLUSTER = Cluster("main", "gridengine")
NAME = "demo-0a1b2c-abcdefghi2"
JOB = Job(
    name=NAME, user="alice", command=("python3", "server.py", "two words; rm -rf ~"), partition="short.q",
    account="maths", output="/home/alice/log", workdir="/home/alice/my work", setup=("module load python",),
    resources=Resources(cores=4, memory=4001, walltime=1200),
)  # fmt: skip


def told(name: str) -> Result:
    return result("gridengine", name)


def named(prefix: str) -> list[dict[str, Any]]:
    return [one for one in recorded("gridengine") if one["name"].startswith(prefix)]


def test_version_and_family() -> None:
    found = gridengine.probed(CLUSTER, told("version"))
    assert (found.version, found.family) == ("8.1.9", "SGE")
    with pytest.raises(SchedulerUnavailable):
        gridengine.probed(CLUSTER, Result(None, "", "no such command"))


# Submits


@pytest.mark.parametrize("one", named("submit"), ids=lambda one: one["name"])
def test_every_recorded_submit(one: dict[str, Any]) -> None:
    got = gridengine.submitted(CLUSTER, told(one["name"]))
    if one["code"] == 0:
        assert got == Accepted(one["out"].partition(".")[0].strip())
    elif "read script" in one["err"]:
        assert isinstance(got, Refused)
    else:
        assert isinstance(got, Refused)
        assert got.text in " ".join(one["err"].split())
        assert "Exiting" not in got.text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("submit-unknown-queue", 'Job was rejected because job requests unknown queue "nosuch.q"'),
        ("submit-limit-0", "only 2 jobs are allowed per user (current job count: 5)"),
        ("submit-unknown-project", 'the requested project "nosuch" does not exist'),
        ("submit-verify-walltime", "no suitable queues"),
    ],
)
def test_the_schedulers_own_sentence(name: str, sentence: str) -> None:
    assert gridengine.submitted(CLUSTER, told(name)) == Refused(sentence)


def test_no_answer_is_no_refusal_and_a_closed_door_is() -> None:
    assert isinstance(gridengine.submitted(CLUSTER, told("hung-qsub")), Unknown)
    refused = gridengine.submitted(CLUSTER, told("down-qsub"))
    assert isinstance(refused, Refused)
    assert "can't be reached" in refused.text
    broken = Result(1, "", "Unable to run job: got read error\nExiting.\n")
    assert isinstance(gridengine.submitted(CLUSTER, broken), Unknown)


# Jobs


def test_states_hosts_and_times_of_all_jobs() -> None:
    jobs = gridengine.queried(CLUSTER, told("all-g-d"))
    one = jobs["5"]
    assert (one.state, one.name, one.user, one.partition, one.nodes) == (
        JobState.RUNNING, NAME, "alice", "short.q", ("ge1",)
    )  # fmt: skip
    assert one.walltime == 1200
    assert one.started is not None
    assert one.ends == one.started + 1200
    states = {id: job.state for id, job in jobs.items()}
    assert states["8"] is JobState.PENDING
    assert states["7"] is JobState.HELD
    assert states["10"] is JobState.HELD, "a failed start waits for somebody"
    assert {"6", "6.1", "6.2", "6.3"} <= set(states)


def test_jobs_that_are_being_ended_or_stopped() -> None:
    assert gridengine.queried(CLUSTER, told("all-being-cancelled"))["5"].state is JobState.ENDING
    assert gridengine.queried(CLUSTER, told("all-suspended"))["19"].state is JobState.SUSPENDED


def test_an_odd_name_changes_no_other_job() -> None:
    jobs = gridengine.queried(CLUSTER, told("odd-name"))
    assert {jobs[id].user for id in ("26", "27", "28")} == {"alice"}


def test_no_jobs_is_an_answer_and_an_outage_is_none() -> None:
    assert gridengine.queried(CLUSTER, told("nothing-there")) == {}
    outages = ["down-qstat", "hung-qstat", "down-qconf"]
    for bad in (*map(told, outages), Result(0, "", ""), Result(0, "<job_info>", ""), Result(0, "<a></a>", "")):
        with pytest.raises(SchedulerUnavailable):
            gridengine.queried(CLUSTER, bad)


def test_a_word_that_is_not_known_ends_no_job() -> None:
    text = told("all-g-d").out.replace("<state>r</state>", "<state>xyz</state>")
    assert gridengine.queried(CLUSTER, Result(0, text, ""))["5"].state is JobState.UNKNOWN


def test_find_needs_name_and_owner() -> None:
    def ids(name: str, user: str) -> list[str]:
        return [job.id for job in gridengine.found(CLUSTER, name, user, told("all-g-d"))]

    assert ids(NAME, "alice") == ["5"]
    assert ids(NAME, "bob") == []
    assert ids("nosuch", "alice") == []


@pytest.mark.parametrize(
    ("name", "id", "outcome", "code", "signal"),
    [
        ("acct-walltime", "27", Outcome.TIMEOUT, None, 9),
        ("acct-cancelled-2", "28", Outcome.COMPLETED, 0, None),
        ("acct-failed-2", "29", Outcome.FAILED, 7, None),
        ("acct-signal", "30", Outcome.FAILED, None, 9),
    ],
)
def test_how_a_job_ended(name: str, id: str, outcome: Outcome, code: int | None, signal: int | None) -> None:
    found = gridengine.detailed(CLUSTER, id, [told("job-unknown"), told(name)])
    assert found is not None
    assert (found.state, found.outcome, found.exit_code, found.signal) == (JobState.ENDED, outcome, code, signal)


def test_why_a_job_waits() -> None:
    waits = gridengine.detailed(CLUSTER, "8", [told("job-waiting"), told("acct-unknown")])
    assert waits is not None
    assert (waits.state, waits.reason) == (JobState.PENDING, 'has no permission for cluster queue "closed.q"')
    failed = gridengine.detailed(CLUSTER, "10", [told("job-error")])
    assert failed is not None
    assert failed.state is JobState.HELD
    assert failed.reason.startswith("error: can't open output file")
    assert gridengine.detailed(CLUSTER, "99999", [told("job-unknown"), told("acct-unknown")]) is None


def test_cancels_are_judged_line_by_line() -> None:
    def said(name: str, *ids: str) -> dict[str, bool | None]:
        return gridengine.cancelled(CLUSTER, ids, told(name))

    assert said("cancel", "5") == {"5": True}
    assert said("cancel-again", "5") == {"5": True}
    assert said("cancel-mixed", "7", "99999", "9") == {"7": True, "99999": True, "9": True}
    assert said("others-cancel", "5") == {"5": False}
    assert said("down-qdel", "5") == {"5": None}
    assert said("cancel-task", "6.2") == {"6.2": True}
    assert said("cancel-mixed", "4") == {"4": None}


@pytest.mark.parametrize("id", ["", "0", "-1", "5 6", "*", "abc", "5;rm"])
def test_what_is_no_id_never_reaches_a_command(id: str) -> None:
    with pytest.raises(ValueError, match="job id"):
        gridengine.cancel(CLUSTER, [id])
    with pytest.raises(ValueError, match="job id"):
        gridengine.detail(CLUSTER, id)


# Queues


def test_queues_with_their_limits_and_hosts() -> None:
    answers = {"queues": told("cluster-queues-xml"), "limits": told("queue-conf"), "hosts": told("hosts-and-queues")}
    found = {info.name: info for info in gridengine.inventoried(CLUSTER, answers).partitions}
    assert set(found) == {"all.q", "short.q", "closed.q"}
    short = found["short.q"]
    assert (short.cores, short.max_walltime, short.nodes, short.up) == (4, 1800, 1, True)
    assert short.memory is not None
    assert 20000 < short.memory < 30000
    answers["queues"] = told("cluster-queues-disabled-xml")
    assert not {info.name: info for info in gridengine.inventoried(CLUSTER, answers).partitions}["short.q"].up
    bare = gridengine.inventoried(CLUSTER, {"queues": told("cluster-queues-xml")})
    assert len(bare.problems) == 2
    with pytest.raises(SchedulerUnavailable):
        gridengine.inventoried(CLUSTER, {**answers, "queues": told("down-qstat")})


# Scripts

GOLDEN = """\
#!/bin/bash
#$ -N demo-0a1b2c-abcdefghi2
#$ -S /bin/bash
#$ -notify
#$ -r n
#$ -j y
#$ -o /home/alice/log
#$ -q short.q
#$ -P maths
#$ -pe smp 4
#$ -l h_rt=1200
#$ -l h_vmem=1001M
trap '' USR1
unset XDG_RUNTIME_DIR
export HPCSPAWNER_JOB_END=$(( $(date +%s) + 1200 ))
module load python
cd -- '/home/alice/my work' || exit 1
exec python3 server.py 'two words; rm -rf ~'
"""


def test_golden_script() -> None:
    cluster = dataclasses.replace(CLUSTER, switches={"memory": "h_vmem"})
    assert gridengine.script(cluster, JOB) == GOLDEN


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"partition": "a\n#$ -q b"}, "partition"),
        ({"account": "-q x"}, "account"),
        ({"output": "/x/$HOME"}, "output"),
        ({"output": "host:/x"}, "output"),
        ({"directives": ("-l a=1\n#$ -q b",)}, "directives"),
        ({"setup": ("#$ -q other",)}, "setup"),
        ({"setup": ("a\nb",)}, "setup"),
        ({"qos": "high"}, "qos"),
        ({"resources": Resources(nodes=2)}, "nodes"),
        ({"resources": Resources(gpus=1)}, "gpus"),
        ({"command": ()}, "command"),
    ],
)
def test_what_could_become_a_directive_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        gridengine.script(CLUSTER, dataclasses.replace(JOB, **changes))
