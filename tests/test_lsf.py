"""What LSF's answers mean: recorded ones, IBM's shapes, and those that must not be believed."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest

from hpcspawner import schedulers
from hpcspawner.job import (
    Accepted,
    Cluster,
    Job,
    JobState,
    JobStatus,
    Outcome,
    Refused,
    Resources,
    Result,
    SchedulerUnavailable,
    Unknown,
)
from hpcspawner.schedulers import _lsf_long, _lsf_text, lsf

from .schedkit import LSF, Fake, answer, line, recorded, result, wait_for

PLAIN = Cluster("main", "lsf", family="plain")
IBM = Cluster("ibm", "lsf", family="ibm", version="10.1.0.8")
TAG = "hpc-abcdef-abcdefghij"


def test_the_module_is_found_by_its_name() -> None:
    assert schedulers.load("lsf").TITLE == "LSF"


# Version and family


@pytest.mark.parametrize(
    ("said", "version", "family"),
    [
        ("OpenLava 4.0dev4, Nov 20 2026", "4.0dev4", "plain"),
        ("IBM Spectrum LSF Standard 10.1.0.8, May 10 2019\nCopyright ...\n\nMy cluster name is x", "10.1.0.8", "ibm"),
        ("IBM Spectrum LSF 10.1.0.0 build 406960, Jul 08 2016", "10.1.0.0", "ibm"),
        ("IBM Platform LSF Standard 9.1.3.0, Jul 04 2014", "9.1.3.0", "ibm"),
        ("Platform LSF 8.0.1.0, Jun 13 2011", "8.0.1.0", "plain"),
        ("Platform LSF HPC 7.0.6.134609", "7.0.6.134609", "plain"),
    ],
)
def test_version_and_family(said: str, version: str, family: str) -> None:
    for got in (answer(said + "\n"), answer("", said + "\n"), answer(said + "\n", "LIM is down; try later", 255)):
        cluster = lsf.probed(Cluster("main", "lsf"), got)
        assert (cluster.version, cluster.family) == (version, family)


def test_a_family_that_is_set_stays() -> None:
    forced = Cluster("main", "lsf", family="plain")
    assert lsf.probed(forced, answer("IBM Spectrum LSF Standard 10.1.0.8")).family == "plain"
    assert lsf.probed(forced, Result(None, "", "lsid: no answer")) == forced


def test_without_a_version_there_is_no_cluster() -> None:
    with pytest.raises(SchedulerUnavailable, match="no such command"):
        lsf.probed(Cluster("main", "lsf"), Result(None, "", "/opt/openlava-4.0/lsid: no such command"))


# Submits

SUBMITS = [one for one in recorded("lsf") if one["argv"][0] == "bsub"]


@pytest.mark.parametrize("one", SUBMITS, ids=lambda one: one["name"])
def test_every_recorded_submit(one: dict[str, object]) -> None:
    got = lsf.submitted(PLAIN, result("lsf", str(one["name"])))
    if "is submitted" in str(one["out"]):
        assert isinstance(got, Accepted)
        assert f"Job <{got.id}> is submitted" in str(one["out"])
    elif one["code"] is None or "reset by peer" in str(one["err"]):
        assert isinstance(got, Unknown)
    else:
        assert isinstance(got, Refused)
        assert got.text.endswith("Job not submitted.")


def test_filters_may_print_around_the_answer() -> None:
    out = "Welcome to Triton.\n\nJob <123456789> is submitted to queue <normal>.\nCharging project acme\n"
    got = lsf.submitted(IBM, answer(out, "esub: memory set to 2 GB\n"))
    assert got == Accepted("123456789", "Welcome to Triton. Charging project acme esub: memory set to 2 GB")


def test_waiting_for_the_daemon_is_no_notice() -> None:
    assert lsf.submitted(PLAIN, result("lsf", "61-A2-bsub-after-kill9")) == Accepted("343")


@pytest.mark.parametrize(
    ("got", "kind"),
    [
        (Result(None, "", ""), Unknown),
        (Result(None, "", "batch system daemon not responding ... still trying\n"), Unknown),
        (answer("", "", 0), Unknown),
        (answer("", "", 255), Unknown),
        (answer("", "Segmentation fault\n", 139), Unknown),
        (answer("", "Failed in an LSF library call: Time out. Job not submitted.\n", 255), Unknown),
        (answer("", "Connection refused by server. Job not submitted.\n", 255), Refused),
        (answer("Please use project codes. Request aborted by esub. Job not submitted.\n", "", 255), Refused),
    ],
)
def test_only_a_sure_answer_is_a_refusal(got: Result, kind: type) -> None:
    assert isinstance(lsf.submitted(IBM, got), kind)


def test_an_id_counts_whatever_else_happened() -> None:
    assert lsf.submitted(IBM, Result(None, "Job <7> is submitted to queue <q>.\n", "")) == Accepted("7")
    assert lsf.submitted(IBM, answer("", "Job <7> is submitted to queue <q>.\n", 255)) == Accepted("7")


# Queries


@pytest.mark.parametrize("name", [one["name"] for one in recorded("lsf") if one["argv"][0] == "bjobs"])
def test_every_recorded_query(name: str) -> None:
    one, got = line("lsf", name), result("lsf", name)
    trouble = one["code"] is None or any(
        word in one["err"] for word in ("refused", "LIM is down", "invalid option", "Illegal", "Usage")
    )
    table = one["out"].startswith("JOBID ") or "-noheader" in one["argv"]
    if trouble or one["argv"][-1] == "-V" or (not table and one["out"]) or "-A" in one["argv"]:
        with pytest.raises(SchedulerUnavailable):
            lsf.queried(PLAIN, got)
        return
    shown = [row.split()[0] for row in one["out"].splitlines() if row[:1].isdigit()]
    assert {id.partition("[")[0] for id in lsf.queried(PLAIN, got)} == set(shown)


def test_known_jobs_beside_unknown_ones_are_a_good_answer() -> None:
    jobs = lsf.queried(PLAIN, result("lsf", "33-bjobs-several-ids-mixed"))
    assert {id: job.word for id, job in jobs.items()} == {"102": "RUN", "224": "RUN", "103": "DONE", "104": "EXIT"}
    assert jobs["102"].name == "jupyter-alice"
    assert jobs["102"].user == "alice"
    assert jobs["102"].partition == "interactive"


@pytest.mark.parametrize("code", [0, 255])
def test_nothing_found_is_an_empty_answer(code: int) -> None:
    for text in (
        "Job <99999> is not found\n",
        "No unfinished job found\n",
        "No job found\n",
        "No matching job found\n",
    ):
        assert lsf.queried(PLAIN, answer("", text, code)) == {}
        assert lsf.queried(IBM, answer("", text, code)) == {}


@pytest.mark.parametrize(
    "got",
    [
        Result(None, "", ""),
        Result(None, "102 alice RUN normal vm vm x Nov 20 15:51\n", ""),
        answer("", "", 0),
        answer("", "", 255),
        answer("", "LSF is down. Please wait ...\n", 255),
        answer("", "Cannot connect to LSF. Please wait ...\n", 0),
        answer("Segmentation fault\n", "", 139),
        answer("102 alice RUN normal vm vm x Nov 20 15:51\n", "Connection refused by server\n", 255),
        answer("", "Job <5> is not found\nFailed in an LSF library call: LIM is down; try later\n", 255),
        answer('{"COMMAND":"bjobs","JOBS":2,"RECORDS":[\n  {"JOBID":"1","STAT":"RUN"},\n', "", 0),
        answer('{"COMMAND":"bjobs","RECORDS":"none"}', "", 0),
        answer('{"COMMAND":"bjobs","JOBS":1,"RECORDS":[{"STAT":"RUN"}]}', "", 0),
        answer('{"COMMAND":"bjobs","JOBS":1,"RECORDS":[{"JOBID":"1","ERROR":"Internal error"}]}', "", 0),
    ],
)
@pytest.mark.parametrize("cluster", [PLAIN, IBM], ids=["plain", "ibm"])
def test_what_is_no_answer_says_nothing_about_jobs(cluster: Cluster, got: Result) -> None:
    with pytest.raises(SchedulerUnavailable):
        lsf.queried(cluster, got)


def test_every_word_has_its_state() -> None:
    words = ["PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "DONE", "EXIT", "UNKWN", "ZOMBI", "WAIT", "PROV"]
    assert set(lsf.STATES) == set(words)
    rows = "".join(f"{place} alice {word} q vm vm x Nov 20 15:51\n" for place, word in enumerate([*words, "SPLIT"], 1))
    states = [job.state for job in lsf.queried(PLAIN, answer(rows)).values()]
    assert states[:-1] == [lsf.STATES[word] for word in words]
    assert states[-1] is JobState.UNKNOWN
    assert lsf.STATES["UNKWN"] is JobState.RUNNING
    assert all(lsf.STATES[word].lives for word in words if word not in ("DONE", "EXIT"))


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("vm:vm", ("vm",)),
        ("node3:node3:node2:node2:vm", ("node3", "node2", "vm")),
        ("4*hostA:2*hostB", ("hostA", "hostB")),
        ("16*t037.triton.edu", ("t037.triton.edu",)),
        ("-", ()),
        ("", ()),
    ],
)
def test_hosts_in_all_their_forms(text: str, nodes: tuple[str, ...]) -> None:
    assert _lsf_text.hosts(text) == nodes


def test_names_with_blanks_and_missing_columns() -> None:
    jobs = lsf.queried(PLAIN, result("lsf", "31-bjobs-a-w"))
    assert jobs["225"].nodes == ()
    assert jobs["225"].name == "hugemem"
    assert jobs["111"].name.startswith("#!/bin/bash;#BSUB -R")
    short = lsf.queried(PLAIN, result("lsf", "31-bjobs"))
    assert short["225"].state is JobState.PENDING
    assert short["225"].nodes == ()


def test_elements_of_arrays_have_ids_of_their_own() -> None:
    assert set(lsf.queried(PLAIN, result("lsf", "33-bjobs-array"))) == {f"217[{index}]" for index in range(1, 5)}


def test_a_name_can_not_end_another_job() -> None:
    forged = "345 eve RUN q vm vm x\n346 bob EXIT q vm vm y Nov 20 15:51\n"
    real = "346 bob RUN q vm node1 jupyter Nov 20 15:51\n"
    for text in (forged + real, real + forged):
        jobs = lsf.queried(PLAIN, answer(text))
        assert jobs["346"].state is JobState.RUNNING


# IBM's records


def record(**changes: str) -> dict[str, str]:
    base = {
        "JOBID": "22005",
        "JOBINDEX": "0",
        "STAT": "RUN",
        "USER": "alice",
        "QUEUE": "normal",
        "EXEC_HOST": "t037.edu:t037.edu:t038.edu",
        "EXIT_CODE": "",
        "SUBMIT_TIME": "Dec 28 19:56",
        "START_TIME": "2026-09-30T20:32:15",
        "FINISH_TIME": "2026-09-30T21:32:15 L",
        "RUNTIMELIMIT": "60.0",
        "PROJ_NAME": "acme",
        "EXIT_REASON": "",
        "PEND_REASON": "",
        "JOB_NAME": TAG,
    }
    return base | changes


def records(*found: dict[str, str], before: str = "") -> Result:
    body = json.dumps({"COMMAND": "bjobs", "JOBS": len(found), "RECORDS": list(found)}, indent=2)
    return answer(before + body + "\n")


def only(got: Result, cluster: Cluster = IBM) -> JobStatus:
    (job,) = lsf.queried(cluster, got).values()
    return job


def test_a_record() -> None:
    job = only(records(record()))
    assert (job.id, job.state, job.user, job.partition) == ("22005", JobState.RUNNING, "alice", "normal")
    assert (job.account, job.name, job.nodes) == ("acme", TAG, ("t037.edu", "t038.edu"))
    assert job.started == time.mktime((2026, 9, 30, 20, 32, 15, 0, 0, -1))
    assert job.ends == time.mktime((2026, 9, 30, 21, 32, 15, 0, 0, -1))
    assert job.walltime == 3600


def test_lines_before_the_object_don_t_matter() -> None:
    wait = "Cannot connect to LSF. Please wait ...\n" * 3
    assert only(records(record(), before=wait)).id == "22005"
    got = records(record())
    assert only(Result(0, got.out, wait)).id == "22005"


def test_numbers_instead_of_texts() -> None:
    body = {"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [{"JOBID": 7, "JOBINDEX": 3, "STAT": "EXIT", "EXIT_CODE": 9}]}
    job = only(answer(json.dumps(body)))
    assert (job.id, job.exit_code) == ("7[3]", 9)


def test_no_records_is_an_answer() -> None:
    assert lsf.queried(IBM, answer('{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}')) == {}


@pytest.mark.parametrize("code", [0, 255])
def test_a_job_that_is_not_found_may_be_a_record(code: int) -> None:
    got = records({"JOBID": "9", "ERROR": "Job <9> is not found"}, record())
    assert list(lsf.queried(IBM, Result(code, got.out, ""))) == ["22005"]


def test_records_with_quotes_that_were_not_escaped() -> None:
    got = records(record(JOB_NAME="NAME"), record(JOBID="22006", STAT="EXIT", EXIT_CODE="3"))
    broken = got.out.replace('"NAME"', '"a "quoted" \\name"')
    jobs = lsf.queried(IBM, answer(broken))
    assert {id: job.word for id, job in jobs.items()} == {"22005": "RUN", "22006": "EXIT"}


def test_a_cut_answer_is_none() -> None:
    got = records(record(JOB_NAME='"'), record(JOBID="22006"))
    for length in (len(got.out) - 3, len(got.out) - 40, 200):
        with pytest.raises(SchedulerUnavailable):
            lsf.queried(IBM, answer(got.out[:length]))


@pytest.mark.parametrize(
    ("reason", "code", "outcome", "words"),
    [
        ("TERM_OWNER: job killed by owner", "130", Outcome.CANCELLED, "cancelled by its owner"),
        (
            "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
            "140",
            Outcome.TIMEOUT,
            "the walltime was reached",
        ),
        ("TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", "", Outcome.OUT_OF_MEMORY, "memory"),
        ("TERM_PREEMPT: job killed after preemption", "", Outcome.PREEMPTED, "make room"),
        ("TERM_REMOTE_HOST_UNKNOWN", "", Outcome.NODE_FAILURE, "node"),
        ("", "7", Outcome.FAILED, "exit code 7"),
        ("", "", Outcome.UNKNOWN, ""),
    ],
)
def test_how_a_job_ended(reason: str, code: str, outcome: Outcome, words: str) -> None:
    job = only(records(record(STAT="EXIT", EXIT_REASON=reason, EXIT_CODE=code)))
    assert job.state is JobState.ENDED
    assert job.outcome is outcome
    assert words in job.reason
    assert job.ends is None


def test_why_a_job_waits() -> None:
    text = "New job is waiting for scheduling; Job slot limit reached: 3 hosts;"
    job = only(records(record(STAT="PEND", EXEC_HOST="", PEND_REASON=text, START_TIME="")))
    assert job.reason == "New job is waiting for scheduling; Job slot limit reached: 3 hosts"
    assert job.nodes == ()


def test_with_a_delimiter_names_may_hold_it() -> None:
    old = dataclasses.replace(IBM, version="9.1.3.0")
    command = lsf.query(old, ["22005"], ["alice"])
    assert "-json" not in command.argv
    assert "-noheader" in command.argv
    row = "22005^0^RUN^alice^normal^2*t037^-^Dec 28 19:56^Dec 28 19:57^-^60.0^acme^-^-^a^b^c"
    job = only(answer(row + "\n"), old)
    assert (job.id, job.nodes, job.name, job.ends) == ("22005", ("t037",), "a^b^c", None)


@pytest.mark.parametrize(
    ("version", "switches", "json_form"),
    [
        ("10.1.0.8", {}, True),
        ("10.1.0.0", {}, False),
        ("10.1", {}, True),
        ("9.1.3.0", {}, False),
        ("10.1.0.8", {"json": False}, False),
        ("9.1.3", {"json": True}, True),
    ],
)
def test_json_only_where_it_is_known(version: str, switches: dict[str, bool], json_form: bool) -> None:
    cluster = dataclasses.replace(IBM, version=version, switches=switches)
    assert ("-json" in lsf.query(cluster, ["1"], []).argv) is json_form


def test_the_user_group_is_no_project() -> None:
    grouped = dataclasses.replace(IBM, switches={"account_option": "-G"})
    assert only(records(record()), grouped).account == ""


# Ids


@pytest.mark.parametrize("id", ["", "0", "00", "all", "-u", "12 13", "1[0]", "0[1]", "1;2", "٣"])
def test_what_is_no_id(id: str) -> None:
    with pytest.raises(ValueError, match="ids:"):
        lsf.cancel(PLAIN, ["12", id])
    with pytest.raises(ValueError, match="ids:"):
        lsf.query(PLAIN, [id], [])


def test_no_ids_at_all() -> None:
    with pytest.raises(ValueError, match="ids:"):
        lsf.cancel(PLAIN, [])


def test_ids() -> None:
    assert lsf.cancel(PLAIN, ["12", "13[4]"]).argv == ("bkill", "12", "13[4]")
    assert lsf.query(PLAIN, ["12", "13[4]"], []).argv == ("bjobs", "-noheader", "-w", "-a", "12", "13[4]")


# Cancels


@pytest.mark.parametrize(
    ("name", "ids", "done"),
    [
        ("40-bkill-running", ["224"], {"224": True}),
        ("40-bkill-finished", ["103"], {"103": True}),
        ("40-bkill-unknown", ["99999"], {"99999": True}),
        ("40-bkill-other-user", ["102"], {"102": False}),
        ("40-bkill-mixed-ids", ["102", "99999", "103"], {"102": True, "99999": True, "103": True}),
        ("66-F-bkill-running-unkwn", ["345"], {"345": True}),
        ("64-B-bkill-both-down-NTRIES1", ["240"], {"240": None}),
        ("40-bkill-running", ["224", "225"], {"224": True, "225": None}),
    ],
)
def test_what_became_of_a_cancel(name: str, ids: list[str], done: dict[str, bool | None]) -> None:
    assert lsf.cancelled(PLAIN, ids, result("lsf", name)) == done


def test_silence_is_no_success() -> None:
    for got in (answer(), answer(code=255), Result(None, "", ""), answer("", "bkill: LSF is down\n", 255)):
        assert lsf.cancelled(PLAIN, ["7", "8[1]"], got) == {"7": None, "8[1]": None}


def test_elements_of_a_cancelled_array() -> None:
    out = "Job <7[1]> is being terminated\nJob <7[2]> is being terminated\n"
    assert lsf.cancelled(PLAIN, ["7"], answer(out)) == {"7": True}
    assert lsf.cancelled(PLAIN, ["7"], answer(out, "Job <7[3]>: User permission denied\n", 255)) == {"7": False}
    assert lsf.cancelled(PLAIN, ["7[2]"], answer(out)) == {"7[2]": True}


# Looking for a job


def test_a_job_is_found_by_its_name_even_with_something_before_it() -> None:
    rows = (
        f"1 alice RUN q vm vm {TAG} Nov 20 15:51\n"
        f"2 alice DONE q vm vm site_{TAG} Nov 20 15:51\n"
        f"3 bob RUN q vm vm {TAG} Nov 20 15:51\n"
        f"4 alice RUN q vm vm {TAG}-x Nov 20 15:51\n"
        f"5 alice RUN q vm vm {TAG}[2] Nov 20 15:51\n"
    )
    assert [job.id for job in lsf.found(PLAIN, TAG, "alice", answer(rows))] == ["1", "2", "5[2]"]
    assert lsf.found(PLAIN, TAG, "alice", answer("", "No job found\n", 255)) == []
    with pytest.raises(SchedulerUnavailable):
        lsf.found(PLAIN, TAG, "alice", answer("", "Connection refused by server\n", 255))


@pytest.mark.parametrize("user", ["", "all", "-a", "a b", 'a"b'])
def test_who_is_no_user(user: str) -> None:
    with pytest.raises(ValueError, match="user:"):
        lsf.find(PLAIN, TAG, user)


# The long forms


@pytest.mark.parametrize(
    ("name", "id", "word", "outcome", "exit_code", "signal"),
    [
        ("34-bjobs-l-exit", "104", "EXIT", Outcome.FAILED, 7, None),
        ("34-bjobs-UF-exit", "104", "EXIT", Outcome.FAILED, 7, None),
        ("34-bjobs-l-done", "103", "DONE", Outcome.COMPLETED, 0, None),
        ("41-bjobs-l-trap", "227", "EXIT", Outcome.FAILED, None, 9),
        ("40-bjobs-l-after-bkill-pending", "226", "EXIT", Outcome.CANCELLED, None, None),
        ("66-F-back-bjobs-l", "446", "EXIT", Outcome.UNKNOWN, None, None),
        ("36-bhist-l-exit", "104", "EXIT", Outcome.FAILED, 7, None),
        ("36-bhist-l-done", "103", "DONE", Outcome.COMPLETED, 0, None),
        ("68-survivor-ended-after-restarts-bhist-l", "240", "EXIT", Outcome.UNKNOWN, None, None),
        ("34-bjobs-l-run", "102", "RUN", None, None, None),
    ],
)
def test_recorded_long_forms(
    name: str, id: str, word: str, outcome: Outcome | None, exit_code: int | None, signal: int | None
) -> None:
    job = lsf.detailed(PLAIN, id, [result("lsf", name)])
    assert job is not None
    assert (job.word, job.outcome, job.exit_code, job.signal) == (word, outcome, exit_code, signal)
    assert job.user == "alice"


def test_the_long_form_of_a_job_that_waits_or_runs() -> None:
    waits = lsf.detailed(PLAIN, "226", [result("lsf", "38-bjobs-p-pend"), result("lsf", "38-bjobs-l-pend")])
    assert waits is not None
    assert waits.reason == "The queue has reached its job slot limit: 1 host"
    assert (waits.name, waits.partition) == ("waiting for gpu", "gpu")
    runs = lsf.detailed(PLAIN, "953", [result("lsf", "81-multi-bjobs-l")])
    assert runs is not None
    assert runs.nodes == ("node3", "node2", "vm")
    limited = lsf.detailed(PLAIN, "102", [result("lsf", "34-bjobs-l-run")])
    assert limited is not None
    assert limited.walltime == 1800
    assert limited.started is not None
    assert limited.ends == limited.started + 1800


def test_a_former_run_is_no_end() -> None:
    text = (
        "\nJob <5>, Job Name <x>, User <a>, Project <p>, Status <RUN>, Queue <q>, Command <c>\n"
        "Fri Nov 20 15:49:42: Submitted from host <vm>, CWD <$HOME>, Re-runnable;\n"
        "Fri Nov 20 15:49:43: Started on <h1>, Execution Home </h>, Execution CWD </h>;\n"
        "Fri Nov 20 15:50:42: Exited with exit code 1. The CPU time used is 0.0 seconds.\n"
        "Fri Nov 20 15:51:42: Started on <h2>, Execution Home </h>, Execution CWD </h>;\n"
    )
    job = _lsf_long.parse(text, "5")
    assert job is not None
    assert (job.state, job.nodes) == (JobState.RUNNING, ("h2",))
    history = _lsf_long.parse(text.replace(", Status <RUN>", ""), "5")
    assert history is not None
    assert history.state is JobState.UNKNOWN


def test_a_termination_reason_in_a_line_of_its_own() -> None:
    text = (
        "\nJob <5>, Job Name <x>, User <a>, Project <p>, Status <EXIT>, Queue <q>, Command <c>\n"
        "Fri Nov 20 15:49:43: Started on <h1>, Execution Home </h>, Execution CWD </h>;\n"
        "Fri Nov 20 15:50:42: Exited with exit code 140. The CPU time used is 0.0 seconds.\n"
        "Fri Nov 20 15:50:42: Completed <exit>; TERM_RUNLIMIT: job killed after reaching LSF run time limit.\n"
    )
    job = _lsf_long.parse(text, "5")
    assert job is not None
    assert (job.outcome, job.exit_code) == (Outcome.TIMEOUT, 140)


def test_detail_never_raises() -> None:
    for got in (answer("%%%"), Result(None, "", ""), answer('{"RECORDS": 3}'), answer("Job <5>, Job Name <", "", 255)):
        assert lsf.detailed(IBM, "5", [got] * 4) in (None, JobStatus("5", JobState.UNKNOWN))


# Times


def test_times_without_a_year_lie_near() -> None:
    new_year = time.mktime((2027, 1, 2, 0, 0, 0, 0, 0, -1))
    assert _lsf_text.epoch("Dec 28 19:56", new_year) == time.mktime((2026, 12, 28, 19, 56, 0, 0, 0, -1))
    assert _lsf_text.epoch("Jan  5 10:00 L", new_year) == time.mktime((2027, 1, 5, 10, 0, 0, 0, 0, -1))
    assert _lsf_text.epoch("Feb 29 10:00", time.mktime((2028, 3, 1, 0, 0, 0, 0, 0, -1))) is not None
    for text in ("", "-", "Foo 12 10:00", "Jan 42 10:00", "0:10 L"):
        assert _lsf_text.epoch(text) is None


# Queues and hosts


def test_the_recorded_inventory() -> None:
    found = lsf.inventoried(
        PLAIN,
        {
            "queues": result("lsf", "04-bqueues-l"),
            "hosts": result("lsf", "81-multi-bhosts-busy"),
            "machines": result("lsf", "80-multi-lshosts"),
            "groups": answer("", "No host group or user group defined in the system\n", 255),
            "parameters": result("lsf", "05-bparams-l"),
        },
    )
    assert found.max_array == 1000
    assert found.problems == ()
    queues = {queue.name: queue for queue in found.partitions}
    assert list(queues) == ["interactive", "gpu", "restricted", "normal"]
    assert (queues["interactive"].max_walltime, queues["interactive"].default_walltime) == (28800, 3600)
    assert queues["normal"].default
    assert queues["restricted"].groups == ("bob",)
    assert (queues["gpu"].nodes, queues["gpu"].free_cores, queues["gpu"].memory) == (3, 14, 24105)


def test_limits_and_hosts_of_ibm_queues() -> None:
    text = (
        "\nQUEUE: long\n  -- x\n\nPARAMETERS/STATISTICS\n"
        "PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS\n"
        " 30    0  Open:Inact_Win   -    -    -    -     0     0     0     0     0    0     0\n\n"
        "DEFAULT LIMITS:\n RUNLIMIT\n 1440.0 min\n\n"
        "MAXIMUM LIMITS:\n CPULIMIT              RUNLIMIT              MEMLIMIT\n"
        " 60.0 min of h1        10080.0 min of h1       20 G\n\n"
        "USERS: staff/ ~eve alice\nHOSTS: big/ n7+3\n"
    )
    found = lsf.inventoried(
        IBM,
        {
            "queues": answer(text),
            "hosts": answer(
                "HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV\n"
                "n1                 ok              -       40      0      0      0      0      0\n"
                "n7                 closed_Full     -       40     40     40      0      0      0\n"
            ),
            "machines": answer(
                "HOST_NAME type model cpuf ncpus maxmem maxswp server RESOURCES\nn1 X P9 1 40 1.5T - Yes (a b)\n"
            ),
            "groups": answer("GROUP_NAME    HOSTS\nbig           small/ n1\nsmall  n1\n"),
            "gpus": answer("HOST_NAME  gpu_id  gpu_model  gpu_driver\nn1  0  TeslaV100  440\n    1  TeslaV100  440\n"),
        },
    )
    (queue,) = found.partitions
    assert (queue.up, queue.max_walltime, queue.default_walltime) == (False, 604800, 86400)
    assert (queue.nodes, queue.free_nodes, queue.free_cores, queue.memory) == (2, 1, 40, 1572864)
    assert queue.groups == ("staff", "alice")
    assert queue.gpus == {"TeslaV100": 2}
    assert found.problems == ("parameters: bparams was not asked",) or "parameters" in found.problems[0]


def test_an_outage_is_no_empty_inventory() -> None:
    for got in (result("lsf", "64-B-bqueues-both-down-NTRIES1"), Result(None, "", ""), answer("", "", 0)):
        with pytest.raises(SchedulerUnavailable):
            lsf.inventoried(PLAIN, {"queues": got})


# Through the fake, as both families


@pytest.mark.parametrize("family", ["plain", "ibm"])
def test_the_whole_life_of_a_job(family: str, tmp_path: Path) -> None:
    fake = Fake("lsf", tmp_path / "state", LSF)
    if family == "ibm":
        fake.state.set("family", "ibm")
    cluster = lsf.probed(Cluster("main", "lsf"), fake.run(lsf.probe(Cluster("main", "lsf"))))
    assert cluster.family == family
    log = tmp_path / "log file"
    job = Job(
        TAG,
        "root",
        ("/bin/bash", "-c", 'echo "$1"; exec sleep 60', "-", "it's"),
        Resources(cores=2, memory=100, walltime=600),
        partition="normal",
        account="acme",
        workdir=str(tmp_path),
        output=str(log),
        setup=("export A=1",),
    )
    text = lsf.script(cluster, job)
    accepted = lsf.submitted(cluster, fake.run(lsf.submit(cluster, job, text, "")))
    assert isinstance(accepted, Accepted)

    def seen() -> JobStatus:
        return lsf.queried(cluster, fake.run(lsf.query(cluster, [accepted.id, "99999"], ["root"])))[accepted.id]

    wait_for(lambda: seen().state is JobState.RUNNING)
    wait_for(lambda: log.exists() and log.read_text() == "it's\n")
    assert (seen().name, seen().partition, seen().nodes) == (TAG, "normal", ("vm",))
    assert [one.id for one in lsf.found(cluster, TAG, "root", fake.run(lsf.find(cluster, TAG, "root")))] == ["101"]
    done = lsf.cancelled(cluster, [accepted.id, "7"], fake.run(lsf.cancel(cluster, [accepted.id, "7"])))
    assert done == {accepted.id: True, "7": True}
    wait_for(lambda: seen().state is JobState.ENDED)
    detail = lsf.detailed(cluster, accepted.id, [fake.run(one) for one in lsf.detail(cluster, accepted.id)])
    assert detail is not None
    assert detail.outcome in (Outcome.CANCELLED, Outcome.FAILED)
    assert lsf.inventoried(cluster, {key: fake.run(one) for key, one in lsf.inventory(cluster).items()}).problems == ()


def test_an_outage_seen_through_the_fake(tmp_path: Path) -> None:
    fake = Fake("lsf", tmp_path, LSF)
    for switch, value in (("mbatchd", "down"), ("lim", "down")):
        fake.state.set(switch, value)
        with pytest.raises(SchedulerUnavailable):
            lsf.queried(PLAIN, fake.run(lsf.query(PLAIN, ["1"], [])))
        assert isinstance(lsf.submitted(PLAIN, fake.run(lsf.submit(PLAIN, None, "sleep 1\n", ""))), Refused)  # type: ignore[arg-type]
        assert lsf.cancelled(PLAIN, ["1"], fake.run(lsf.cancel(PLAIN, ["1"]))) == {"1": None}
        fake.state.set(switch, None)
    fake.state.set("mbatchd", "hung")
    with pytest.raises(SchedulerUnavailable):
        lsf.queried(PLAIN, fake.run(lsf.query(PLAIN, ["1"], []), timeout=0.3))
