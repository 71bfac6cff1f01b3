"""A hub without scheduler, users, homes or munge: all of that is on a submit host, reached by one connection of ssh."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from . import manyservers as many
from .conftest import HELPERS, Hubs, job_facts, squeue, sudoers
from .hub import Hub, free_port, until

pytestmark = [pytest.mark.strict_too, pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

ACCOUNT = "hpcsubmit"
MEMBER = {"profile": "member"}
PROFILES = """
  member:
    title: For a group that only the submit host knows
    rules: {{groups: [hpcusers]}}
    fields: {{partition: main, cores: 1, memory: 500M, walltime: "00:20:00", app: stub}}
  closed:
    title: For nobody here
    rules: {{groups: [nosuchgroup]}}
    fields: {{partition: main}}
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
"""

SSHD = """
ListenAddress {address}
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {keys}/authorized
LogLevel VERBOSE
PidFile none
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
"""

# What a machine is that has nothing to do with the cluster: no accounts, no homes, no commands, no keys of munge.
ELSEWHERE = """#!/bin/sh
set -e
mount -t tmpfs none /home
mount -t tmpfs none {sandbox}
mount -t tmpfs none {jobs}
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/group /etc/group
for name in sbatch squeue scancel scontrol sinfo sacct sudo; do
    mount --bind /dev/null "/usr/bin/$name"
done
exec "$@"
"""


class SubmitHost:
    """An sshd with a configuration of its own, whose only key leads to the helper's gate."""

    def __init__(self, folder: Path, keys: Path, helper: Path) -> None:
        self.folder, self.address = folder, os.environ["HPCSPAWNER_SANDBOX_HUB"]
        self.port = free_port(self.address)
        self.log = folder / "sshd.log"
        self._sshd: subprocess.Popen[bytes] | None = None
        keys.mkdir(parents=True, exist_ok=True)
        for name in ("host", "other", "hub"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        command = f'restrict,command="/usr/bin/python3 -I -S {helper} gate"'
        (keys / "authorized").write_text(f"{command} {(folder / 'hub.pub').read_text()}")
        key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known").write_text(f"[{self.address}]:{self.port} {key}\n")
        for name in ("hub", "known"):
            shutil.chown(folder / name, "jupyterhub")
        text = SSHD.format(address=self.address, port=self.port, folder=folder, keys=keys)
        (folder / "config").write_text(text)
        # sshd's own room; the package makes it at boot.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def start(self) -> None:
        argv = ["/usr/sbin/sshd", "-D", "-f", str(self.folder / "config"), "-E", str(self.log)]
        self._sshd = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        until(self._listens, "sshd listens")

    def _listens(self) -> bool:
        return any(c.status == psutil.CONN_LISTEN and c.laddr.port == self.port for c in psutil.net_connections("tcp"))

    def stop(self) -> None:
        """The host is gone, with all that was connected."""
        if self._sshd is None:
            return
        for process in [*psutil.Process(self._sshd.pid).children(recursive=True), self._sshd]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._sshd.wait()
        self._sshd = None

    def swap_keys(self) -> None:
        """The host comes back with another key, and the next time with its own."""
        for name in ("host", "host.pub"):
            old, new = self.folder / name, self.folder / name.replace("host", "other")
            between = self.folder / "between"
            old.rename(between)
            new.rename(old)
            between.rename(new)

    def count(self, what: str) -> int:
        return len(re.findall(what, self.log.read_text()))

    @property
    def connections(self) -> int:
        return self.count("Accepted publickey")

    @property
    def calls(self) -> int:
        return self.count("Starting session: forced-command")


def way(host: SubmitHost) -> str:
    """For the site file."""
    folder = host.folder
    return (
        f"way: {{kind: ssh, host: '{host.address}:{host.port}', account: {ACCOUNT}, "
        f"identity: {folder}/hub, known_hosts: {folder}/known, helper: "
    )


def without_users(file: str) -> str:
    """Its lines about nobody of the cluster."""
    return "".join(x for x in Path(file).read_text().splitlines(True) if not re.match("(alice|bob|hpcusers):", x))


@pytest.fixture(scope="module")
def far(hubs: Hubs) -> Iterator[tuple[Hub, SubmitHost]]:
    folder = hubs.base / f"submit-host-{secrets.token_hex(2)}"
    folder.mkdir(mode=0o755)
    stub = folder / "stub.py"
    stub.write_text(many.STUB)
    for name in ("passwd", "group"):
        (folder / name).write_text(without_users(f"/etc/{name}"))
    hosts: list[SubmitHost] = []

    def edit(text: str) -> str:
        helper = Path(re.search(r"helper: (\S+)}", text).group(1))  # type: ignore[union-attr]
        # Beside the helper: sshd trusts no list of keys below a folder that others can write.
        hosts.append(SubmitHost(folder, helper.parent, helper))
        return text.replace("way: {kind: sudo, helper: ", way(hosts[0]))

    script = folder / "elsewhere"
    within = ("unshare", "--mount", "--propagation", "private", str(script))
    hub = hubs.slurm(edit=edit, more=PROFILES.format(stub=stub), within=within)
    sandbox = os.environ["HPCSPAWNER_SANDBOX"]
    script.write_text(ELSEWHERE.format(jobs=hub.jobs, folder=folder, sandbox=sandbox))  # type: ignore[attr-defined]
    script.chmod(0o755)
    # Only the account of the submit host may act for users, the hub's own may nothing.
    rule = sudoers(HELPERS / hub.prefix / "helper.pyz")  # type: ignore[attr-defined]
    rule.write_text(rule.read_text().replace("jupyterhub ALL=", f"{ACCOUNT} ALL="))
    hosts[0].start()
    try:
        yield hub.start(), hosts[0]
    finally:
        hub.close()
        hosts[0].stop()


@pytest.fixture(autouse=True)
def cleanup(far: tuple[Hub, SubmitHost]) -> Iterator[None]:
    yield
    hub, _ = far
    for user in ("alice", "bob"):
        for name in ("", "more"):
            if hub.server(user, name) and not hub.server(user, name).get("stopped"):
                hub.delete(user, name)
                hub.stopped(user, name)
    until(lambda: not mine(hub), "no job is left")


def mine(hub: Hub) -> list[dict[str, str]]:
    return [row for row in squeue() if hub.prefix in row["name"]]  # type: ignore[attr-defined]


def form(hub: Hub, user: str) -> str:
    """The page on which a server is chosen, as that user's browser gets it."""
    session = requests.Session()
    page = session.get(f"{hub.url}/hub/login", timeout=30)
    token = re.search(r'name="_xsrf" value="([^"]*)"', page.text)
    fields = {"username": user, "password": "x", "_xsrf": token.group(1) if token else ""}
    assert session.post(f"{hub.url}/hub/login", data=fields, timeout=30).ok
    answer = session.get(f"{hub.url}/hub/spawn/{user}/more", timeout=60)
    assert answer.status_code == 200
    return answer.text


def test_the_hub_sees_nothing_of_the_cluster(far: tuple[Hub, SubmitHost]) -> None:
    hub, _ = far
    look = "ls /home; id alice; squeue; echo end"
    seen = subprocess.run(
        ["nsenter", f"--mount=/proc/{hub.pid}/ns/mnt", "sh", "-c", look], capture_output=True, text=True
    )
    assert seen.stdout == "end\n"
    assert "no such user" in seen.stderr


def test_a_server_starts_outlives_the_hub_and_stops_over_one_connection(far: tuple[Hub, SubmitHost]) -> None:
    hub, host = far
    hub.ask("alice", MEMBER)
    hub.ready("alice")
    job = hub.job("alice")
    assert [(row["id"], row["user"]) for row in mine(hub)] == [(job, "alice")]
    hub.restart()
    hub.ready("alice")
    assert hub.job("alice") == job
    until(lambda: hub.visit("alice").ok, "the route is there")
    hub.ask("bob", MEMBER)
    hub.ready("bob")
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")
    until(lambda: [row["user"] for row in mine(hub)] == ["bob"], "the job is cancelled")
    assert host.connections == 1
    assert host.calls > 6


def test_groups_come_from_the_submit_host(far: tuple[Hub, SubmitHost]) -> None:
    hub, _ = far
    page = form(hub, "alice")
    assert "For a group that only the submit host knows" in page
    assert "For nobody here" not in page
    assert hub.ask("alice", {"profile": "closed"}).status_code == 400


@pytest.mark.parametrize("trouble", ["away", "other key"])
@pytest.mark.timeout(400)
def test_a_submit_host_that_is_not_there_is_an_outage(far: tuple[Hub, SubmitHost], trouble: str) -> None:
    hub, host = far
    hub.ask("alice", MEMBER)
    hub.ready("alice")
    job = hub.job("alice")
    host.stop()
    if trouble == "other key":
        host.swap_keys()
        host.start()
    calls = host.calls
    words = "cannot be reached" if trouble == "away" else "does not show the key"
    try:
        assert "Choose yourself" in form(hub, "alice")
        hub.ask("bob", MEMBER)
        hub.stopped("bob")
        assert words in hub.failure("bob")
        hub.restart()
        hub.ready("alice")
        until(lambda: hub.visit("alice").ok, "the route is there")
        assert job_facts(job)["JobState"] == "RUNNING"
        assert host.calls == calls
    finally:
        host.stop()
        if trouble == "other key":
            host.swap_keys()
        host.start()
    hub.ask("bob", MEMBER)
    hub.ready("bob")
    assert hub.job("alice") == job
    assert hub.server("alice")["ready"]
    assert host.calls > calls
