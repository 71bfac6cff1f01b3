"""How the hub reaches the helper: what each failure means, what happens when nobody waits any more."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import run_as, ways
from hpcspawner.run_as import HelperError, Helpers
from hpcspawner.sitemodel import Way
from tests.helper.kit import PYTHON, FakeSlurm, make_site

LOG = logging.getLogger("test")


def stand_in(folder: Path, body: str) -> Way:
    """A Python that says where the packed helper is, and then does something else instead of running it."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$*" in *helper_app.py*) echo /dev/null; exit ;; esac\n{body}\n')
    path.chmod(0o755)
    return Way(kind="self", python=str(path))


def helpers(tmp_path: Path, body: str, **changes: Any) -> Helpers:
    return Helpers(make_site(tmp_path, way=stand_in(tmp_path, body), **changes), "main", tmp_path / "hub", LOG)


async def failure(called: Helpers, verb: str, **fields: Any) -> HelperError:
    with pytest.raises(HelperError) as caught:
        await called.call(verb, "", **fields)
    return caught.value


@pytest.mark.parametrize(("verb", "kind"), [("query", "unavailable"), ("cancel", "unavailable"), ("submit", "unknown")])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'no Python here' >&2; exit 127", "exit code 127): no Python here"),
        ("echo garbage", "exit code 0"),
        ("echo '[]'", "exit code 0"),
        ("""echo '{"protocol": 1, "ok": true}'""", "has no result"),
        ("kill -9 $$", "exit code -9"),
        ("exec sleep 100", "in time"),
    ],
)
async def test_a_missing_answer_says_nothing_about_jobs(
    tmp_path: Path, body: str, words: str, verb: str, kind: str
) -> None:
    error = await failure(helpers(tmp_path, body), verb, timeout=0.5 if "sleep" in body else 30)
    assert error.kind == kind
    assert words in str(error)


async def test_the_helpers_own_error_comes_as_it_is(tmp_path: Path) -> None:
    body = """echo '{"protocol":1,"ok":false,"error":{"kind":"folder","text":"cannot write /x: full","path":"/x"}}'"""
    error = await failure(helpers(tmp_path, body), "submit")
    assert (error.kind, str(error), error.path) == ("folder", "cannot write /x: full", "/x")


async def test_an_answer_of_another_protocol_is_refused_in_words(tmp_path: Path) -> None:
    error = await failure(helpers(tmp_path, """echo '{"protocol": 2, "ok": true, "result": {}}'"""), "query")
    assert error.kind == "protocol"
    assert "the hub speaks protocol 1, the installed helper speaks 2" in str(error)


@pytest.mark.parametrize("body", ["exec cat /dev/zero", "printf '[%.0s' $(seq 100000)"])
async def test_no_answer_of_a_users_helper_fills_or_breaks_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(run_as, "MOST", 1_000_000)
    assert (await failure(helpers(tmp_path, body), "query")).kind == "unavailable"


async def test_a_program_that_cannot_be_started_is_said_so(tmp_path: Path) -> None:
    way = Way(kind="sudo", sudo=str(tmp_path / "no-sudo"))
    error = await failure(Helpers(make_site(tmp_path, way=way), "main", tmp_path, LOG), "query")
    assert error.kind == "unavailable"
    assert Helpers(make_site(tmp_path, way=way), "main", tmp_path, LOG).kind == "sudo"


async def test_after_its_time_a_helper_and_its_children_are_ended(tmp_path: Path) -> None:
    body = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    await failure(helpers(tmp_path, body), "query", timeout=0.5)
    # Signalled with its parent; the system may take a moment.
    while not gone(int((tmp_path / "pid").read_text())):
        await asyncio.sleep(0.01)


async def test_a_read_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    called = helpers(tmp_path, f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 1000")
    pid = await cancelled_while_it_runs(called, "query", tmp_path)
    await called.close()
    assert gone(pid)


async def test_a_change_that_nobody_waits_for_goes_on_to_its_end(tmp_path: Path) -> None:
    body = f"""
        echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid
        while ! test -e {tmp_path}/go; do sleep 0.02; done
        touch {tmp_path}/done; echo '{{"protocol": 1, "ok": true, "result": {{}}}}'"""
    called = helpers(tmp_path, body)
    await cancelled_while_it_runs(called, "submit", tmp_path)
    (tmp_path / "go").touch()
    await called.close()
    assert (tmp_path / "done").exists()


async def cancelled_while_it_runs(called: Helpers, verb: str, tmp_path: Path) -> int:
    task = asyncio.ensure_future(called.call(verb, ""))
    while not (tmp_path / "pid").exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return int((tmp_path / "pid").read_text())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] == "Z"
    except FileNotFoundError:
        return True


async def test_nothing_of_the_hubs_environment_reaches_the_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "secret")
    body = (
        f"""env > {tmp_path}/env; echo "$*" > {tmp_path}/argv; echo '{{"protocol": 1, "ok": true, "result": {{}}}}'"""
    )
    await helpers(tmp_path, body).call("submit", "", environment={"TOKEN": "5ecret"})
    told = (tmp_path / "env").read_text() + (tmp_path / "argv").read_text()
    assert "secret" not in told
    assert "5ecret" not in told


async def test_the_real_helper_answers_and_the_probe_is_remembered(tmp_path: Path) -> None:
    fake = FakeSlurm(tmp_path / "bin")
    fake.command("sbatch", "echo slurm 23.11.4")
    way = Way(kind="self", python=PYTHON)
    called = Helpers(make_site(tmp_path, commands=str(fake.folder), way=way), "main", tmp_path / "hub", LOG)
    for _ in range(3):
        assert (await called.call("query", "", ids=["1"]))["jobs"] == {}
    assert called.probed == {"version": "23.11.4", "family": ""}
    assert len(fake.called("sbatch")) == 1
    assert len(fake.called("squeue")) == 3


async def test_the_helper_is_packed_once(tmp_path: Path) -> None:
    site = make_site(tmp_path, way=Way(kind="self", python=PYTHON))
    both = [Helpers(site, "main", tmp_path / "hub", LOG) for _ in range(2)]
    await asyncio.gather(*(called.call("version", "") for called in both for _ in range(2)))
    assert len(list((tmp_path / "hub").glob("helper-*.pyz"))) == 1
    assert not list((tmp_path / "hub").glob(".helper-*"))


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
async def test_where_the_sites_python_is_of_no_use_the_hubs_own_runs_the_helper(tmp_path: Path, python: str) -> None:
    called = Helpers(make_site(tmp_path, way=Way(kind="self", python=python)), "main", tmp_path / "hub", LOG)
    assert (await called.call("version", ""))["protocol"] == 1


async def test_a_hub_that_is_no_root_acts_for_itself_only(tmp_path: Path) -> None:
    with pytest.raises(HelperError, match="cannot act for somebody") as caught:
        await helpers(tmp_path, "true").call("query", "somebody")
    assert caught.value.kind == "forbidden"


def test_an_unknown_way_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clusters\.main\.way\.kind: 'carrier-pigeon' is not known"):
        Helpers(make_site(tmp_path, way=Way(kind="carrier-pigeon")), "main", tmp_path, LOG)


def test_auto_means_root_for_root_and_self_else(tmp_path: Path) -> None:
    assert Helpers(make_site(tmp_path), "main", tmp_path, LOG).kind == ("root" if os.geteuid() == 0 else "self")


def test_sudo_gets_the_user_as_one_word_and_nothing_for_the_hub_itself() -> None:
    way = Way(kind="sudo")
    helper = ["/usr/bin/python3", "-I", "-S", "/opt/hpcspawner/helper.pyz"]
    assert ways.WAYS["sudo"](way, "alice", "", "") == ["/usr/bin/sudo", "-n", "-u", "alice", "--", *helper]
    assert ways.WAYS["sudo"](way, "", "", "") == helper


def test_ssh_asks_nothing_and_trusts_the_pinned_key_only() -> None:
    way = Way(kind="ssh", host="login1:2222", account="hpc", identity="/k", known_hosts="/h")
    argv = ways.WAYS["ssh"](way, "alice", "", "/s")
    assert argv[-2:] == ["--", "login1"]
    assert argv[argv.index("-p") + 1] == "2222"
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=/h", "ControlPath=/s"):
        assert option in argv
    assert "alice" not in argv


def test_a_folder_that_users_cannot_enter_is_not_taken_for_the_helper_of_root(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir(mode=0o700)
    assert not ways.open_to_users(tmp_path / "hub")
    assert ways.open_to_users(Path("/usr/bin"))


@pytest.mark.other_user
async def test_root_reaches_every_user_from_a_private_state_directory(tmp_path: Path, shared: Path) -> None:
    fake = FakeSlurm(shared / "bin")
    fake.command("squeue", f"touch {shared}/ran-$(id -un)")
    (tmp_path / "hub").mkdir(mode=0o700)
    called = Helpers(make_site(shared, commands=str(fake.folder)), "main", tmp_path / "hub", LOG)
    called.probed = {"version": "22.05.8", "family": ""}
    for user in ("alice", "bob"):
        await called.call("query", user, ids=["1"])
        assert (shared / f"ran-{user}").owner() == user
    program = Path(called._program)
    assert program.owner() == "root"
    assert stat.S_IMODE(program.stat().st_mode) == 0o644
    assert pwd.getpwuid(program.parent.stat().st_uid).pw_name == "root"
