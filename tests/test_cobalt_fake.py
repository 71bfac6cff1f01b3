"""The fake Cobalt answers as the recorded one did: same exit code, same shape of both streams."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import schedkit
from .schedkit import COBALT, Fake, Replayer, fakebatch, recorded, shape

COMMANDS = set(os.listdir(schedkit.bin_of("cobalt")))
# What no part of ours ever runs: help and debug texts, and jobs with a terminal.
LEFT_OUT = ("--help", "-d", "-I")
LINES = [
    one
    for one in recorded("cobalt")
    if one["argv"][0] in COMMANDS and (not set(LEFT_OUT) & set(one["argv"]) or "./env.sh" in one["argv"][-1:])
]
LINES = [one for one in LINES if one["name"] != "qsub_more-10"]
T0 = int(time.time()) - 100

DIRECTIVES = "#!/bin/bash\n#COBALT -n 1 -t 30 -q single-gpu\n#COBALT -A datascience\nsleep 1\n"
SCRIPTS = {
    "directives.sh": DIRECTIVES,
    "directives_noshebang.sh": DIRECTIVES.partition("\n")[2],
    "attrs_directive.sh": "#!/bin/bash\n#COBALT -n 1 -t 20 -q single-gpu -A x --attrs a=1 --env A=1\nsleep 1\n",
}


@pytest.fixture(scope="module")
def replay() -> Iterator[Replayer]:
    yield from schedkit.replayers("cobalt")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the commands were run."""
    folder = tmp_path_factory.mktemp("home")
    names = {word[2:] for one in LINES for word in one["argv"] if re.match(r"\./\w+\.sh$", word)}
    for name in (names | set(SCRIPTS) | {"env.sh", "sleep.sh"}) - {"nonexistent.sh"}:
        path = folder / name
        path.write_text(SCRIPTS.get(name, "#!/bin/bash\nsleep 1\n"))
        path.chmod(0o644 if name == "notexec.sh" else 0o755)
    (folder / "out").mkdir()
    return folder


def job(number: int, **changes: Any) -> dict[str, Any]:
    base = {"id": number, "user": "alice", "name": "", "queue": "full-node", "project": "x", "state": "running"}
    base |= {"nodes": 1, "procs": 1, "walltime": 1800, "hosts": [], "submitted": T0, "started": None, "cwd": "/h/a"}
    base |= {"output": "/h/o", "error": "/h/e", "cobaltlog": "/dev/null", "command": "/h/c", "args": [], "env": []}
    return {**base, "attrs": "", "dependencies": "", **changes}


def from_table(out: str) -> list[dict[str, Any]]:
    rows = out.splitlines()
    rule = next((place for place, row in enumerate(rows) if row.startswith("===")), None)
    if rule is None or not rows[0].lower().startswith("jobid"):
        return []
    heads = [(match.group(0).lower(), match.start()) for match in re.finditer(r"\S+", rows[rule - 1])]
    ends = [start for _, start in heads[1:]] + [None]
    found = []
    for row in rows[rule + 1 :]:
        values = {name: row[start:end].strip() for (name, start), end in zip(heads, ends, strict=True)}
        found.append(from_values(values))
    return found


def from_values(values: dict[str, str]) -> dict[str, Any]:
    letters = {"Q": "queued", "R": "running", "H": "user_hold", "K": "killing"}
    one = job(int(values["jobid"]), state=values.get("state") or letters.get(values.get("s", "R"), "running"))
    location = values.get("location", "None")
    started = location != "None" or values.get("starttime", "N/A") != "N/A"
    one["hosts"] = [] if location == "None" and not started else expanded(location)
    one["started"] = T0 if started else None
    for key, name in (("user", "user"), ("queue", "queue"), ("project", "project"), ("dependencies", "dependencies")):
        one[name] = values.get(key, one[name])
    one["name"] = "" if values.get("jobname", "N/A") == "N/A" else values["jobname"]
    one["nodes"] = int(values.get("nodes", 1))
    if "walltime" in values:
        hours, minutes, _ = values["walltime"].split(":")
        one["walltime"] = int(hours) * 3600 + int(minutes) * 60
    one["env"] = [word for word in values.get("envs", "").split() if not word.startswith("COBALT_JOBID")]
    pairs = re.findall(r"'(\w+)': '(\w+)'", values.get("attrs", ""))
    one["attrs"] = ":".join(f"{key}={value}" for key, value in pairs)
    return one


def expanded(location: str) -> list[str]:
    match = re.match(r"(.*)\[(\d+)-(\d+)\]$", location)
    if not match:
        return [location]
    head, low, high = match.groups()
    return [head + str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]


def seeded(folder: Path, one: dict[str, Any]) -> Any:
    config = {**COBALT, "queues": {name: dict(queue) for name, queue in COBALT["queues"].items()}}
    said = one["err"]
    if one["name"].startswith("queue_limits"):
        config["queues"]["single-gpu"] |= queue_of(one)
        config["queues"]["default"]["users"] = ["bob"]
    state = fakebatch.create(str(folder), config)
    state.set("dry", "")
    state.set("qdel", "0")
    jobs = from_table(one["out"]) if one["argv"][0] in ("qstat", "cqstat") else []
    if one["argv"][0] == "qstat" and "    State" in one["out"]:
        found = dict(re.findall(r"^(?:    )?(\w+) *: (.*)$", one["out"], re.MULTILINE))
        jobs = [from_values({key.lower(): value.strip() for key, value in found.items()})]
    if one["argv"][0] == "qdel":
        jobs = [job(int(row.split()[0])) for row in one["out"].splitlines()[3:]]
        jobs += [job(number, user="bob") for number in (117, 100101) if not one["out"]]
    if one["argv"][0] in ("qhold", "qrls", "qalter") and "99999" not in one["argv"]:
        jobs = [job(int(one["argv"][-1]), walltime=60 * int((re.findall(r"from (\d+)", one["out"]) or [30])[0]))]
    if one["argv"][0] == "nodelist":
        jobs = [job(1, nodes=5, hosts=list(COBALT["nodes"]), started=T0)]
    if "The limit of" in said:
        jobs = [job(1, queue="single-gpu")]
    if "--dependencies" in one["argv"] and "WARNING" not in said:
        jobs = [job(101)]
    for each in jobs:
        state.save(each)
    number = re.match(r"(\d+)\n", one["out"])
    if number:
        Path(state.path("next")).write_text(number.group(1))
    switches(state, one)
    return state


def queue_of(one: dict[str, Any]) -> dict[str, Any]:
    said = one["err"] + one.get("note", "")
    for word in ("draining", "dead"):
        if word in said:
            return {"state": word}
    if "-Q" in one["argv"]:
        return {"state": "stopped"}
    if "limit" in said and "removed" not in said:
        return {"maxqueued": 1}
    return {"maxrunning": 1} if one["name"] == "queue_limits-12" else {}


def switches(state: Any, one: dict[str, Any]) -> None:
    said = one["err"]
    if "cn:" in said:
        where = re.match(r"down_([a-z]+)", one["name"])
        assert where is not None
        state.set("down", {"queue": "cqm"}.get(where.group(1), where.group(1)))
        if "No handlers" not in said:
            state.set("quiet", "")
    if "Filter" in said:
        state.set("filter", "project")
    elif said and one["code"] == 0 and "WARNING" not in said:
        state.set("filter", "note " + said.strip())


def normal(text: str) -> list[str]:
    return [re.sub(r"(?<![\w.])/[\w./:-]+", "PATH", line).replace("Args : ", "Args :") for line in shape(text)]


@pytest.mark.parametrize("one", LINES, ids=lambda one: one["name"])
def test_each_recorded_line(one: dict[str, Any], replay: Replayer, scripts: Path, tmp_path: Path) -> None:
    state = seeded(tmp_path, one)
    argv = [re.sub(r"^/home/alice/(?=\w+\.sh$|out$)", f"{scripts}/", word) for word in one["argv"]]
    cwd = "/proc" if one["cwd"] == "/" else str(scripts)
    got = replay(state, argv, one["user"], cwd, **one.get("environment", {}))
    order = sorted if "--sort" in argv else list
    assert (got.code, order(normal(got.out))) == (one["code"], order(normal(one["out"])))
    assert normal(got.err) == normal(one["err"])


def test_what_is_not_replayed_is_no_command_of_ours() -> None:
    assert {one["argv"][0] for one in recorded("cobalt")} - COMMANDS == {"sh", "qselect"}


def script(folder: Path, text: str) -> str:
    path = folder / "job.sh"
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


def state_of(fake: Fake, number: str) -> str:
    got = fake.call(("qstat", "--header", "State", number))
    return got.out.split()[-1] if got.out else ""


def test_a_job_runs_its_script_and_then_nobody_knows_it(tmp_path: Path) -> None:
    fake = Fake("cobalt", tmp_path / "state", COBALT)
    log = tmp_path / "log"
    options = f"#COBALT -n 2 -t 5 -q full-node\n#COBALT -o {log} -e {log}"
    path = script(tmp_path, f"#!/bin/bash\n{options}\ncat $COBALT_NODEFILE\necho $COBALT_JOBID >&2\n")
    assert fake.call(("qsub", path)).out == "101\n"
    schedkit.wait_for(lambda: fake.call(("qstat", "101")).code == 1)
    assert log.read_text() == "thetagpu01\nthetagpu02\n101\n"
    gone = fake.call(("qstat", "--header", "JobID:State:Location", "101"))
    assert (gone.code, gone.out, gone.err) == (1, "", "")


def test_a_job_that_ignores_term_is_killed_after_the_delay(tmp_path: Path) -> None:
    fake = Fake("cobalt", tmp_path / "state", COBALT)
    fake.state.set("force_kill_delay", "0.4")
    fake.state.set("qdel", "0")
    ready = tmp_path / "ready"
    path = script(tmp_path, f"#!/bin/bash\ntrap '' TERM\ntouch {ready}\nwhile :; do sleep 0.05; done\n")
    fake.call(("qsub", "-n", "1", "-t", "5", "-q", "full-node", path))
    schedkit.wait_for(ready.exists)
    assert "101" in fake.call(("qdel", "101")).out
    assert state_of(fake, "101") == "killing"
    schedkit.wait_for(lambda: fake.call(("qstat", "101")).code == 1)


def test_without_path_qsub_breaks_down(replay: Replayer, tmp_path: Path) -> None:
    state = fakebatch.create(str(tmp_path), COBALT)
    replay.child.stdin.write(  # type: ignore[union-attr]
        fakebatch.json.dumps({"argv": ["qsub", "x"], "env": {fakebatch.VARIABLE: state.folder}, "cwd": "/"}) + "\n"
    )
    replay.child.stdin.flush()  # type: ignore[union-attr]
    got = fakebatch.json.loads(replay.child.stdout.readline())  # type: ignore[union-attr]
    assert (got["code"], got["err"]) == (1, "*** FATAL EXCEPTION: 'PATH' ***\n")


@pytest.mark.other_user
def test_only_the_owner_ends_a_job(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    fake = Fake("cobalt", tmp_path / "state", COBALT)
    fake.state.set("qdel", "0")
    path = script(tmp_path, "#!/bin/bash\nsleep 60\n")
    os.chmod(path, 0o755)

    def run(user: str, *argv: str) -> str:
        env = schedkit.environment("cobalt", fake.state)
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *argv]
        done = subprocess.run(as_user, env=env, cwd="/", text=True, stdout=subprocess.PIPE, check=False)
        return done.stdout

    assert (
        run("alice", "qsub", "-n", "1", "-t", "5", "-q", "full-node", "-o", "/dev/null", "-e", "/dev/null", path)
        == "101\n"
    )
    schedkit.wait_for(lambda: "running" in run("bob", "qstat", "101"))
    assert run("bob", "qdel", "101") == ""
    assert fake.call(("qdel", "101")).out == ""
    assert "101" in run("alice", "qdel", "101")
    schedkit.wait_for(lambda: run("bob", "qstat", "101") == "")
