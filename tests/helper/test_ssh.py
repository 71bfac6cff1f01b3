"""A hub without accounts, scheduler or homes: everything happens on a submit host, reached by a real sshd."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcspawner.run_as import HelperError, Helpers
from hpcspawner.sitemodel import Site, Way
from tests.helper.installed import installed, sudo_rule
from tests.helper.kit import FakeSlurm, make_site, new_tag

SSHD = os.environ.get("HPCSPAWNER_TEST_SSHD") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or ""

pytestmark = [
    pytest.mark.other_user,
    pytest.mark.skipif(not SSHD, reason="there is no sshd: install openssh-server"),
]

CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
ForceCommand /usr/bin/python3 -I -S {program} gate
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
AllowTcpForwarding no
"""


@dataclasses.dataclass
class SubmitHost:
    """An sshd of the service account bob, which may act for users by sudo."""

    folder: Path
    site: Site
    slurm: FakeSlurm
    sshd: subprocess.Popen[bytes]

    def helpers(self, hub: Path, **changes: str) -> Helpers:
        way = dataclasses.replace(self.site.clusters["main"].way, **changes)
        cluster = dataclasses.replace(self.site.clusters["main"], way=way)
        return Helpers(dataclasses.replace(self.site, clusters={"main": cluster}), "main", hub, logging.getLogger())


@pytest.fixture
def host(shared: Path) -> Iterator[SubmitHost]:
    folder = shared / "sshd"
    folder.mkdir(mode=0o755)
    for name in ("host", "hub"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "hub.pub", folder / "authorized")
    shutil.chown(folder / "host", "bob")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    slurm = FakeSlurm(shared / "bin")
    way = Way(
        kind="ssh",
        host=f"127.0.0.1:{port}",
        account="bob",
        identity=str(folder / "hub"),
        known_hosts=str(folder / "known"),
    )
    site = make_site(shared, commands=str(slurm.folder), way=way)
    with installed(site) as program, sudo_rule(program, account="bob"):
        (folder / "config").write_text(CONFIG.format(port=port, folder=folder, program=program))
        argv = [SSHD, "-D", "-f", str(folder / "config"), "-E", f"{shared}/sshd.log"]
        sshd = subprocess.Popen(argv, user="bob", group="bob", extra_groups=[])
        try:
            listening(port)
            yield SubmitHost(folder, site, slurm, sshd)
        finally:
            sshd.terminate()
            sshd.wait(10)


def listening(port: int) -> None:
    limit = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < limit, "sshd does not listen"
            time.sleep(0.05)


@pytest.fixture
def hub() -> Iterator[Path]:
    """A short path, as a hub's state directory has one."""
    folder = Path("/tmp") / f"hub-{os.getpid()}"
    folder.mkdir(mode=0o700)
    yield folder
    for socket_file in folder.glob("ssh/*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket_file}", "-O", "exit", "x"], check=False, capture_output=True)
    shutil.rmtree(folder)


async def test_a_job_is_submitted_for_a_user_of_the_submit_host(host: SubmitHost, hub: Path, shared: Path) -> None:
    helpers = host.helpers(hub)
    fields = {"choice": {"partition": "main"}, "environment": {"TOKEN": "5ecret"}}
    answer = await helpers.call("submit", "alice", tag=new_tag(), **fields)
    assert answer["outcome"] == "accepted"
    assert (shared / "alice").owner() == "alice"
    assert (await helpers.call("account", "", name="alice"))["home"] == "/home/alice"


async def test_all_calls_share_one_connection(host: SubmitHost, hub: Path, shared: Path) -> None:
    helpers = host.helpers(hub)
    await asyncio.gather(*(helpers.call("query", user, ids=["1"]) for user in ("alice", "", "alice", "")))
    accepted = [line for line in (shared / "sshd.log").read_text().splitlines() if "Accepted publickey" in line]
    assert len(accepted) == 1


async def test_another_host_key_than_the_pinned_one_is_refused(host: SubmitHost, hub: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.folder / "other")], check=True)
    other = (host.folder / "other.pub").read_text().split()
    known = host.folder / "known"
    known.write_text(f"{known.read_text().split()[0]} {other[0]} {other[1]}\n")
    with pytest.raises(HelperError, match=r"does not show the key that .*/known has for it") as caught:
        await host.helpers(hub).call("query", "alice", ids=["1"])
    assert caught.value.kind == "unavailable"


async def test_a_host_that_is_away_is_an_outage_and_no_submit_happened(host: SubmitHost, hub: Path) -> None:
    host.sshd.terminate()
    host.sshd.wait(10)
    for verb in ("query", "submit"):
        with pytest.raises(HelperError, match="cannot be reached") as caught:
            await host.helpers(hub).call(verb, "alice", tag=new_tag())
        assert caught.value.kind == "unavailable"


async def test_a_user_whom_sudo_does_not_permit_is_refused_in_words(host: SubmitHost, hub: Path) -> None:
    with pytest.raises(HelperError, match="sudo does not let") as caught:
        await host.helpers(hub).call("query", "jupyterhub", ids=["1"])
    assert caught.value.kind == "forbidden"


async def test_the_key_opens_nothing_but_the_gate(host: SubmitHost, hub: Path, shared: Path) -> None:
    way = host.site.clusters["main"].way
    address, port = way.host.split(":")
    argv = ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={way.known_hosts}", "-i", way.identity, "-p", port]
    done = subprocess.run(
        [*argv, "-l", "bob", address, f"touch {shared}/broken-out"], input=b"{}", capture_output=True, check=False
    )
    assert b'"kind": "protocol"' in done.stdout
    assert not (shared / "broken-out").exists()
