"""Dask Gateway on the Slurm sandbox: clusters as jobs of alice, whose environment holds no hpcspawner."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import SLURM_SITE, squeue
from .counting import Counter
from .gateway import DASK_PYTHON, GatewayServer
from .hub import USER_PYTHON, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

DASK = """
    dask: {{python: {python}, scheduler_memory: 500M, idle_timeout: 600, max_clusters: 3, start_timeout: 60}}
    partitions:
"""

SUM = """
def double(x):
    return 2 * x
client = c.get_client()
assert client.gather(client.map(double, range(50))) == [2 * x for x in range(50)]
"""


# Refuses arrays of more than ten jobs, as a site's limit does; the script comes in by standard input.
LIMITED = """#!/bin/bash
script=$(cat)
size=$(sed -n 's/^#SBATCH --array=1-//p' <<< "$script")
if [ "${size:-0}" -gt 10 ]; then
    echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" >&2
    exit 1
fi
printf '%s\\n' "$script" | exec REAL "$@"
"""


def commands(folder: Path) -> Callable[[str], str]:
    """A change of the site: the scheduler's commands are those in that folder."""
    return lambda text: text.replace("scheduler: slurm", f"scheduler: slurm\n    commands: {folder}")


class Place:
    """A site, its prefix and its gateways."""

    def __init__(self, base: Path) -> None:
        self.prefix = "g" + secrets.token_hex(4)
        self.base = base / self.prefix
        self.base.mkdir(parents=True)
        (self.base / "jobs").mkdir()
        (self.base / "jobs").chmod(0o1777)
        self.servers: list[GatewayServer] = []

    def site(self, name: str, edit: Callable[[str], str] = str, python: str = DASK_PYTHON) -> Path:
        text = SLURM_SITE.format(
            prefix=self.prefix,
            state=self.base / "jobs",
            conf=os.environ["SLURM_CONF"],
            way="root",
            helper="/nowhere/helper.pyz",
            query_as="hub",
            subnet=os.environ["HPCSPAWNER_SANDBOX_SUBNET"],
            python=USER_PYTHON,
            more="",
        )
        text = text.replace("    partitions:\n", DASK.format(python=python)[1:])
        path = self.base / f"{name}.yaml"
        path.write_text(edit(text))
        return path

    def gateway(self, name: str, **kwargs: object) -> GatewayServer:
        server = GatewayServer(
            self.base / name,
            self.site(name, **kwargs),
            ip=os.environ["HPCSPAWNER_SANDBOX_HUB"],  # type: ignore[arg-type]
        )
        server.start()
        self.servers.append(server)
        return server

    def jobs(self) -> list[dict[str, str]]:
        return [row for row in squeue("-r") if self.prefix in row["name"]]

    def close(self) -> None:
        for server in self.servers:
            server.stop()
        mine = {row["id"].split("_")[0] for row in self.jobs()}
        if mine:
            subprocess.run(["scancel", *mine], check=False, timeout=60)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    base = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    base.mkdir(mode=0o755)
    made = Place(base)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def gateway(place: Place) -> GatewayServer:
    return place.gateway("plain")


def test_scale_compute_adapt_and_shutdown(place: Place, gateway: GatewayServer) -> None:
    (facts,) = gateway.program(
        """
c = gateway().new_cluster(partition="main", cores=1, memory="700M")
c.scale(8)
"""
        + SUM
        + """
client.wait_for_workers(8, timeout=60)
def facts():
    import os, getpass
    return getpass.getuser(), os.environ.get("DASK_GATEWAY_API_TOKEN", ""), os.environ["OMP_NUM_THREADS"]
seen = client.run(facts)
limits = {w["memory_limit"] for w in client.scheduler_info()["workers"].values()}
c.adapt(0, 4)
def some():
    return len(client.scheduler_info(n_workers=-1)["workers"])
until(lambda: some() <= 4)
assert client.submit(sum, [1, 2]).result() == 3
answer([len(seen), sorted({tuple(v) for v in seen.values()}), sorted(limits)])
c.shutdown()
"""
    )
    count, environments, limits = facts
    assert count == 8
    assert environments == [["alice", "", "1"]]
    assert limits == [700 * 1024 * 1024 * 95 // 100]
    until(lambda: not place.jobs(), "squeue is empty")


def test_several_workers_share_a_job_under_the_gateways_names(place: Place, gateway: GatewayServer) -> None:
    (facts,) = gateway.program(
        """
c = gateway().new_cluster(partition="main", cores=4, memory="2G", workers=4)
c.scale(8)
client = c.get_client()
client.wait_for_workers(8, timeout=60)
info = client.scheduler_info(n_workers=-1)["workers"]
threads = {w["nthreads"] for w in info.values()}
c.scale(2)
until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)
client.restart()
client.wait_for_workers(2, timeout=60)
time.sleep(3)
assert {w["name"] for w in client.scheduler_info(n_workers=-1)["workers"].values()} < {w["name"] for w in info.values()}
assert client.submit(sum, [1, 2]).result() == 3
answer([len({w["name"] for w in info.values()}), sorted(threads)])
c.shutdown()
"""
    )
    assert facts == [8, [1]]
    until(lambda: not place.jobs(), "squeue is empty")


def test_a_hundred_workers_cost_two_submits_and_two_cancels(place: Place) -> None:
    counter = Counter(place.base / "counting")
    counted = place.gateway(
        "counted",
        edit=lambda text: text.replace("scheduler: slurm", f"scheduler: slurm\n    commands: {counter.commands}"),
    )
    (name,) = counted.program(
        """
c = gateway().new_cluster(partition="gpu", cores=1, memory="500M", gpus=4, gpu_type="a100", shutdown_on_close=False)
c.scale(100)
answer(c.name)
"""
    )
    jobs = until(lambda: [row for row in place.jobs() if "_" in row["id"]][99:] and place.jobs(), "all are submitted")
    assert len(jobs) == 101
    state = until(
        lambda: (found := counted.api("GET", f"/api/v1/clusters/{name}/state").json())["reasons"] and found, "reasons"
    )
    assert sum(state["workers"].values()) == 100, state
    assert len(counter.submits()) == 2
    assert counted.api("DELETE", f"/api/v1/clusters/{name}").status_code == 204
    until(lambda: not place.jobs(), "squeue is empty")
    cancels = [call for call in counter.calls() if call.name == "scancel"]
    assert 1 <= len(cancels) <= 2, cancels


def test_what_a_user_may_not_have_is_refused_in_words(gateway: GatewayServer) -> None:
    found = gateway.program(
        """
g = gateway()
options = g.cluster_options()
answer(sorted(options))
for given in ({"cores": 99}, {"profile": "none"}, {"cores": 2, "workers": 3}, {"nodes": 2}, {"colour": "red"}):
    try:
        g.submit(**given)
    except Exception as error:
        answer(str(error))
"""
    )
    assert {"cores", "memory", "partition", "walltime", "workers", "profile"} <= set(found[0])
    assert [text.split(":")[0] for text in found[1:]] == ["cores", "profile", "workers", "nodes", "colour"], found
    assert "99 is more than 16" in found[1]


def test_another_user_sees_and_stops_nothing(place: Place, gateway: GatewayServer) -> None:
    (name,) = gateway.program("answer(gateway().submit(partition='main', cores=1, memory='500M'))")
    for method, path in (("GET", ""), ("GET", "/state"), ("DELETE", ""), ("POST", "/scale")):
        answer = gateway.api(method, f"/api/v1/clusters/{name}{path}", user="bob", json={"count": 1})
        assert answer.status_code in (403, 404), (method, path, answer.status_code)
    assert gateway.api("GET", "/api/v1/clusters/", user="bob").json() == {}
    assert gateway.api("DELETE", f"/api/v1/clusters/{name}").status_code == 204
    until(lambda: not place.jobs(), "squeue is empty")


def test_a_cluster_that_cannot_start_says_why(place: Place) -> None:
    broken = place.gateway("broken", python="/opt/hpcspawner-test/none/bin/python")
    (text,) = broken.program(
        """
try:
    gateway().new_cluster(partition="main", cores=1, memory="500M")
except Exception as error:
    answer(str(error))
"""
    )
    assert "Job " in text
    assert "none/bin/python" in text
    until(lambda: not place.jobs(), "squeue is empty")


def test_a_refusal_for_a_limit_halves_the_array(place: Place) -> None:
    counter = Counter(place.base / "limiting")
    sbatch = counter.commands / "sbatch"
    sbatch.rename(counter.commands / "counted-sbatch")
    sbatch.write_text(LIMITED.replace("REAL", str(counter.commands / "counted-sbatch")))
    sbatch.chmod(0o755)
    limited = place.gateway("limited", edit=commands(counter.commands))
    (name,) = limited.program(
        """
c = gateway().new_cluster(partition="gpu", cores=1, memory="500M", gpus=4, gpu_type="a100", shutdown_on_close=False)
c.scale(30)
answer(c.name)
"""
    )
    until(lambda: len(place.jobs()) == 31, "all are submitted")
    sizes = [len([row for row in place.jobs() if row["id"].startswith(f"{id}_")]) for id in arrays(place)]
    assert sum(sizes) == 30
    assert max(sizes) <= 10
    assert limited.api("DELETE", f"/api/v1/clusters/{name}").status_code == 204
    until(lambda: not place.jobs(), "squeue is empty")


def arrays(place: Place) -> set[str]:
    return {row["id"].split("_")[0] for row in place.jobs() if "_" in row["id"]}


def test_a_killed_gateway_finds_its_clusters_again(place: Place, gateway: GatewayServer) -> None:
    (name,) = gateway.program(
        """
c = gateway().new_cluster(partition="main", cores=1, memory="500M", shutdown_on_close=False)
c.scale(2)
c.get_client().wait_for_workers(2, timeout=60)
answer(c.name)
"""
    )
    before = {row["id"] for row in place.jobs()}
    gateway.stop(signal.SIGKILL)
    gateway.start()
    until(lambda: running(gateway, name) == 2, "two workers run")
    assert {row["id"] for row in place.jobs()} == before
    killed = next(row["id"] for row in place.jobs() if "_" in row["id"])
    subprocess.run(["scancel", killed], check=True)
    until(lambda: running(gateway, name) == 2 and killed not in {r["id"] for r in place.jobs()}, "it is replaced")
    gateway.program(f"c = gateway().connect({name!r})\n" + SUM + "c.shutdown()\n")
    until(lambda: not place.jobs(), "squeue is empty")


def running(gateway: GatewayServer, name: str) -> int:
    return int(state_of(gateway, name)["workers"].get("running", 0))


def test_a_bad_start_waits_says_where_and_fails_no_cluster_that_works(place: Place, gateway: GatewayServer) -> None:
    (name,) = gateway.program(
        """
c = gateway().new_cluster(partition="main", cores=1, memory="500M", shutdown_on_close=False)
c.scale(1)
c.get_client().wait_for_workers(1, timeout=60)
answer(c.name)
"""
    )
    first = arrays(place)
    gateway.api("POST", f"/api/v1/clusters/{name}/scale", json={"count": 2})
    second = until(lambda: arrays(place) - first, "another worker's job")
    subprocess.run(["scancel", *second], check=True)
    state = until(lambda: (found := state_of(gateway, name))["trouble"] and found, "the bad start is told")
    assert "ended before its worker was ready" in state["trouble"]
    assert state["workers"]["running"] == 1
    until(lambda: running(gateway, name) == 2, "another try")
    assert state_of(gateway, name)["trouble"] == ""
    assert gateway.api("DELETE", f"/api/v1/clusters/{name}").status_code == 204
    until(lambda: not place.jobs(), "squeue is empty")


def test_limits_of_a_user_hold_for_scale_and_adapt(place: Place) -> None:
    strict = place.gateway(
        "limits", edit=lambda text: text.replace("max_clusters: 3", "max_clusters: 1, max_workers: 2")
    )
    found = strict.program(
        """
g = gateway()
c = g.new_cluster(partition="gpu", cores=1, memory="500M", gpus=4, gpu_type="a100", shutdown_on_close=False)
try:
    g.submit()
except Exception as error:
    answer(str(error))
c.adapt(5, 50)
answer(c.name)
"""
    )
    assert found[0] == "you may have 1 Dask clusters at one time, and 1 cluster runs; shut one down first"
    until(lambda: sum(state_of(strict, found[1])["workers"].values()) == 2, "two workers")
    assert strict.api("DELETE", f"/api/v1/clusters/{found[1]}").status_code == 204
    until(lambda: not place.jobs(), "squeue is empty")


def state_of(gateway: GatewayServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.api("GET", f"/api/v1/clusters/{name}/state").json()
    return found
