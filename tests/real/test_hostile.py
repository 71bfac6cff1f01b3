"""Users who attack the hub, other users and the proxy: on a real hub at DEBUG, on Slurm, through sudo."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from . import manyservers
from .conftest import Hubs, squeue
from .hub import Hub, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

MARK = "<script>alert('mark')</script>"
MORE = """
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
  loud: {{title: "{mark}", command: [/usr/bin/python3, -S, -E, {loud}, "{{port}}"], url: /}}
"""
DEBUG = """
c.JupyterHub.log_level = "DEBUG"
c.ConfigurableHTTPProxy.debug = True
c.JupyterHub.named_server_limit_per_user = 0
"""
STUB = {"profile": "small", "app": "stub"}


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    files = {"stub": manyservers.STUB, "loud": f"print({MARK!r}, flush=True)\nraise SystemExit(3)\n"}
    for name, text in files.items():
        (hubs.base / f"{name}.py").write_text(text)
        (hubs.base / f"{name}.py").chmod(0o644)
    more = MORE.format(stub=hubs.base / "stub.py", loud=hubs.base / "loud.py", mark=MARK)
    return hubs.slurm(more=more, extra=DEBUG).start()


def running(hub: Hub, user: str) -> tuple[str, str]:
    """A server of that user that runs the stub; its tag and its token."""
    if not hub.server(user).get("ready"):
        hub.ask(user, STUB)
        hub.ready(user)
    tag = str(hub.server(user)["state"]["tag"])
    return tag, secret(hub, user, tag)


def secret(hub: Hub, user: str, tag: str) -> str:
    path: Path = hub.jobs / user / "jobs" / tag / "secret.json"  # type: ignore[attr-defined]
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, pwd.getpwnam(user).pw_uid)
    return str(json.loads(path.read_text())["JUPYTERHUB_API_TOKEN"])


def jobs(hub: Hub) -> set[str]:
    return {row["id"] for row in squeue() if hub.prefix in row["name"]}  # type: ignore[attr-defined]


def user_token(hub: Hub, user: str) -> str:
    hub.add_user(user)
    return str(hub.call("POST", f"/users/{user}/tokens", json={}).json()["token"])


@contextlib.contextmanager
def watched(uid: int) -> Iterator[list[bytes]]:
    """Collects the command line of every process of the machine, and the environment of those of others than uid."""
    seen: set[bytes] = set()
    found: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    with contextlib.suppress(OSError):
                        seen.add((process / "cmdline").read_bytes())
                        if process.stat().st_uid != uid:
                            seen.add((process / "environ").read_bytes())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.extend(seen)


def test_a_servers_token_is_in_its_file_and_nowhere_else_and_ends_with_the_job(hub: Hub) -> None:
    with watched(pwd.getpwnam("alice").pw_uid) as seen:
        hub.ask("alice", {"profile": "small"})
        hub.ready("alice")
    job, tag = hub.job("alice"), str(hub.server("alice")["state"]["tag"])
    token = secret(hub, "alice", tag)
    assert hub.call("GET", "/user", token=token).json()["name"] == "alice"
    records = [["scontrol", "show", "job", "-dd", job], ["scontrol", "write", "batch_script", job, "-"]]
    records.append(["squeue", "-j", job, "-O", "ALL"])
    told = [subprocess.run(words, capture_output=True, check=True, timeout=60).stdout for words in records]
    assert not [text for text in (*seen, *told) if token.encode() in text]
    # The hub's log at DEBUG, database and journal; the job's other files and log; Slurm's own logs and state.
    where = [hub.directory, hub.jobs, os.environ["HPCSPAWNER_SANDBOX"], "/var/log", "/run/log"]  # type: ignore[attr-defined]
    assert "DEBUG" in hub.log() or "[D " in hub.log()
    holders = ["grep", "-rlFs", "--devices=skip", token, *(str(path) for path in where if Path(path).exists())]
    found = subprocess.run(holders, capture_output=True, text=True, timeout=60, check=False).stdout.split()
    assert [Path(path).name for path in found] == ["secret.json"]

    hub.restart()
    hub.ready("alice")
    assert hub.call("GET", "/user", token=token).status_code == 200
    hub.delete("alice")
    hub.stopped("alice")
    until(lambda: not Path(found[0]).parent.exists(), "the job's folder is gone")
    until(lambda: hub.call("GET", "/user", token=token).status_code == 403, "the token is revoked")


REPORTS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"host": "127.0.0.1"}, (403,)),
    ({"host": "localhost"}, (403,)),
    ({"host": "169.254.169.254"}, (403,)),
    ({"host": "[::1]"}, (400,)),
    ({"host": "203.0.113.9"}, (403,)),
    ({"host": "n1.evil.example"}, (403,)),
    ({"host": "2130706433"}, (400,)),
    ({"host": "n1/../x?@127.0.0.1:80#"}, (400,)),
    ({"host": ["n1"]}, (400,)),
    ({"port": 22}, (403,)),
    ({"port": 1 << 70}, (400,)),
    ({"url_scheme": "file"}, (400,)),
    ({"run": -1}, (400,)),
    ({"cmd": ["sh"]}, (400,)),
]


def test_no_report_leads_the_proxy_elsewhere(hub: Hub) -> None:
    tag, token = running(hub, "alice")
    _, bobs = running(hub, "bob")
    before = hub.server("alice")["state"]
    good = {"protocol": 1, "tag": tag, "job_id": hub.job("alice"), "run": 0, "url_scheme": "http", "port": 9999}
    good["host"] = before["url"].split("//")[1].split(":")[0]

    def report(body: Any, token: str) -> requests.Response:
        return hub.call("POST", "/batchspawner", token=token, json=body)

    for change, statuses in [*REPORTS, ({"host": hub.ip}, (403,)), ({}, (409,))]:
        answer = report({**good, **change}, token)
        assert answer.status_code in statuses, (change, answer.text)
    assert report({**good, "tag": hub.server("bob")["state"]["tag"]}, token).status_code == 403
    for body in (good, {**good, "job_id": ""}):
        assert report(body, bobs).status_code == 403
        assert report(body, user_token(hub, "bob")).status_code == 404
        assert report(body, hub.token).status_code == 403
        assert report(body, "made-up").status_code == 403
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert hub.call(method, "/batchspawner", token=token).status_code in (403, 404, 405)
    assert report({**good, "job_id": "x" * 10_000}, token).status_code == 413
    assert hub.server("alice")["state"] == before


def test_a_user_reaches_nothing_of_another_user_and_nothing_of_an_admin(hub: Hub) -> None:
    tag, _ = running(hub, "alice")
    token, server_token = user_token(hub, "bob"), running(hub, "bob")[1]
    before = jobs(hub)
    calls = [
        *(("POST", f"/users/alice/{path}") for path in ("server", "servers/x", "tokens", "activity")),
        *(("DELETE", f"/users/alice/{path}") for path in ("server", "servers/x")),
        *(("GET", f"/users/alice{path}") for path in ("", "/tokens", "/server/progress")),
        *(("GET", f"/hpcspawner/{path}") for path in ("health", "jobs")),
        *(("POST", f"/hpcspawner/jobs/{tag}/{verb}") for verb in ("adopt", "forget")),
        *(("POST", f"/hpcspawner/clusters/main/{verb}") for verb in ("drain", "resume")),
    ]
    for method, path in calls:
        for held in (token, server_token, "made-up"):
            answer = hub.call(method, path, token=held, **({"json": {"cancel": True}} if method == "POST" else {}))
            assert answer.status_code in (403, 404), (method, path, answer.text)
    session = login(hub, "bob")
    for path in ("spawn/alice", "spawn/alice/x", "spawn-pending/alice", f"spawn/alice?opt-tag={tag}"):
        assert session.get(f"{hub.url}/hub/{path}", timeout=30).status_code in (403, 404)
    data = {"profile": "small", "_xsrf": session.cookies.get("_xsrf", path="/hub/")}
    assert session.post(f"{hub.url}/hub/spawn/alice/x", data=data, timeout=30).status_code in (403, 404)
    assert session.get(f"{hub.url}/user/alice/", timeout=30, allow_redirects=True).status_code != 500
    assert jobs(hub) == before
    assert hub.server("alice")["ready"]


def login(hub: Hub, user: str) -> requests.Session:
    session = requests.Session()
    session.get(f"{hub.url}/hub/login", timeout=30)
    data = {"username": user, "password": "x", "_xsrf": session.cookies["_xsrf"]}
    assert session.post(f"{hub.url}/hub/login", data=data, timeout=30, allow_redirects=False).status_code == 302
    return session


NASTY = [
    "$(touch {0})",
    "`touch {0}`",
    "'; touch {0} #",
    "a\n#SBATCH --uid=0",
    "\u202e\ud7ff",
    "../../x",
    "-p",
    MARK,
    "x" * 9000,
]


def test_no_value_of_an_option_gets_further_than_its_check(hub: Hub, hubs: Hubs) -> None:
    mark = Path("/var/tmp") / f"pwned-{hub.prefix}"  # type: ignore[attr-defined]
    before = jobs(hub)
    session = login(hub, "bob")
    for number, text in enumerate(NASTY):
        value = text.replace("{0}", str(mark))
        for option in ("profile", "partition", "account", "qos", "reservation", "workdir", "app", "cores", value[:50]):
            answer = hub.ask("bob", {option: value}, "bad")
            assert answer.status_code == 400, (option, answer.text)
        for options in ([value], value, {"cores": {"a": value}}, {"cores": [1, 2]}, {"cores": 10**30}, {"cores": True}):
            assert hub.ask("bob", options, "bad").status_code == 400, options  # type: ignore[arg-type]
        if number % 3 == 0:
            page = session.get(f"{hub.url}/hub/spawn/bob/bad", params={"opt-account": value}, timeout=30)
            data = {"profile": "free", "free.account": value, "_xsrf": session.cookies.get("_xsrf", path="/hub/")}
            posted = session.post(f"{hub.url}/hub/spawn/bob/bad", data=data, timeout=30)
            assert {page.status_code, posted.status_code} <= {200, 400}
            assert MARK not in page.text + posted.text
    assert jobs(hub) == before
    assert not mark.exists()


def test_no_name_of_a_server_is_a_shell_word_or_a_line_of_the_log(hub: Hub) -> None:
    hub.add_user("bob")
    for name in ('we\'ird "$(touch /var/tmp/pwned)" ;#&', "größe-日本-\u202e", "a\n[I forged] line", MARK, "x" * 300):
        quoted = requests.utils.quote(name, safe="")  # type: ignore[attr-defined]
        assert hub.call("POST", f"/users/bob/servers/{quoted}", json=STUB).status_code in (400, 404)
    # The name of a server is a slug since JupyterHub 6; what a user calls it besides may be anything.
    odd, shown = "a-1b", f"{MARK} $(touch /var/tmp/pwned)"
    answer = hub.call("POST", f"/users/bob/servers/{odd}", json={"display_name": shown, "user_options": STUB})
    assert answer.status_code in (201, 202), answer.text
    hub.ready("bob", odd)
    assert MARK not in login(hub, "bob").get(f"{hub.url}/hub/home", timeout=30).text
    hub.delete("bob", odd)
    hub.stopped("bob", odd)
    assert not Path("/var/tmp/pwned").exists()
    assert "\n[I forged]" not in hub.log()


def test_a_strangers_job_with_our_name_is_left_alone_and_is_no_server(hub: Hub) -> None:
    tag, _ = running(hub, "alice")
    job = hub.job("alice")
    words = ["sbatch", "--parsable", "-J", tag, "-o", "/dev/null", "-t", "5", "--mem=50M", "--wrap", "sleep 300"]
    as_bob = ["setpriv", "--reuid=bob", "--regid=bob", "--init-groups", *words]
    other = subprocess.run(as_bob, cwd="/", check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    try:
        hub.restart()
        hub.ready("alice")
        assert hub.job("alice") == job
        hub.delete("alice")
        hub.stopped("alice")
        until(lambda: job not in jobs(hub), "alice's job has ended")
        assert other in jobs(hub)
    finally:
        subprocess.run(["scancel", other], check=False, timeout=60)


def test_lines_of_a_job_are_text_on_every_page(hub: Hub) -> None:
    hub.ask("bob", {"profile": "small", "app": "loud"}, "loud")

    def failed() -> bool:
        server = hub.server("bob", "loud")
        return bool(server.get("stopped")) and not server.get("pending")

    until(failed, "the start has failed")
    session = login(hub, "bob")
    # The form is last: the hub forgets the failure when it draws that.
    pages = {
        x: session.get(f"{hub.url}/hub/{x}", timeout=30).text for x in ("spawn-pending/bob/loud", "spawn/bob/loud")
    }
    assert "&lt;script&gt;alert(" in pages["spawn-pending/bob/loud"]
    assert not [path for path, text in pages.items() if MARK in text]
