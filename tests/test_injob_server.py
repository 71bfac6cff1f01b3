"""Rules of the wrapper in a job: environment, signals, restarts and the record of the end, with small commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .injobkit import TAG, Hub, Running, until

Start = Callable[..., Running]
SERVE = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def start(tmp_path: Path, hub: Hub) -> Iterator[Start]:
    jobs: list[Running] = []

    def start(environ: dict[str, str] | None = None, **plan: Any) -> Running:
        job = Running(tmp_path / f"job{len(jobs)}", hub, **{"jupyter": False, **plan})
        jobs.append(job)
        return job.start(**(environ or {}))

    yield start
    for job in jobs:
        job.stop()


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "script"
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)
    return [str(path)]


def test_a_command_is_reported_once_it_listens(start: Start, hub: Hub) -> None:
    job = start(command=SERVE)
    until(lambda: hub.reports, "report")
    told = hub.reports[0]
    assert {**told, "port": 0} == {
        "protocol": 1, "tag": TAG, "job_id": "77", "run": 0, "host": "127.0.0.1", "url_scheme": "http", "port": 0,
    }  # fmt: skip
    assert hub.tokens == ["token the-servers-token"]
    assert urllib.request.urlopen(f"http://127.0.0.1:{told['port']}/").status == 200
    job.stop()
    assert job.end["signal"] == signal.SIGTERM
    assert job.end["reason"] == "ended from outside (SIGTERM)"


def test_a_range_without_a_free_port_is_told(start: Start, hub: Hub) -> None:
    job = start(command=SERVE, ports=[hub.port, hub.port])
    assert f"no port from {hub.port} to {hub.port} is free" in job.wait()["reason"]


@pytest.mark.parametrize("loser", ["exit 1", "exec sleep 60"])
def test_a_port_that_somebody_else_took_is_never_reported_and_another_is_tried(
    start: Start, hub: Hub, tmp_path: Path, loser: str
) -> None:
    port, taken = tmp_path / "port", tmp_path / "taken"
    first = f"if [ ! -e {taken} ]; then echo $1 > {port}.new; mv {port}.new {port}; fi\n"
    first += (
        f"if [ ! -e {port}.used ]; then while [ ! -e {taken} ]; do sleep 0.02; done; touch {port}.used; {loser}; fi\n"
    )
    command = script(tmp_path, f'{first}exec "{sys.executable}" -m http.server $1 --bind 127.0.0.1\n')
    start(command=[*command, "{port}"])
    number = int(until(lambda: port.exists() and port.read_text(), "port"))
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", number))
        thief.listen()
        taken.touch()
        until(lambda: hub.reports, "report")
    assert hub.reports[0]["port"] != number


def test_the_environment_is_complete_private_and_without_leftovers(start: Start, hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code = "import json, os, sys; json.dump([dict(os.environ), os.getcwd(), sys.argv], open(sys.argv[1], 'w'))"
    work = tmp_path / "work"
    work.mkdir()
    job = start(
        {"DBUS_SESSION_BUS_ADDRESS": "unix:x", "XDG_RUNTIME_DIR": "/run/user/0", "KEEP": "me"},
        command=[sys.executable, "-c", code, str(out), "{base_url}"],
        environment={"COLOUR": "blue"},
        secret_environment={"SECRET": 'two "words"\nand a line'},
        workdir=str(work),
    )
    job.wait()
    environ, folder, argv = json.loads(out.read_text())
    assert (environ["SECRET"], environ["COLOUR"], environ["KEEP"]) == ('two "words"\nand a line', "blue", "me")
    assert "DBUS_SESSION_BUS_ADDRESS" not in environ
    assert folder == str(work)
    assert argv[-1] == "/user/alice/"
    assert environ["XDG_RUNTIME_DIR"].startswith(f"/tmp/hpcspawner-{TAG}-")
    assert not Path(environ["XDG_RUNTIME_DIR"]).exists()
    assert "the-servers-token" not in job.text


def test_a_setup_runs_first_and_words_stand_before_the_command(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    start(
        command=["/bin/sh", "-c", f'echo "$WHO $0" > {out}', "a b"],
        environment_setup=["WHO=setup", "export WHO"],
        wrap=["/usr/bin/env", "-u", "KEEP"],
    ).wait()
    assert out.read_text() == "setup a b\n"


@pytest.mark.parametrize(
    ("text", "code", "number", "reason"),
    [
        ("exit 0", 0, None, "the server ended by itself"),
        ("exit 7", 7, None, "the server failed with exit code 7"),
        ("kill -SEGV $$", None, signal.SIGSEGV, "the server was ended by signal 11"),
        ("kill -KILL $$", None, signal.SIGKILL, "more memory"),
    ],
)
def test_the_record_of_the_end_tells_how_and_why(
    start: Start, tmp_path: Path, text: str, code: int | None, number: int | None, reason: str
) -> None:
    job = start({"TEST_RUN": "2"}, command=script(tmp_path, f"echo last words\n{text}\n"))
    end = job.wait()
    assert (end["tag"], end["job_id"], end["run"]) == (TAG, "77", 2)
    assert (end["exit_code"], end["signal"]) == (code, number)
    assert reason in end["reason"]
    assert "last words" in end["lines"]
    assert end["started"] <= end["ended"] <= time.time()
    assert stat.S_IMODE(job.end_file.stat().st_mode) == 0o600
    assert job.process
    assert job.process.returncode == (code if number is None else 128 + number)


def test_a_term_reaches_the_server_and_a_deaf_one_is_killed(start: Start, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    job = start(command=script(tmp_path, f"trap '' TERM\ntouch {ready}\nwhile :; do sleep 0.1; done\n"), grace=1)
    until(ready.exists, "start")
    job.stop()
    assert job.end["signal"] == signal.SIGKILL
    assert job.end["reason"] == "ended from outside (SIGTERM)"


def test_an_end_at_the_walltime_is_told_as_such(start: Start, tmp_path: Path) -> None:
    job = start({"TEST_END": str(int(time.time()) + 30)}, command=["/bin/sleep", "60"])
    until(lambda: children(job), "start")
    job.stop()
    assert job.end["reason"] == "the walltime was reached"


def children(job: Running) -> str:
    assert job.process
    return Path(f"/proc/{job.process.pid}/task/{job.process.pid}/children").read_text()


def test_nothing_of_the_job_outlives_it(start: Start, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    job = start(
        command=script(tmp_path, f"setsid sleep 300 &\necho $! > {pid}.new; mv {pid}.new {pid}\nexec sleep 60\n")
    )
    orphan = int(until(lambda: pid.exists() and pid.read_text(), "orphan"))
    assert os.path.exists(f"/proc/{orphan}")
    job.stop()
    until(lambda: not os.path.exists(f"/proc/{orphan}"), "end of the orphan")


def test_a_refusal_of_the_hub_ends_the_command_with_its_words(start: Start, hub: Hub) -> None:
    hub.answers = [(404, '{"message": "this server was ended"}')]
    assert start(command=SERVE).wait()["reason"] == "the hub refused the server (404): this server was ended"


def test_a_command_that_nobody_uses_ends(start: Start, hub: Hub) -> None:
    assert start(command=SERVE, idle=0.01).wait()["reason"] == "the server was idle for 0.01 minutes"
    assert hub.reports


def test_a_missing_command_is_told_by_its_name(start: Start) -> None:
    assert start(command=["/no/such/program"]).wait()["reason"] == (
        "/no/such/program cannot be started: No such file or directory"
    )


def test_a_secret_that_is_not_there_is_told_by_its_path(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpcspawner.injob import server

    with pytest.raises(server.Failure, match="/no/secret cannot be read"):
        server.read_soon("/no/secret", 0.0)


def test_the_record_of_an_earlier_run_is_gone_while_the_job_runs_again(start: Start, tmp_path: Path, hub: Hub) -> None:
    folder = tmp_path / "job0"
    folder.mkdir()
    (folder / "end.json").write_text('{"run": 0}')
    job = start({"TEST_RUN": "1"}, command=SERVE)
    until(lambda: hub.reports, "report")
    assert hub.reports[0]["run"] == 1
    assert not job.end_file.exists()


def test_a_server_that_ended_because_the_hub_was_away_starts_again(start: Start, hub: Hub, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    # Stands for a Python whose jupyterhub gives up when the hub does not answer.
    python = script(tmp_path, f"echo >> {starts}\n[ $(wc -l < {starts}) -gt 1 ] && exec sleep 60\nexit 1\n")[0]
    hub.down()
    job = start(jupyter=True, python=python, command=None)
    until(lambda: "hub was away" in job.text, "note in the log")
    assert starts.read_text().count("\n") == 1
    hub.up()
    until(lambda: starts.read_text().count("\n") == 2, "second start")


def test_a_server_that_fails_while_the_hub_is_there_is_not_started_again(start: Start, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    python = script(tmp_path, f"echo >> {starts}\nexit 3\n")[0]
    assert start(jupyter=True, python=python, command=None).wait()["exit_code"] == 3
    assert starts.read_text() == "\n"
