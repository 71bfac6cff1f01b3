"""The Slurm dialect reads what a real Slurm (22.05) said: plain, strict, and while its controller was away."""

from __future__ import annotations

from typing import Any

import pytest

from hpcspawner.job import (
    Accepted,
    JobState,
    Outcome,
    PartitionInfo,
    Refused,
    Result,
    SchedulerUnavailable,
    Unknown,
)
from hpcspawner.schedulers import _slurm_query, load, slurm
from hpcspawner.schedulers._slurm_text import duration, nodes
from hpcspawner.schedulers._slurm_words import ending, waiting

from .slurmkit import CLUSTER, MARK, asked, names, recorded

OUTAGES = [name for name in names("outage") if not name.endswith(("detail-1", "submit", "cancel"))]
TAG = "jupyter-abcdef-aaaaaaaaaa"


def detail(file: str, name: str, id: str) -> Any:
    return slurm.detailed(CLUSTER, id, [recorded(file, f"{name}-{tool}") for tool in ("scontrol", "sacct")])


# Commands


def test_the_dialect_is_loaded_by_name() -> None:
    assert load("slurm").TITLE == "Slurm"


@pytest.mark.parametrize("file", ["plain", "states", "strict"])
def test_the_recordings_answer_the_commands_that_are_asked_today(file: str) -> None:
    for name in names(file):
        record = asked(file, name)
        if record["argv"][0] == "squeue":
            ids = record["argv"][record["argv"].index("-j") + 1].split(",") if "-j" in record["argv"] else []
            users = [record["argv"][record["argv"].index("-u") + 1]] if "-u" in record["argv"] else []
            command = slurm.query(CLUSTER, ids, users)
            assert list(command.argv) == record["argv"]
            expected = {key: value.replace(MARK, _slurm_query.SECRET) for key, value in record["environment"].items()}
            assert command.environment == expected


def test_one_command_asks_for_all_jobs_hidden_and_ended_ones_included() -> None:
    command = slurm.query(CLUSTER, ["1", "2_3", "4+0"], ["alice", "bob"])
    assert command.argv == ("squeue", "-a", "-h", "-r", "-t", "all", "-j", "1,2_3,4+0")


def test_jobs_of_one_user_are_asked_for_narrowly() -> None:
    assert slurm.query(CLUSTER, ["1", "2"], ["alice", "alice"]).argv[-2:] == ("-u", "alice")


def test_more_jobs_than_a_command_line_holds_are_asked_for_without_ids() -> None:
    command = slurm.query(CLUSTER, [str(id) for id in range(10**9, 10**9 + 20000)], ["alice", "bob"])
    assert max(map(len, command.argv)) < 100


@pytest.mark.parametrize("user", ["", "-u", "a,b", "a b", "a\n"])
def test_only_a_name_is_asked_for_as_user(user: str) -> None:
    with pytest.raises(ValueError, match="user"):
        slurm.find(CLUSTER, TAG, user)


@pytest.mark.parametrize("ids", [[], [""], ["0"], ["-1"], ["1 2"], ["1,2"], ["1_"], ["*"], ["1;x"], ["1\n"]])
def test_only_ids_are_cancelled_or_asked_for(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="ids"):
        slurm.cancel(CLUSTER, ids)
    if ids:
        with pytest.raises(ValueError, match="ids"):
            slurm.query(CLUSTER, ids, [])


@pytest.mark.parametrize("id", ["1", "123_4", "123_[1-9%2]", "123_[1,3,5-7]", "123+0"])
def test_ids_of_arrays_and_heterogeneous_jobs_are_ids(id: str) -> None:
    assert slurm.cancel(CLUSTER, [id]).argv == ("scancel", id)


# Submit


@pytest.mark.parametrize(
    ("file", "name", "text"),
    [
        ("plain", "submit-too-much-memory", "Memory specification can not be satisfied"),
        ("plain", "submit-no-such-partition", "invalid partition specified: nosuch"),
        ("plain", "submit-no-such-gpu", "Requested node configuration is not available"),
        ("plain", "submit-no-such-reservation", "Requested reservation is invalid"),
        ("plain", "submit-no-such-option", "unrecognized option '--nosuch'"),
        ("plain", "submit-no-directive", "Invalid directive found in batch script: nosuch"),
        ("plain", "submit-array-too-large", "Invalid job array specification"),
    ],
)
def test_a_refusal_is_told_in_the_schedulers_words(file: str, name: str, text: str) -> None:
    answer = slurm.submitted(CLUSTER, recorded(file, name))
    assert isinstance(answer, Refused)
    assert text in answer.text
    assert "sbatch:" not in answer.text


def test_a_filters_own_sentence_is_the_refusal() -> None:
    refused = Refused("sandbox: say how long the job runs (--time)")
    assert slurm.submitted(CLUSTER, recorded("strict", "submit-rejected")) == refused


@pytest.mark.parametrize("name", ["submit-gpu", "submit-array", "submit-het"])
def test_an_accepted_job_has_an_id_and_no_notice(name: str) -> None:
    answer = slurm.submitted(CLUSTER, recorded("plain", name))
    assert isinstance(answer, Accepted)
    assert answer.id.isdigit()
    assert answer.notice == ""


def test_what_a_filter_says_about_an_accepted_job_is_a_notice() -> None:
    answer = slurm.submitted(CLUSTER, recorded("strict", "submit-rerouted"))
    assert isinstance(answer, Accepted)
    assert answer.notice == "sandbox: the job was moved to partition short; sandbox: the job was renamed to site-t"


@pytest.mark.parametrize(
    ("out", "id"),
    [("17\n", "17"), ("17;sandbox\n", "17"), ("Welcome to the 4 nodes\n17\n", "17"), ("12\n17\n", "17")],
)
def test_the_id_is_found_with_cluster_name_and_chatter(out: str, id: str) -> None:
    assert slurm.submitted(CLUSTER, Result(0, out, "")) == Accepted(id)


def test_a_submit_that_a_hung_controller_did_not_answer_is_unknown() -> None:
    """The recorded one did run when the controller went on."""
    assert isinstance(slurm.submitted(CLUSTER, recorded("outage", "hung-submit")), Unknown)


def test_a_submit_that_found_no_controller_is_refused() -> None:
    answer = slurm.submitted(CLUSTER, recorded("outage", "stopped-submit"))
    assert isinstance(answer, Refused)
    assert "can't be reached" in answer.text


@pytest.mark.parametrize(
    "result",
    [
        Result(None, "", ""),
        Result(None, "", "sbatch: no answer within 60 s"),
        Result(0, "", ""),
        Result(0, "Submitted batch job\n", ""),
        Result(-9, "", ""),
        Result(1, "", ""),
        Result(1, "", "Segmentation fault"),
        Result(1, "", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received"),
        Result(1, "", "sbatch: error: Batch job submission failed: Transport endpoint is not connected"),
        Result(1, "", "sbatch: error: Batch job submission failed: Unexpected message received"),
        Result(1, "", "sbatch: error: Batch job submission failed: Protocol authentication error"),
        Result(1, "", "sbatch: error: Batch job submission failed: Connection reset by peer"),
    ],
)
def test_an_answer_that_says_neither_yes_nor_no_is_unknown(result: Result) -> None:
    assert isinstance(slurm.submitted(CLUSTER, result), Unknown)


def test_a_missing_command_is_no_job() -> None:
    assert isinstance(slurm.submitted(CLUSTER, Result(127, "", "env: sbatch: not found")), Refused)
    assert isinstance(slurm.submitted(CLUSTER, Result(None, "", "sbatch: there is no such command on /bin")), Refused)


def test_a_submit_host_without_slurm_conf_is_no_job() -> None:
    said = (
        "sbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source"
    )
    assert isinstance(slurm.submitted(CLUSTER, Result(1, "", said)), Refused)


# Status


def test_many_jobs_in_every_state() -> None:
    seen = slurm.queried(CLUSTER, recorded("plain", "query-many"))
    states = {job.name: (job.state, job.word) for job in seen.values()}
    assert states["fill0"] == (JobState.RUNNING, "RUNNING")
    assert states["waits"] == (JobState.PENDING, "PENDING")
    assert states["held"] == (JobState.HELD, "PENDING")
    assert states["fails"] == (JobState.ENDED, "FAILED")
    assert states["ok"] == (JobState.ENDED, "COMPLETED")
    assert {"21_0", "21_1", "21_2", "21_3", "27+0", "27+1"} <= set(seen)


def test_a_running_job_tells_node_times_and_walltime() -> None:
    (job,) = slurm.queried(CLUSTER, recorded("plain", "query-one")).values()
    assert (job.id, job.user, job.partition, job.nodes) == ("3", "alice", "main", ("n1",))
    assert job.started is not None
    assert job.ends == job.started + 600
    assert job.walltime == 600
    assert job.estimated_start is None


def test_a_waiting_job_tells_why_and_when_it_may_start() -> None:
    job = slurm.queried(CLUSTER, recorded("plain", "query-many"))["7"]
    assert job.reason == "waiting for free nodes (Resources)"
    assert job.estimated_start is not None
    assert (job.started, job.ends, job.nodes) == (None, None, ())


@pytest.mark.parametrize(
    ("name", "id", "reason"),
    [
        ("query-time-over-limit", "12", "it asks for more time than the partition allows (PartitionTimeLimit)"),
        ("query-too-many-nodes", "13", "it asks for more nodes than the partition allows (PartitionNodeLimit)"),
        ("query-user", "15", "no node of the partition can fulfil what it asks for (PartitionConfig)"),
        ("query-user", "9", "held by its owner (JobHeldUser)"),
    ],
)
def test_a_job_that_can_never_start_by_itself_is_held(name: str, id: str, reason: str) -> None:
    job = slurm.queried(CLUSTER, recorded("plain", name))[id]
    assert (job.state, job.reason) == (JobState.HELD, reason)


def test_states_between_running_and_waiting() -> None:
    seen = {job.name: job for job in slurm.queried(CLUSTER, recorded("states", "query-states")).values()}
    assert seen["suspended"].state is JobState.SUSPENDED
    assert seen["completing"].state is JobState.ENDING
    assert seen["requeued"].state is JobState.PENDING
    assert seen["nodefail-requeue"].state is JobState.PENDING
    assert seen["requeuehold"].state is JobState.HELD
    assert "without an admin" in seen["requeuehold"].reason
    assert seen["nodefail"].outcome is Outcome.NODE_FAILURE
    assert seen["twonodes"].nodes == ("n1", "n2")


def test_a_name_full_of_marks_and_line_feeds_stays_one_name() -> None:
    job = slurm.queried(CLUSTER, recorded("plain", "query-many"))["22"]
    assert job.name == "x|RUNNING\n<0123456789abcdef01>\n1|bob|COMPLETED|a"
    assert (job.user, job.account) == ("alice", "ac|ct\nx")


def test_nobody_else_can_read_the_mark_that_ends_a_record() -> None:
    command = slurm.query(CLUSTER, ["1"], [])
    assert _slurm_query.SECRET in command.environment["SQUEUE_FORMAT"]
    assert not any(_slurm_query.SECRET in word for word in command.argv)


def test_a_job_that_a_signal_killed_is_not_called_unlaunchable() -> None:
    """Slurm gives the reason JobLaunchFailure to both."""
    seen = slurm.queried(CLUSTER, recorded("plain", "query-many"))
    assert (seen["25"].outcome, seen["26"].outcome) == (None, None)
    nolog, killed = detail("plain", "detail-nolog", "25"), detail("plain", "detail-signal", "26")
    assert nolog.outcome is Outcome.LAUNCH_FAILURE
    assert "log file" in nolog.reason
    assert (killed.outcome, killed.signal, killed.reason) == (Outcome.FAILED, 9, "ended by signal 9")


@pytest.mark.parametrize("name", ["query-one-unknown", "query-two-unknown"])
def test_an_unknown_id_is_no_job_seen_and_no_outage(name: str) -> None:
    assert slurm.queried(CLUSTER, recorded("plain", name)) == {}


def test_an_unknown_id_hides_no_known_one() -> None:
    assert list(slurm.queried(CLUSTER, recorded("plain", "query-known-and-unknown"))) == ["3"]


def test_a_user_whom_the_name_service_does_not_know_is_an_outage_not_an_empty_queue() -> None:
    with pytest.raises(SchedulerUnavailable, match="Invalid user"):
        slurm.queried(CLUSTER, recorded("plain", "query-no-such-user"))


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_is_told_as_such(name: str) -> None:
    result = recorded("outage", name)
    with pytest.raises(SchedulerUnavailable, match=r"Unable to contact|timed out"):
        slurm.inventoried(CLUSTER, {"nodes": result})
    with pytest.raises(SchedulerUnavailable, match=r"Unable to contact|timed out"):
        slurm.queried(CLUSTER, result)
    assert slurm.detailed(CLUSTER, "3", [result, result]) is None


def _record(*fields: str) -> str:
    begin, sep, end = _slurm_query.marks(_slurm_query.SECRET)
    return begin + "|".join(fields[:10]) + sep + sep.join(fields[10:]) + end + "\n"


RUNNING = ("1", "alice", "RUNNING", "main", "100", "110", "200", "1:30", "n1", "n1", "(null)", "None", "tag")


@pytest.mark.parametrize(
    "result",
    [
        Result(None, "", ""),
        Result(1, "", ""),
        Result(-11, "", ""),
        Result(0, "garbage", ""),
        Result(0, "             JOBID PARTITION\n", ""),
        Result(0, _record(*RUNNING)[:-8], ""),
        Result(0, _record(*RUNNING) + "tail", ""),
        Result(0, "head" + _record(*RUNNING), ""),
        Result(0, _record(*RUNNING[1:]), ""),
        Result(0, _record(*RUNNING, "more"), ""),
        Result(0, _record(*RUNNING[:9], "n[1-", *RUNNING[10:]), ""),
    ],
)
def test_a_garbled_or_missing_answer_says_nothing_about_jobs(result: Result) -> None:
    with pytest.raises(SchedulerUnavailable):
        slurm.queried(CLUSTER, result)


def test_a_word_that_slurm_invents_tomorrow_is_unknown_not_ended() -> None:
    answer = Result(0, _record("1", "alice", "FROBNICATING", *RUNNING[3:]), "")
    assert slurm.queried(CLUSTER, answer)["1"].state is JobState.UNKNOWN


NOT_DEAD = """
    SUSPENDED REQUEUED REQUEUE_HOLD REQUEUE_FED RESIZING STOPPED SIGNALING STAGE_OUT SPECIAL_EXIT COMPLETING CONFIGURING
    REVOKED RESV_DEL_HOLD POWER_UP_NODE UPDATE_DB LAUNCH_FAILED RECONFIG_FAIL
"""


@pytest.mark.parametrize("word", NOT_DEAD.split())
def test_a_state_word_beyond_the_common_ones_does_not_read_as_dead(word: str) -> None:
    assert slurm.STATES[word].lives


def test_the_node_that_runs_the_script_comes_first() -> None:
    answer = Result(0, _record(*RUNNING[:8], "n3", "n[1-3]", *RUNNING[10:]), "")
    assert slurm.queried(CLUSTER, answer)["1"].nodes == ("n3", "n1", "n2")


# Strict sites


def test_a_stranger_sees_nothing_which_is_an_empty_answer() -> None:
    for name in ("query-as-stranger", "query-one-as-stranger"):
        assert slurm.queried(CLUSTER, recorded("strict", name)) == {}
    assert detail("strict", "detail-as-stranger", "40") is None


def test_the_owner_sees_hidden_partitions_and_what_filters_changed() -> None:
    seen = slurm.queried(CLUSTER, recorded("strict", "query-as-owner"))
    assert seen == slurm.queried(CLUSTER, recorded("strict", "query-as-root"))
    assert {job.partition for job in seen.values()} == {"main", "short", "secret", "members", "broken"}


def test_a_renamed_job_is_found_by_its_owner_only() -> None:
    (job,) = slurm.found(CLUSTER, TAG, "alice", recorded("strict", "find-as-owner"))
    assert (job.id, job.name) == ("40", "site-" + TAG)
    assert slurm.found(CLUSTER, TAG, "bob", recorded("strict", "find-as-owner")) == []
    assert slurm.found(CLUSTER, TAG, "alice", recorded("strict", "find-as-stranger")) == []


def test_a_failed_prolog_does_not_read_as_cancelled() -> None:
    """Slurm cancels a job that may not be requeued, and gives no reason."""
    assert slurm.queried(CLUSTER, recorded("strict", "query-as-root"))["44"].outcome is None
    job = detail("strict", "detail-broken", "44")
    assert job.outcome is Outcome.LAUNCH_FAILURE
    assert "could not be prepared" in job.reason


def test_a_forgotten_job_is_not_seen() -> None:
    assert slurm.queried(CLUSTER, recorded("strict", "query-forgotten")) == {}
    assert detail("strict", "detail-forgotten", "46") is None


# How one job ended


@pytest.mark.parametrize(
    ("file", "name", "id", "outcome", "code", "signal", "reason"),
    [
        ("plain", "failed", "23", Outcome.FAILED, 7, None, "the command ended with exit code 7"),
        ("plain", "completed", "24", Outcome.COMPLETED, 0, None, ""),
        ("plain", "cancelled", "3", Outcome.CANCELLED, 0, 15, "cancelled"),
        ("states", "walltime", "30", Outcome.TIMEOUT, 0, 15, "the walltime was reached"),
        ("states", "nodefail", "34", Outcome.NODE_FAILURE, 0, 15, "a node of the job failed"),
    ],
)
def test_how_a_job_ended(file: str, name: str, id: str, outcome: Any, code: Any, signal: Any, reason: str) -> None:
    job = detail(file, f"detail-{name}", id)
    assert job.state is JobState.ENDED
    assert (job.outcome, job.exit_code, job.signal, job.reason) == (outcome, code, signal, reason)
    assert job.user == "alice"


def test_detail_of_a_job_that_lives() -> None:
    running, waiting, held = (
        detail("plain", f"detail-{name}", id) for name, id in (("running", "3"), ("waiting", "7"), ("held", "9"))
    )
    assert (running.state, running.nodes, running.walltime, running.outcome) == (JobState.RUNNING, ("n1",), 600, None)
    assert waiting.state is JobState.PENDING
    assert waiting.estimated_start is not None
    assert held.state is JobState.HELD
    assert detail("states", "detail-requeuehold", "33").state is JobState.HELD


def test_detail_of_elements_and_of_evil_names() -> None:
    assert detail("plain", "detail-element", "21_2").id == "21_2"
    assert detail("plain", "detail-evil", "22").user == "alice"
    assert detail("plain", "detail-unknown", "999999") is None


@pytest.mark.parametrize(
    ("row", "outcome", "reason"),
    [
        (
            "7|alice|CANCELLED by 1002|0:15|main|1|2|3|n1|1001|None",
            Outcome.CANCELLED,
            "cancelled by the user with number 1002",
        ),
        ("7|alice|CANCELLED by 1001|0:15|main|1|2|3|n1|1001|None", Outcome.CANCELLED, "cancelled by its owner"),
        ("7|alice|CANCELLED by 0|0:15|main|1|2|3|n1|1001|None", Outcome.CANCELLED, "cancelled by an administrator"),
        (
            "7|alice|OUT_OF_MEMORY|0:125|main|1|2|3|n1|1001|OutOfMemory",
            Outcome.OUT_OF_MEMORY,
            "it used more memory than",
        ),
        ("7|alice|OUT_OF_ME+|0:125|main|1|2|3|n1|1001|OutOfMemory", None, ""),
        ("7|alice|PREEMPTED|0:0|main|1|2|3|n[1-2]|1001|None", Outcome.PREEMPTED, "higher priority"),
        ("7|alice|DEADLINE|0:0|main|1|Unknown|3|None assigned|1001|DeadLine", Outcome.TIMEOUT, "deadline"),
        ("7|alice|BOOT_FAIL|0:0|main|1|2|3|n1|1001|None", Outcome.NODE_FAILURE, "did not boot"),
        ("7|alice|FAILED|2:0|main|1|2|3|n1|1001|a|b", Outcome.FAILED, "exit code 2"),
    ],
)
def test_the_accounting_tells_when_the_controller_has_forgotten(row: str, outcome: Any, reason: str) -> None:
    forgotten = recorded("strict", "detail-forgotten-scontrol")
    job = slurm.detailed(CLUSTER, "7", [forgotten, Result(0, f"8|bob|COMPLETED|0:0|main|1|2|3|n1|1002|\n{row}\n", "")])
    assert job is not None
    assert job.outcome is outcome
    assert reason in job.reason


@pytest.mark.parametrize(
    "out", ["", "JobId=7 ", "JobId=7 JobName=x UserId=a(1) GroupId=b(1) JobState= ExitCode=x:y", "7||||"]
)
def test_detail_never_raises_for_what_it_does_not_know(out: str) -> None:
    assert slurm.detailed(CLUSTER, "7", [Result(0, out, ""), Result(0, out, "")]) is None


# Cancel


@pytest.mark.parametrize(
    ("file", "name", "answer"),
    [
        ("plain", "cancel-unknown", {"999999": True}),
        ("plain", "cancel-finished", {"23": True}),
        ("plain", "cancel-finished-running-unknown", {"23": True, "3": True, "999999": True}),
        ("plain", "cancel-of-another", {"29": False}),
        ("plain", "cancel-own-and-of-another", {"29": False, "4": True}),
        ("plain", "cancel-elements", {"21_1": True, "21_3": True}),
        ("plain", "cancel-array-again", {"21": True}),
        ("strict", "cancel-of-hidden-owner", {"40": False}),
        ("outage", "stopped-cancel", {"38": None, "3": None}),
        ("outage", "hung-cancel", {"38": None, "3": None}),
    ],
)
def test_what_became_of_a_cancel(file: str, name: str, answer: dict[str, bool | None]) -> None:
    assert slurm.cancelled(CLUSTER, list(answer), recorded(file, name)) == answer


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (Result(None, "", ""), None),
        (Result(1, "", ""), None),
        (Result(1, "", "scancel: error: something new on job id 7: Bad luck"), None),
        (Result(0, "", "scancel: error: Kill job error on job id 77: Access/permission denied"), None),
        (Result(1, "", "scancel: error: Kill job error on job id 7: Job/step already completing or completed"), True),
        (Result(1, "", "scancel: error: Kill job error on job id 7_1: Access/permission denied"), None),
    ],
)
def test_a_cancel_that_was_not_confirmed_is_looked_at_again(result: Result, answer: bool | None) -> None:
    assert slurm.cancelled(CLUSTER, ["7"], result) == {"7": answer}


# Inventory


def inventory(file: str) -> Any:
    keys = slurm.inventory(CLUSTER)
    return slurm.inventoried(CLUSTER, {key: recorded(file, f"inventory-{key}") for key in keys})


def test_inventory_of_the_plain_cluster() -> None:
    found = inventory("plain")
    main, short, gpu = found.partitions
    assert main == PartitionInfo(
        name="main",
        default=True,
        nodes=4,
        free_nodes=4,
        cores=16,
        free_cores=64,
        memory=64000,
        max_walltime=86400,
        default_walltime=3600,
    )
    assert (short.name, short.max_walltime, short.default) == ("short", 1800, False)
    assert (gpu.name, dict(gpu.gpus)) == ("gpu", {"a100": 4})
    assert found.max_array == 5001
    assert found.problems == ()


def test_inventory_shows_hidden_partitions_and_groups() -> None:
    found = {partition.name: partition for partition in inventory("strict").partitions}
    assert set(found) == {"main", "short", "gpu", "secret", "members", "broken"}
    assert found["members"].groups == ("hpcusers",)


SINFO = """\
big*|up|infinite|n/a|2|idle|0/128/0/128|64|500000|1-infinite|NO|all|gpu:a100:4(S:0-1),gpu:1g.5gb:7,lustre:1
big*|up|infinite|n/a|1|mixed|60/4/0/64|64|250000|1-infinite|NO|all|gpu:2
big*|up|infinite|n/a|1|drained*|0/0/64/64|64|250000|1-infinite|NO|all|(null)
big*|up|infinite|n/a|1|maint|0/64/0/64|64|250000|1-infinite|NO|all|(null)
big*|up|infinite|n/a|1|idle~|0/64/0/64|64|250000|1-infinite|NO|all|(null)
whole|down|1-12:00:00|30:00|1|idle|0/8/0/8|8|1000+|1-16|EXCLUSIVE|a,b|gpu
empty|up|1:00|1:00|0|n/a|0/0/0/0|0|0|1-infinite|NO|all|(null)
"""


def test_inventory_of_a_cluster_with_all_kinds_of_nodes() -> None:
    found = slurm.inventoried(CLUSTER, {"nodes": Result(0, SINFO, ""), "config": Result(1, "", "no")})
    big, whole, empty = found.partitions
    assert (big.nodes, big.free_nodes, big.free_cores) == (6, 3, 128 + 4 + 64)
    assert (big.cores, big.memory, big.max_walltime, big.default_walltime) == (64, 500000, None, None)
    assert dict(big.gpus) == {"a100": 4, "1g.5gb": 7, "": 2}
    assert (whole.up, whole.whole_nodes, whole.max_nodes, whole.groups) == (False, True, 16, ("a", "b"))
    assert (whole.max_walltime, whole.default_walltime, dict(whole.gpus)) == (129600, 1800, {"": 1})
    assert (empty.nodes, empty.cores, empty.memory) == (0, None, None)
    assert found.max_array is None
    assert len(found.problems) == 2


def test_the_version_is_read_and_no_version_is_no_slurm() -> None:
    assert slurm.probed(CLUSTER, recorded("plain", "version")).version == "22.05.8"
    assert slurm.probed(CLUSTER, Result(0, "slurm 23.11.10\n", "")).version == "23.11.10"
    with pytest.raises(SchedulerUnavailable):
        slurm.probed(CLUSTER, Result(127, "", "no such command"))


# Words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30:00", 1800),
        ("1-02:03:04", 93784),
        ("2:00", 120),
        ("0:00", 0),
        ("10:00:00", 36000),
        ("90", 5400),
        ("1-0", 86400),
        ("2-03:30", 185400),
        ("UNLIMITED", None),
        ("infinite", None),
        ("INVALID", None),
        ("N/A", None),
        ("n/a", None),
        ("NOT_SET", None),
        ("Partition_Limit", None),
        ("", None),
        ("-1", None),
    ],
)
def test_the_grammar_of_times(text: str, seconds: int | None) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("", []),
        ("(null)", []),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11,20],g1", ["n08", "n09", "n10", "n11", "n20", "g1"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
        ("a-b.c,n[1-2]-ib0", ["a-b.c", "n1-ib0", "n2-ib0"]),
    ],
)
def test_node_lists(text: str, names: list[str]) -> None:
    assert list(nodes(text)) == names


@pytest.mark.parametrize("text", ["n[1-", "n[a-b]", "n[1-99999999]", "n[]", "a[1-9999]b[1-9999]"])
def test_a_node_list_that_makes_no_sense_is_garbled(text: str) -> None:
    with pytest.raises(SchedulerUnavailable):
        nodes(text)


@pytest.mark.parametrize(
    ("reason", "stuck"),
    [
        ("Priority", False),
        ("Resources", False),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", False),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", False),
        ("QOSMaxJobsPerUserLimit", False),
        ("QOSMaxCpuPerUserLimit", False),
        ("AssocGrpCPUMinutesLimit", False),
        ("AssocMaxJobsLimit", False),
        ("QOSGrpMemLimit", False),
        ("QOSMaxCpuPerJobLimit", True),
        ("QOSMaxWallDurationPerJobLimit", True),
        ("AssocMaxWallDurationPerJobLimit", True),
        ("QOSMinCpuNotSatisfied", True),
        ("QOSMinMemory", True),
        ("launch failed requeued held", True),
        ("launch_failed_requeued_held", True),
        ("job requeued in held state", True),
        ("DependencyNeverSatisfied", True),
        ("JobHeldAdmin", True),
        ("SomethingNew", False),
    ],
)
def test_reasons_have_words_and_tell_whether_somebody_must_act(reason: str, stuck: bool) -> None:
    text, held = waiting(reason)
    assert held is stuck
    assert reason in text.replace("_", " ") or reason in text


@pytest.mark.parametrize("reason", ["None", "", "(null)"])
def test_no_reason_is_no_words(reason: str) -> None:
    assert waiting(reason) == ("", False)


@pytest.mark.parametrize("word", [word for word, state in slurm.STATES.items() if state is JobState.ENDED])
def test_each_end_has_an_outcome(word: str) -> None:
    assert ending(word, "None", 0, 0, False)[0] not in (None, Outcome.UNKNOWN)
