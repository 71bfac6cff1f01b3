"""Careful sites: hidden jobs and partitions, filters that change or refuse jobs, a prolog that fails."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Hubs, job_facts, squeue
from .hub import Hub, listening, until

pytestmark = [pytest.mark.strict, pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

PARTITIONS = """\
      short: {omit: [walltime]}
      secret: {}
      members: {}
      broken: {}
"""
PROFILES = """
  moved:
    title: Moved by the site's filter
    directives: --comment=REROUTE-secret
    fields: {partition: main, cores: 1, memory: 500M, walltime: "00:20:00"}
  broken:
    title: On a node that cannot be prepared
    fields: {partition: broken, cores: 1, memory: 500M, walltime: "00:20:00"}
  again:
    title: The same, and it may be requeued
    requeue: true
    fields: {partition: broken, cores: 1, memory: 500M, walltime: "00:20:00"}
"""
SMALL = {"profile": "small"}


def strict_site(text: str) -> str:
    return text.replace("      short: {}\n", PARTITIONS)


def with_commands(folder: Path) -> Callable[[str], str]:
    """A site that finds the scheduler's commands in that folder."""

    def change(text: str) -> str:
        return text.replace("    scheduler: slurm\n", f"    scheduler: slurm\n    commands: {folder}\n")

    return change


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    return hubs.slurm(edit=strict_site, more=PROFILES).start()


@pytest.fixture(scope="module", autouse=True)
def left_alone(hubs: Hubs) -> tuple[Hub, str]:
    """A hub that was killed while its server had a minute to live, and the job; made early, since a minute is long."""
    other = hubs.slurm().start()
    other.ask("alice", {"partition": "main", "walltime": "00:01:00"})
    other.ready("alice")
    job = other.job("alice")
    other.kill()
    return other, job


@pytest.fixture(autouse=True)
def cleanup(hub: Hub) -> Iterator[None]:
    yield
    for user in ("alice", "bob"):
        answer = hub.call("GET", f"/users/{user}")
        for name in answer.json().get("servers", {}) if answer.ok else ():
            hub.delete(user, name)
            hub.stopped(user, name)
    until(lambda: not mine(hub), "no job is left")


def sinfo(format: str) -> str:
    command = ["sinfo", "-h", "-p", "broken", "-o", format]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def broken_node() -> str:
    """The node on which the prolog fails, ready for the next victim: Slurm drains it after each failure."""
    node = sinfo("%N")

    def idle() -> bool:
        # In vain, and to be repeated, while the former job is still being cleared away.
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False, capture_output=True)
        return sinfo("%T") == "idle"

    until(idle, "the node is idle")
    return node


def mine(hub: Hub) -> list[dict[str, str]]:
    return [row for row in squeue() if hub.prefix in row["name"]]  # type: ignore[attr-defined]


def as_service(*command: str) -> str:
    """What the hub's own account is told."""
    ran = subprocess.run(["runuser", "-u", "jupyterhub", "--", *command], capture_output=True, text=True, cwd="/")
    return ran.stdout


# Sight ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", ["main", "secret", "members"])
def test_a_server_runs_though_the_hub_sees_neither_job_nor_partition(hub: Hub, partition: str) -> None:
    hub.ask("alice", {"partition": partition})
    hub.ready("alice")
    job = hub.job("alice")
    assert job_facts(job)["Partition"] == partition
    assert not as_service("squeue", "-a", "-h").strip()
    assert hub.visit("alice").ok
    subprocess.run(["scancel", job], check=True)
    hub.stopped("alice")


# Filters --------------------------------------------------------------------------------------------------------------


def test_what_the_sites_filter_changed_is_on_the_page(hub: Hub) -> None:
    hub.ask("alice", {"profile": "moved"})
    with listening(hub, "alice") as events:
        hub.ready("alice")
    words = " ".join(event.get("message", "") for event in events)
    assert "partition: secret instead of main" in words
    assert "sandbox: the job was moved to partition secret" in words
    assert hub.server("alice")["state"]["changed"] == ["partition: secret instead of main"]
    facts = job_facts(hub.job("alice"))
    assert facts["Partition"] == "secret"
    assert facts["JobName"] == "site-" + hub.server("alice")["state"]["tag"]
    assert hub.visit("alice").ok


def test_a_refusal_of_the_sites_filter_is_told_in_its_own_words(hub: Hub) -> None:
    hub.ask("alice", {"partition": "short"})
    hub.stopped("alice")
    assert "sandbox: say how long the job runs (--time)" in hub.failure("alice")
    assert "Unspecified error" not in hub.failure("alice")
    assert not mine(hub)


LOSES = """#!/bin/bash
[ "$1" = --version ] && exec {real} "$@"
{real} "$@" > /dev/null
echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
exit 1
"""
BLIND = """#!/bin/bash
# Lists nothing, so that a job is not found by its name; tells about single jobs.
case " $* " in *" -j "*) exec {real} "$@" ;; esac
exit 0
"""


@pytest.mark.parametrize("by", ["name", "report"])
def test_a_renamed_job_whose_submit_lost_its_answer_is_found(hubs: Hubs, by: str) -> None:
    folder = hubs.base / f"lost-{by}"
    folder.mkdir()
    changed = {"sbatch": LOSES, **({"squeue": BLIND} if by == "report" else {})}
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct"):
        real = shutil.which(name)
        (folder / name).write_text(changed.get(name, '#!/bin/bash\nexec {real} "$@"\n').format(real=real))
        (folder / name).chmod(0o755)
    other = hubs.slurm(edit=with_commands(folder)).start()
    other.ask("alice", SMALL)
    other.ready("alice")
    assert [row["id"] for row in mine(other)] == [other.job("alice")]
    assert other.visit("alice").ok
    assert other.delete("alice").status_code in (202, 204)
    other.stopped("alice")
    until(lambda: not mine(other), "the job is cancelled")
    other.close()


# The failing prolog ---------------------------------------------------------------------------------------------------


def test_a_node_that_cannot_be_prepared_ends_the_start_in_words(hub: Hub, broken_node: str) -> None:
    hub.ask("alice", {"profile": "broken"})
    hub.stopped("alice")
    assert "launch" in hub.failure("alice").lower() or "prepared" in hub.failure("alice").lower()


def test_a_job_held_after_a_failed_prolog_will_not_start_without_an_admin(hub: Hub, broken_node: str) -> None:
    hub.ask("alice", {"profile": "again"})
    job = hub.pending("alice")
    until(lambda: job_facts(job).get("Reason", "").startswith("launch_failed"), "the job is held")
    words = "will not start without an admin"
    until(lambda: words in str(hub.events("alice", patience=1)), "the page says so")
    assert hub.server("alice")["pending"] == "spawn"
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")
    until(lambda: not mine(hub), "the job is cancelled")


# What Slurm has forgotten ---------------------------------------------------------------------------------------------


def test_a_job_that_slurm_has_forgotten_ended_for_the_reason_that_it_noted(left_alone: tuple[Hub, str]) -> None:
    other, job = left_alone
    until(lambda: job_facts(job)["JobState"] == "FORGOTTEN", "the walltime is over, and more", 180)
    other.restart()
    other.stopped("alice")
    told = [line for line in other.log().splitlines() if f"(job {job}) ended" in line]
    assert "walltime" in told[-1]
    assert "end record" in told[-1]
