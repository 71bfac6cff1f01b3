"""The fake LSF answers as the recorded one did: same exit code, same shape of both streams, for every recorded line."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.job import Result
from hpcspawner.schedulers import _lsf_long

from . import schedkit
from .schedkit import LSF, Fake, Replayer, fakebatch, recorded, shape

COMMANDS = set(os.listdir(schedkit.bin_of("lsf")))
WAITING = re.compile(r"still trying")
LINES = [one for one in recorded("lsf") if one["argv"][0] in COMMANDS]
SLOW = {one["name"] for one in LINES if one["code"] is None or WAITING.search(one["err"])}
# What the load was at that moment, and in histories how often the host's daemon had been away.
USAGE = re.compile(
    r": Unknown; unable to reach|: Running;$|Resource usage collected|^MEM: |^PGID: |^MAX MEM|MEMORY USAGE"
    r"|^Combined:|^Effective:"
)


@pytest.fixture(scope="module")
def replay() -> Iterator[Replayer]:
    yield from schedkit.replayers("lsf")


def seeded(folder: Path, one: dict[str, Any]) -> Any:
    """A fake in the state in which the line was recorded: with the jobs that its own output shows."""
    hosts = {"vm": 8, "node2": 8, "node3": 8} if one["name"].startswith("8") else LSF["hosts"]
    state = fakebatch.create(str(folder), {**LSF, "hosts": hosts, "groups": []})
    state.set("dry", "")
    for job in shown(one) + meant(one):
        state.save(job)
    if "Operation is in progress" in one["err"] or "unreach" in one["out"]:
        state.set("sbatchd", "down")
    if "Connection refused" in one["err"]:
        state.set("mbatchd", "down")
    if "LIM is down" in one["err"]:
        state.set("lim", "down")
    accepted = re.search(r"Job <(\d+)> is submitted", one["out"])
    if accepted:
        Path(state.path("next")).write_text(accepted.group(1))
    if "Job group exists" in one["err"]:
        config = state.config
        config["groups"] = ["pu"]
        Path(state.path("config.json")).write_text(fakebatch.json.dumps(config))
    return state


T0 = int(time.time()) - 100


def job(number: int, **changes: Any) -> dict[str, Any]:
    base = {"id": number, "index": 0, "user": "alice", "name": "x", "queue": "normal", "project": "default"}
    base |= {
        "state": "RUN",
        "slots": 1,
        "require": {},
        "hosts": ["vm"],
        "from": "vm",
        "submitted": T0,
        "walltime": None,
    }
    base |= {"started": T0, "cwd": "/home/alice", "out": None, "script": "x", "options": {}}
    return {**base, **changes}


ROW = re.compile(
    r"(\d+) +(\S+) +([A-Z]+) +(\S+) +(\S+) +(?:(\S+) +)?(\S.*?)\s+(?:[A-Z][a-z]{2} \d+ \d\d:\d\d|\d\d/\d\d-)(.*)"
)


def shown(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs in the recorded output."""
    if one["argv"][0] == "bhist" and "-l" not in one["argv"]:
        return [ended_or_not(row.split()) for row in one["out"].splitlines()[2:] if row.strip()]
    if one["argv"][0] not in ("bjobs", "bhist"):
        return []
    if "Job <" in one["out"] or "Job Id <" in one["out"]:
        return [from_long(lines) for lines in _lsf_long.blocks(one["out"]).values()]
    if "-A" in one["argv"]:
        return [job(217, index=index, name=f"arr[{index}]", state="DONE", ended=(T0 + 1)) for index in range(1, 5)]
    return from_rows(one["out"])


def ended_or_not(words: list[str]) -> dict[str, Any]:
    number, _, index = words[0].rstrip("]").partition("[")
    waits = int(words[-7]) > 0
    state = "PEND" if waits else "RUN" if int(words[-5]) > 0 else "DONE"
    name = " ".join(words[2:-7])
    return job(int(number), index=int(index or 0), user=words[1], name=name, state=state, started=None if waits else T0)


def from_rows(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place, line in enumerate(out.splitlines()):
        match = ROW.match(line)
        if not match:
            if re.match(r" {40,}\S+$", line):
                found[-1]["hosts"].append(line.strip())
            continue
        number, user, word, queue, origin, host, name, more = match.groups()
        index = re.search(r"\[(\d+)\]$", name)
        waits = host in (None, "-") or word == "PEND"
        if word == "PEND" and host not in (None, "-"):
            name = f"{host} {name}"
        one = job(
            int(number), user=user, state=word, queue=complete(queue), name=name, index=int(index[1]) if index else 0
        )
        one["from"], one["hosts"] = origin, [] if waits else (host or "").split(":")
        one["started"] = None if waits else T0
        # In the order of the recording: that of their ends is not to be seen elsewhere.
        one["ended"] = (T0 + 1) + place if word in ("DONE", "EXIT") else None
        one["project"] = more.split()[1] if len(more.split()) > 5 else "jhub" if name == "jupyter-alice" else "default"
        if word == "PEND":
            one["reason"] = "slots" if "job slot limit" in out else "need"
        found.append(one)
    return found


def complete(queue: str) -> str:
    return next(name for name in LSF["queues"] if name.startswith(queue))


def from_long(lines: list[str]) -> dict[str, Any]:
    head, text = lines[0], "\n".join(lines)
    number = re.search(r"<(\d+)", head)
    assert number is not None
    exits = re.search(r"Exited with exit code (\d+)", text)
    signal = re.search(r"by signal (\d+)", text)
    started = " Started on " in text or "Dispatched" in text
    over = re.search(r"Done successfully|Exited", text)
    word = field(head, "Status") or ("DONE" if "Done" in text else "EXIT" if over else "RUN")
    options = {key: "1" for key, sign in (("M", "MEMLIMIT"), ("R", "Requested Resources")) if sign in text}
    options |= {key: "1" for key, sign in (("e", "Error File"), ("m", "Specified Hosts")) if sign in text}
    limit = re.search(r"([\d.]+) min of", text)
    asked = re.search(r"(\d+) Processors Requested", text)
    hosts = re.search(r"(?:Started on|Dispatched to) (?:\d+ Hosts/Processors )?((?:<[^>]*> ?)+)", text)
    one = job(
        int(number.group(1)),
        name=field(head, "Job Name"),
        user=field(head, "User"),
        project=field(head, "Project"),
        queue=field(head, "Queue") or "normal",
        state=word,
        out="x" if "Output File" in text else None,
        walltime=float(limit.group(1)) * 60 if limit else None,
        options={**options, "W": "1"} if limit else options,
        slots=int(asked.group(1)) if asked else 1,
        started=T0 if started else None,
        ended=(T0 + 1) if over else None,
        exit=int(exits.group(1)) if exits else None,
        signal=int(signal.group(1)) if signal else None,
    )
    one["hosts"] = re.findall(r"<([^>]*)>", hosts.group(1)) if hosts else []
    one["reason"] = "slots"
    return one


def field(head: str, name: str) -> str:
    match = re.search(rf"\b{name} <([^<>]*)>", head)
    return match.group(1) if match else ""


def meant(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs that a command without a listing speaks of, and those behind the numbers of hosts and queues."""
    found = []
    for number, said in re.findall(r"Job <(\d+)>:? (?:is )?(.*)", one["out"] + one["err"]):
        owner = "bob" if "denied" in said else one["user"].replace("root", "bob")
        if "terminated" in said or "in progress" in said or "denied" in said or "stopped" in said or "resumed" in said:
            found.append(
                job(
                    int(number), user="alice" if owner == "bob" and one["user"] == "bob" and "denied" in said else owner
                )
            )
        elif "already finished" in said:
            found.append(job(int(number), user=owner, state="DONE", ended=(T0 + 1)))
    if one["argv"][0] == "bpeek":
        found.append(job(102))
    return found


def normal(text: str) -> list[str]:
    lines = [line for line in shape(text) if not USAGE.search(line)]
    return [
        re.sub(r"\b(vm|node9|" + re.escape(re.sub(r"\d+", "9", socket.gethostname())) + r")\b", "host", one)
        for one in lines
    ]


@pytest.mark.parametrize("one", [one for one in LINES if one["name"] not in SLOW], ids=lambda one: one["name"])
def test_each_recorded_line(one: dict[str, Any], replay: Replayer, tmp_path: Path) -> None:
    state = seeded(tmp_path, one)
    if {"-I", "-Is", "-K"} & set(one["argv"]):
        state.set("dry", None)
    got = replay(state, one["argv"], one["user"], "/", one.get("stdin") or "", **one.get("environment", {}))
    if (one["argv"][0] == "bhosts" and got.code == 0) or one["name"] in ("37-bqueues-busy",):
        one = {**one, "out": re.sub(r"\d+", "0", one["out"])}
        got = Result(got.code, re.sub(r"\d+", "0", got.out), got.err)
    if one["name"] == "37-bpeek-run":
        # What the job itself had written stands before.
        one = {**one, "out": one["out"][one["out"].index("<<") :]}
    assert (got.code, normal(got.out), normal(got.err)) == (one["code"], normal(one["out"]), normal(one["err"]))


@pytest.mark.parametrize("one", [one for one in LINES if one["name"] in SLOW], ids=lambda one: one["name"])
def test_each_recorded_line_of_an_outage(one: dict[str, Any], tmp_path: Path) -> None:
    state = seeded(tmp_path, one)
    fake = Fake.__new__(Fake)
    fake.kind, fake.state = "lsf", state
    state.set("retry", "0.1")
    daemon = "lim" if "LIM" in one["err"] else "mbatchd"
    state.set(daemon, "hung" if "hung" in one["name"] else "down")
    env = {"FAKE_BATCH_USER": one["user"], **one.get("environment", {})}
    if one["code"] is None or one["code"] != 0:
        got = fake.call(tuple(one["argv"]), one.get("stdin") or "", 0.6 if one["code"] is None else 20, **env)
        assert got.code == one["code"]
        assert set(normal(got.err)) == set(normal(one["err"]))
        return
    # It waits until the daemon is back, and then answers as ever.
    waiting = schedkit.Background(fake, tuple(one["argv"]), one.get("stdin") or "", **env)
    waiting.until_said("still trying")
    state.set(daemon, None)
    got = waiting.end()
    assert got.code == 0
    assert normal(got.out) == normal(one["out"])
    assert set(normal(got.err)) == set(normal(one["err"]))


def test_what_is_not_replayed_is_no_command_of_ours() -> None:
    other = {one["argv"][0] for one in recorded("lsf")} - COMMANDS
    assert other == {"bash"}


def test_a_submit_that_was_ended_while_the_daemon_hangs_comes_later(tmp_path: Path) -> None:
    fake = Fake("lsf", tmp_path, LSF)
    fake.state.set("mbatchd", "hung")
    script = "#!/bin/bash\n#BSUB -J late\nsleep 30\n"
    assert fake.call(("bsub",), script, 0.5, LSB_NTRIES="1").code is None
    fake.state.set("mbatchd", None)
    schedkit.wait_for(lambda: "late" in fake.call(("bjobs", "-w", "-J", "late")).out)
    assert fake.call(("bkill", "101")).code == 0


def test_a_job_runs_its_script_and_keeps_its_exit_code(tmp_path: Path) -> None:
    fake = Fake("lsf", tmp_path / "state", LSF)
    log = tmp_path / "log"
    script = f"#!/bin/bash\n#BSUB -n 2\nexec >> {log}\necho $LSB_JOBID $LSB_MCPU_HOSTS\nexit 7\n"
    assert "Job <101>" in fake.call(("bsub",), script).out
    schedkit.wait_for(lambda: "EXIT" in fake.call(("bjobs", "-w", "101")).out)
    assert log.read_text() == "101 vm 2\n"
    assert "exit code 7" in fake.call(("bjobs", "-l", "101")).out


def test_a_job_that_ignores_signals_is_killed_in_the_end(tmp_path: Path) -> None:
    fake = Fake("lsf", tmp_path / "state", LSF)
    fake.state.set("terminate", "0.1")
    ready = tmp_path / "ready"
    fake.call(("bsub",), f"#!/bin/bash\ntrap '' INT TERM\ntouch {ready}\nwhile :; do sleep 0.05; done\n")
    schedkit.wait_for(ready.exists)
    assert fake.call(("bkill", "101")).out == "Job <101> is being terminated\n"
    schedkit.wait_for(lambda: "Exited by signal 9" in fake.call(("bjobs", "-l", "101")).out)


def test_jobs_wait_for_free_slots(tmp_path: Path) -> None:
    fake = Fake("lsf", tmp_path, {**LSF, "hosts": {"vm": 1}})
    for _ in range(2):
        fake.call(("bsub", "sleep", "60"))
    schedkit.wait_for(lambda: "RUN" in fake.call(("bjobs", "-w")).out)
    time.sleep(0.2)
    assert fake.call(("bjobs", "-w")).out.count("PEND") == 1
    fake.call(("bkill", "0"))
    schedkit.wait_for(lambda: fake.call(("bjobs",)).err == "No unfinished job found\n")


@pytest.mark.other_user
def test_the_fake_is_for_every_user_of_the_machine(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    fake = Fake("lsf", tmp_path / "state", LSF)

    def run(user: str, command: str, stdin: str = "") -> Result:
        env = schedkit.environment("lsf", fake.state)
        done = subprocess.run(
            ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "/bin/sh", "-c", command],
            input=stdin,
            env=env,
            cwd="/",
            text=True,
            capture_output=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    assert run("alice", "bsub", f"#!/bin/bash\nid -un >> {log}\nsleep 60\n").out.startswith("Job <101>")
    schedkit.wait_for(lambda: "RUN" in run("bob", "bjobs -w 101").out)
    schedkit.wait_for(lambda: log.read_text() == "alice\n")
    assert "User permission denied" in run("bob", "bkill 101").err
    assert run("bob", "bsub sleep 60").out.startswith("Job <102>")
    assert "being terminated" in fake.call(("bkill", "102")).out
    assert "being terminated" in run("alice", "bkill 101").out
    schedkit.wait_for(lambda: run("alice", "bjobs -u all").err == "No unfinished job found\n")
    assert "bob" in run("alice", "bjobs -a -u all").out
    fake.state.set("secure", "")
    assert run("alice", "bjobs 102").err == "Job <102> is not found\n"
