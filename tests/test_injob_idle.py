"""Rules of when a server counts as idle, and as unclaimed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcspawner.injob import hpcspawner_idle as idle

from .injobkit import until

START = 1_000_000.0


@pytest.mark.parametrize(
    ("limits", "now", "worked", "claimed", "reason"),
    [
        ({}, 1e9, 0.0, False, None),
        ({"idle": 30}, START + 1799, START, True, None),
        ({"idle": 30}, START + 1800, START, True, "the server was idle for 30 minutes"),
        ({"idle": 30}, START + 1800, START + 60, True, None),
        ({"idle": 1}, START + 60, 0.0, True, "the server was idle for 1 minute"),
        ({"unclaimed": 5}, START + 300, START, False, "nobody opened the server for 5 minutes"),
        ({"unclaimed": 5}, START + 300, START, True, None),
        ({"unclaimed": 5, "idle": 30}, START + 299, START, False, None),
        ({"unclaimed": 60, "idle": 30}, START + 1800, START, False, "the server was idle for 30 minutes"),
    ],
)
def test_a_server_ends_when_a_limit_is_reached_and_not_before(
    limits: dict[str, float], now: float, worked: float, claimed: bool, reason: str | None
) -> None:
    assert idle.verdict(now, worked, claimed, START, limits) == reason


def test_a_look_is_never_rarer_than_a_minute_nor_too_rare_for_the_limit() -> None:
    assert idle.interval({"idle": 600}) == 60.0
    assert idle.interval({"idle": 5, "unclaimed": 600}) == 30.0
    assert idle.interval({}) == 60.0


class Server:
    """The few parts of a Jupyter server that are looked at."""

    def __init__(self) -> None:
        self.kernels: list[dict[str, Any]] = []
        self.terminals: dict[str, Any] = {}
        self.logged: list[Any] = []
        manager = SimpleNamespace(terminals=self.terminals)
        self.kernel_manager = SimpleNamespace(list_kernels=lambda: self.kernels)
        self.web_app = SimpleNamespace(settings={"terminal_manager": manager, "log_function": self.logged.append})

    def request(self, method: str, path: str, user: object = "alice", status: int = 200) -> None:
        request = SimpleNamespace(method=method, path=path)
        handler = SimpleNamespace(request=request, _current_user=user, get_status=lambda: status)
        self.web_app.settings["log_function"](handler)


@pytest.fixture
def server() -> Server:
    return Server()


def watch(server: Server, **limits: Any) -> idle.Watch:
    return idle.Watch(server, {"idle": 10, **limits}, START)


LATE = START + 700


def test_a_busy_kernel_is_work_and_a_kernel_at_rest_is_not(server: Server) -> None:
    server.kernels = [{"execution_state": "busy", "last_activity": "1970-01-01T00:00:00Z"}]
    watching = watch(server)
    assert watching.look(LATE) is None
    server.kernels[0]["execution_state"] = "idle"
    assert watching.look(LATE + 599) is None
    assert watching.look(LATE + 600)


@pytest.mark.parametrize("as_text", [True, False])
def test_the_last_message_of_a_kernel_is_work(server: Server, as_text: bool) -> None:
    when = datetime.fromtimestamp(LATE, timezone.utc)
    server.kernels = [
        {"execution_state": "idle", "last_activity": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if as_text else when}
    ]
    assert watch(server).look(LATE + 599) is None
    assert watch(server).look(LATE + 600)


def test_an_open_tab_is_no_work_but_claims_the_server(server: Server) -> None:
    watching = watch(server, unclaimed=5)
    server.request("GET", "/user/alice/api/kernels")
    assert watching.claimed
    assert watching.look(LATE) == "the server was idle for 10 minutes"
    assert len(server.logged) == 1


@pytest.mark.parametrize(("user", "status"), [(None, 200), ("alice", 403)])
def test_a_question_without_a_login_claims_nothing(server: Server, user: object, status: int) -> None:
    watching = watch(server, unclaimed=5)
    server.request("GET", "/user/alice/api", user, status)
    assert watching.look(START + 301) == "nobody opened the server for 5 minutes"


def test_a_saved_file_is_work(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = watch(server)
    server.request("PUT", "/user/alice/api/contents/a.ipynb")
    now = datetime.now().timestamp()
    assert watching.look(now + 599) is None
    assert watching.look(now + 601)


@pytest.fixture
def shell() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(["/bin/bash"], stdin=subprocess.PIPE, text=True) as shell:
        yield shell
        shell.kill()


def test_a_terminal_with_a_program_is_work_and_one_at_its_prompt_is_not(
    server: Server, shell: subprocess.Popen[str]
) -> None:
    server.terminals["1"] = SimpleNamespace(ptyproc=SimpleNamespace(pid=shell.pid), last_activity=None)
    assert watch(server).look(LATE)
    assert shell.stdin
    shell.stdin.write("sleep 100 & echo\n")
    shell.stdin.flush()
    until(lambda: Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text(), "child")
    assert watch(server).look(LATE) is None
    shell.stdin.write("kill %1; wait\n")
    shell.stdin.flush()


def test_a_dask_cluster_that_tells_is_work_for_three_minutes(server: Server, tmp_path: Path) -> None:
    mark = tmp_path / "dask-1"
    mark.touch()
    os.utime(mark, (LATE, LATE))
    assert watch(server, busy=str(tmp_path)).look(LATE + 179) is None
    assert watch(server, busy=str(tmp_path)).look(LATE + 181)
    assert watch(server, busy=str(tmp_path / "none")).look(LATE)
