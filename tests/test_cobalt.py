"""What Cobalt's answers mean: recorded ones, and those that must not be believed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import schedulers
from hpcspawner.job import (
    Accepted,
    Cluster,
    Job,
    JobState,
    JobStatus,
    Refused,
    Resources,
    Result,
    SchedulerUnavailable,
    Unknown,
)
from hpcspawner.schedulers import _cobalt_text, cobalt

from .schedkit import COBALT, Fake, answer, recorded, result, wait_for

CLUSTER = Cluster("main", "cobalt")
TAG = "tgpu-abcdef-abcdefghij"


def test_the_module_is_found_by_its_name() -> None:
    assert schedulers.load("cobalt").TITLE == "Cobalt"


def test_version() -> None:
    got = cobalt.probed(CLUSTER, result("cobalt", "qstat_forms-25"))
    assert (got.version, got.family) == ("", "cobalt")
    assert cobalt.probed(CLUSTER, answer('version: "qstat.py ", Cobalt 1.0.33\n')).version == "1.0.33"
    for bad in (Result(None, "", "qstat: no such command"), answer("", "", 1), answer("pbs_version = 19.1\n")):
        with pytest.raises(SchedulerUnavailable):
            cobalt.probed(CLUSTER, bad)
        assert cobalt.probed(dataclasses.replace(CLUSTER, family="cobalt"), bad).family == "cobalt"


# Submits

SUBMITS = [
    one
    for one in recorded("cobalt")
    if one["argv"][0] == "qsub" and one["argv"][1:2] not in (["--version"], ["--help"])
]


@pytest.mark.parametrize("one", SUBMITS, ids=lambda one: one["name"])
def test_every_recorded_submit(one: dict[str, Any]) -> None:
    got = cobalt.submitted(CLUSTER, result("cobalt", one["name"]))
    number = re.match(r"(\d+)\n", one["out"])
    if number:
        assert isinstance(got, Accepted)
        assert got.id == number.group(1)
    elif "-I" in one["argv"] and one["code"] == 0:
        assert isinstance(got, Unknown)
    else:
        assert isinstance(got, Refused)
        assert "No handlers" not in got.text
        assert "Usage" not in got.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qsub_errors-19", "Walltime greater than the 'full-node' queue max walltime of 12:00:00"),
        ("qsub_errors-16", "Walltime less than minimum"),
        ("qsub_errors-25", "qsub.py: error: no such option: --bogus"),
        ("filters-1", "No project specified. Use -A <project> Filter /opt/cobalt/etc/filter.sh failed"),
        ("queue_limits-8", "The 'single-gpu' queue is draining"),
        ("queue_limits-3", "You are not allowed to submit to the 'default' queue"),
        ("qsub_errors-1", "'time' not provided"),
    ],
)
def test_the_schedulers_own_sentence(name: str, text: str) -> None:
    assert cobalt.submitted(CLUSTER, result("cobalt", name)) == Refused(text)


def test_text_on_stderr_is_a_notice() -> None:
    assert cobalt.submitted(CLUSTER, result("cobalt", "filters-3")) == Accepted(
        "143", 'Job routed to queue "full-node".'
    )
    assert cobalt.submitted(CLUSTER, answer("7 low priority: over budget\n")) == Accepted(
        "7", "low priority: over budget"
    )


def test_a_valid_id_counts_whatever_else_happened() -> None:
    assert cobalt.submitted(CLUSTER, answer("7\n", "[Errno 13] Permission denied\n", 1)) == Accepted(
        "7", "[Errno 13] Permission denied"
    )
    assert cobalt.submitted(CLUSTER, Result(None, "7\n", "")) == Accepted("7")


@pytest.mark.parametrize(
    ("got", "kind"),
    [
        (Result(None, "", ""), Unknown),
        (answer("", "12345 jobs are before yours\n", 0), Unknown),
        (answer("", "", 1), Unknown),
        (answer("", "timed out\n", 1), Unknown),
        (answer("", "[Errno 111] Connection refused\n", 1), Unknown),
        (
            answer(
                "",
                "component error: Following exception occurred while trying to execute queue-manager.add_jobs: x\n",
                1,
            ),
            Unknown,
        ),
        (answer("", "<Fault 1: \"<type 'exceptions.KeyError'>:x\">\n", 1), Unknown),
        (answer("{}\n", "*** FATAL EXCEPTION: 'PATH' ***\n", 1), Unknown),
        (answer("", "failed to create the job.  Maybe a queue isn't there?\n", 0), Refused),
        (answer("", "your project is over its budget\nFilter /f failed\n", 1), Refused),
    ],
)
def test_only_a_sure_answer_is_a_refusal(got: Result, kind: type) -> None:
    assert isinstance(cobalt.submitted(CLUSTER, got), kind)


# Queries

QUERIES = [one for one in recorded("cobalt") if one["argv"][0] in ("qstat", "cqstat") and "-Q" not in one["argv"]]


@pytest.mark.parametrize("one", QUERIES, ids=lambda one: one["name"])
def test_every_recorded_query(one: dict[str, Any]) -> None:
    got = result("cobalt", one["name"])
    head = one["out"].split("\n", 1)[0].lower()
    block = "    State" in one["out"]
    if (
        one["err"]
        or one["argv"][1:2] in (["--version"], ["--help"])
        or (one["out"] and not block and "state" not in head.split())
    ):
        with pytest.raises(SchedulerUnavailable):
            cobalt.queried(CLUSTER, got)
        return
    ids = re.findall(r"^(?:JobID: *)?(\d+)\b", one["out"], re.MULTILINE)
    assert list(cobalt.queried(CLUSTER, got)) == ids


def test_silence_means_gone_and_text_means_trouble() -> None:
    assert cobalt.queried(CLUSTER, answer("", "", 1)) == {}
    for got in (
        result("cobalt", "down_all-components-4"),
        result("cobalt", "down_queue-manager-only-2"),
        Result(None, "", ""),
        answer("", 'No handlers could be found for logger "Proxy"\n', 1),
        answer("", "", 0),
        answer("", "", 2),
        answer("", "", -9),
        answer("garbled\n", "", 0),
        answer("JobID: 7\n    User : alice\n", "", 0),
    ):
        with pytest.raises(SchedulerUnavailable):
            cobalt.queried(CLUSTER, got)


def test_a_block_of_the_long_form() -> None:
    (job,) = cobalt.queried(CLUSTER, result("cobalt", "qstat_forms-4")).values()
    assert (job.id, job.user, job.name, job.state) == ("117", "bob", "bobjob", JobState.RUNNING)
    assert (job.partition, job.account) == ("full-node", "visualization")
    assert job.nodes == ("thetagpu02", "thetagpu03")
    assert (job.started, job.submitted) == (1795190091.0, 1795190090.0)
    assert (job.ends, job.walltime) == (1795190091.0 + 5400, 5400)


def test_what_we_ask_for_is_what_we_read() -> None:
    command = cobalt.query(CLUSTER, ["116", "117"], ["alice"])
    assert command.argv[:3] == ("qstat", "-l", "--header")
    assert command.argv[3].startswith("JobID:User:State:")
    assert command.argv[3].endswith(":JobName")
    assert command.argv[4:] == ("116", "117")


def long_form(*jobs: dict[str, str]) -> Result:
    out = ""
    for job in jobs:
        fields = {"User": "alice", "State": "queued", "Location": "None", "JobName": TAG} | job
        out += (
            f"JobID: {fields.pop('JobID')}\n"
            + "".join(f"    {key:<8} : {value}\n" for key, value in fields.items())
            + "\n\n"
        )
    return answer(out)


def test_every_word_has_its_state() -> None:
    words = [
        "queued",
        "user_hold",
        "admin_hold",
        "dep_hold",
        "dep_fail",
        "maxrun_hold",
        "starting",
        "running",
        "killing",
        "exiting",
        "preempting",
        "preempted",
        "done",
    ]
    assert set(cobalt.STATES) == set(words)
    got = long_form(*({"JobID": str(place), "State": word} for place, word in enumerate([*words, "resting"], 1)))
    jobs = list(cobalt.queried(CLUSTER, got).values())
    assert [job.state for job in jobs] == [*(cobalt.STATES[word] for word in words), JobState.UNKNOWN]
    assert "never run" in next(job for job in jobs if job.word == "dep_fail").reason
    assert all(state.lives for word, state in cobalt.STATES.items() if word != "done")


def test_ids_may_be_padded() -> None:
    assert list(cobalt.queried(CLUSTER, answer("JobID:    116\n    State : running\n"))) == ["116"]


def test_a_name_can_not_end_another_job() -> None:
    forged = {"JobID": "5", "JobName": "x\nJobID: 6\n    State : done"}
    real = {"JobID": "6", "State": "running"}
    for jobs in ((forged, real), (real, forged)):
        assert cobalt.queried(CLUSTER, long_form(*jobs))["6"].state is JobState.RUNNING


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("None", ()),
        ("N/A", ()),
        ("thetagpu01", ("thetagpu01",)),
        ("thetagpu[02-03]", ("thetagpu02", "thetagpu03")),
        ("thetagpu01,thetagpu03", ("thetagpu01", "thetagpu03")),
        ("thetagpu[01-03],thetagpu07", ("thetagpu01", "thetagpu02", "thetagpu03", "thetagpu07")),
        ("thetagpu[02-03,07],x1", ("thetagpu02", "thetagpu03", "thetagpu07", "x1")),
        ("thetagpu04-gpu[0-1]", ("thetagpu04-gpu0", "thetagpu04-gpu1")),
        ("cn[9-11].x.gov", ("cn9.x.gov", "cn10.x.gov", "cn11.x.gov")),
    ],
)
def test_locations_in_all_their_forms(text: str, nodes: tuple[str, ...]) -> None:
    assert _cobalt_text.nodes(text) == nodes


@pytest.mark.parametrize("text", ["n[1-x]", "n[]", "n[0-99999999]"])
def test_locations_that_are_none(text: str) -> None:
    with pytest.raises(SchedulerUnavailable):
        _cobalt_text.nodes(text)


def test_a_part_of_a_node_is_known_by_the_node_too() -> None:
    job = cobalt.queried(CLUSTER, long_form({"JobID": "1", "State": "running", "Location": "thetagpu04-gpu0"}))["1"]
    assert job.nodes == ("thetagpu04-gpu0", "thetagpu04")
    plain = dataclasses.replace(CLUSTER, switches={"device": "(?!)"})
    job = cobalt.queried(plain, long_form({"JobID": "1", "State": "running", "Location": "a-gpu0"}))["1"]
    assert job.nodes == ("a-gpu0",)


# Ids and cancels


@pytest.mark.parametrize("id", ["", "0", "*", "abc", "-u", "1 2", "12[3]", "٣"])
def test_what_is_no_id(id: str) -> None:
    for ask in (cobalt.cancel, lambda c, ids: cobalt.query(c, ids, [])):
        with pytest.raises(ValueError, match="ids:"):
            ask(CLUSTER, ["12", id])
        with pytest.raises(ValueError, match="ids:"):
            ask(CLUSTER, [])


@pytest.mark.parametrize(
    ("name", "ids", "done"),
    [
        ("qdel_multiple-1", ["114", "113"], {"114": True, "113": True}),
        ("qdel_multiple-1", ["114", "115"], {"114": True, "115": None}),
        ("qdel_errors-2", ["99999"], {"99999": None}),
        ("qdel_errors-4", ["117"], {"117": None}),
        ("qdel_stubborn-3", ["115"], {"115": True}),
        ("down_all-components-3", ["1"], {"1": None}),
    ],
)
def test_what_became_of_a_cancel(name: str, ids: list[str], done: dict[str, bool | None]) -> None:
    assert cobalt.cancelled(CLUSTER, ids, result("cobalt", name)) == done


def test_numbers_elsewhere_in_the_answer_delete_nothing() -> None:
    assert cobalt.cancelled(CLUSTER, ["7"], answer("7  alice\n")) == {"7": None}
    assert cobalt.cancelled(CLUSTER, ["7"], Result(None, "", "")) == {"7": None}


# Looking for a job


def test_a_job_is_found_by_name_and_owner() -> None:
    got = long_form(
        {"JobID": "1"},
        {"JobID": "2", "JobName": "alcf_" + TAG},
        {"JobID": "3", "User": "bob"},
        {"JobID": "4", "JobName": TAG + "x"},
        {"JobID": "5", "JobName": "N/A"},
    )
    assert [job.id for job in cobalt.found(CLUSTER, TAG, "alice", got)] == ["1", "2"]
    assert cobalt.found(CLUSTER, TAG, "alice", answer("", "", 0)) == []
    assert cobalt.found(CLUSTER, TAG, "alice", answer("", "", 1)) == []
    with pytest.raises(SchedulerUnavailable):
        cobalt.found(CLUSTER, TAG, "alice", result("cobalt", "down_all-components-1"))
    with pytest.raises(ValueError, match="user:"):
        cobalt.find(CLUSTER, TAG, "-u")


def test_detail_never_raises() -> None:
    for got in (answer("%%"), Result(None, "", ""), answer("", "", 1), answer("JobID: 7\n")):
        assert cobalt.detailed(CLUSTER, "7", [got]) is None
    assert cobalt.detailed(CLUSTER, "117", [result("cobalt", "qstat_forms-4")]) is not None


# Queues and nodes


def test_the_recorded_inventory() -> None:
    cluster = dataclasses.replace(CLUSTER, switches={"node_cores": 128, "node_memory": 1000000})
    answers = {"queues": result("cobalt", "queue_limits-6"), "nodes": result("cobalt", "nodelist-1")}
    found = cobalt.inventoried(cluster, answers)
    queues = {queue.name: queue for queue in found.partitions}
    assert list(queues) == ["default", "full-node", "single-gpu"]
    full = queues["full-node"]
    assert (full.min_walltime, full.max_walltime, full.nodes, full.free_nodes) == (300, 43200, 3, 0)
    assert (full.cores, full.memory, full.whole_nodes, full.up) == (128, 1000000, True, True)
    assert not queues["single-gpu"].up
    assert queues["default"].groups == ("bob",)
    assert found.problems == ()


def test_free_nodes() -> None:
    nodes = (
        "Host  Queue    State  Backfill\n============================\n"
        "n1    a:b      idle   -       \nn2    b        down   -       \n"
    )
    queues = (
        "Name  MaxTime   State    \n=========================\na     24:00:00  running  \nb     None      running  \n"
    )
    found = cobalt.inventoried(CLUSTER, {"queues": answer(queues), "nodes": answer(nodes)})
    assert [(queue.nodes, queue.free_nodes) for queue in found.partitions] == [(1, 1), (2, 1)]
    without = cobalt.inventoried(CLUSTER, {"queues": answer(queues), "nodes": answer("", "no such command\n", 127)})
    assert without.partitions[0].free_nodes is None
    assert without.problems == ("nodes: no such command",)


def test_an_outage_is_no_empty_inventory() -> None:
    for got in (result("cobalt", "down_all-components-1"), Result(None, "", "")):
        with pytest.raises(SchedulerUnavailable):
            cobalt.inventoried(CLUSTER, {"queues": got, "nodes": answer()})


# Through the fake


def test_the_whole_life_of_a_job(tmp_path: Path) -> None:
    fake = Fake("cobalt", tmp_path / "state", COBALT)
    fake.state.set("qdel", "0")
    cluster = cobalt.probed(CLUSTER, fake.run(cobalt.probe(CLUSTER)))
    log = tmp_path / "log"
    job = Job(
        TAG,
        "root",
        ("/bin/bash", "-c", 'echo "$COBALT_JOBID $1"; exec sleep 60', "-", "it's"),
        Resources(nodes=2, walltime=600),
        partition="full-node",
        account="x",
        output=str(log),
    )
    path = tmp_path / "script"
    path.write_text(cobalt.script(cluster, job))
    path.chmod(0o700)
    accepted = cobalt.submitted(cluster, fake.run(cobalt.submit(cluster, job, "", str(path))))
    assert accepted == Accepted("101")

    def seen() -> dict[str, JobStatus]:
        return cobalt.queried(cluster, fake.run(cobalt.query(cluster, ["101", "99999"], ["root"])))

    wait_for(lambda: seen()["101"].state is JobState.RUNNING)
    wait_for(lambda: log.exists() and log.read_text() == "101 it's\n")
    assert (seen()["101"].name, seen()["101"].nodes) == (TAG, ("thetagpu01", "thetagpu02"))
    user = seen()["101"].user
    assert [one.id for one in cobalt.found(cluster, TAG, user, fake.run(cobalt.find(cluster, TAG, user)))] == ["101"]
    done = cobalt.cancelled(cluster, ["101", "7"], fake.run(cobalt.cancel(cluster, ["101", "7"])))
    assert done == {"101": True, "7": None}
    wait_for(lambda: seen() == {})
    found = cobalt.inventoried(cluster, {key: fake.run(one) for key, one in cobalt.inventory(cluster).items()})
    assert found.problems == ()


def test_an_outage_seen_through_the_fake(tmp_path: Path) -> None:
    fake = Fake("cobalt", tmp_path, COBALT)
    for down in ("all", "slp", "cqm"):
        fake.state.set("down", down)
        with pytest.raises(SchedulerUnavailable):
            cobalt.queried(CLUSTER, fake.run(cobalt.query(CLUSTER, ["1"], [])))
        assert cobalt.cancelled(CLUSTER, ["1"], fake.run(cobalt.cancel(CLUSTER, ["1"]))) == {"1": None}
    fake.state.set("down", None)
    fake.state.answer("qstat", code=0, out="<html>502</html>")
    with pytest.raises(SchedulerUnavailable):
        cobalt.queried(CLUSTER, fake.run(cobalt.query(CLUSTER, ["1"], [])))
