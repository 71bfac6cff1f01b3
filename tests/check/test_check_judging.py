"""What the check makes of the job's findings: values in, steps out."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import io
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import sitefile
from hpcspawner.check import crossing, findings, smallest
from hpcspawner.check.crossing import Reply
from hpcspawner.check.listener import Listener
from hpcspawner.check.steps import Steps
from hpcspawner.check.subject import Subject
from hpcspawner.choice import Choice
from hpcspawner.options import OptionError, Person
from hpcspawner.run_as import Helpers
from hpcspawner.sitemodel import Site

from .kit import Page

HUB = importlib.metadata.version("jupyterhub")
TAG = "jupyter-abcdef-aaaaaaaaaa"

SITE = """
name: uni
clusters:
  main:
    scheduler: slurm
    ports: 9000-9099
    {cluster}
    partitions:
      cpu: {{fields: {{cores: {{max: 40}}}}}}
  other: {{scheduler: slurm}}
environments:
  good: {{python: /opt/good/bin/python}}
  bad: {{python: /opt/bad/bin/python}}
  served: {{python: /opt/served/bin/python, server: true, rules: {{groups: [few]}}}}
profiles:
  large:
    fields: {{partition: cpu, cores: 20, memory: 4G, walltime: "02:00:00"}}
  flexible:
    fields: {{partition: cpu, cores: {{default: 8, min: 2, max: 40}}, memory: 4G, walltime: "02:00:00"}}
  elsewhere: {{cluster: other, fields: {{cores: 1}}, rules: {{groups: [few]}}}}
"""


def site(cluster: str = "") -> Site:
    return sitefile.read_text(SITE.format(cluster=cluster))


@dataclasses.dataclass
class Bench:
    subject: Subject
    out: io.StringIO

    @property
    def page(self) -> Page:
        return Page(self.out.getvalue())


def bench(tmp_path: Path, cluster: str = "") -> Bench:
    made, out = site(cluster), io.StringIO()
    helpers = Helpers(made, "main", tmp_path, logging.getLogger("test"))
    return Bench(Subject(made, "main", helpers, Steps(out), "alice"), out)


# What the job asks for -------------------------------------------------------------------------------------------


def test_smallest_start_is_chosen_and_wishes_that_are_not_allowed_are_dropped() -> None:
    chosen = smallest.choice(site(), "main", Person("alice"))
    # The profile fixes walltime and allows no single core: only what it leaves open becomes small.
    assert (chosen.profile, chosen.cores, chosen.walltime) == ("flexible", 8, 7200)


def test_nobody_starts_where_no_profile_is_open() -> None:
    with pytest.raises(OptionError, match="no profile of cluster other is open to alice"):
        smallest.choice(site(), "other", Person("alice"))
    assert smallest.choice(site(), "other", Person("alice", frozenset({"few"}))).profile == "elsewhere"


# Pythons ---------------------------------------------------------------------------------------------------------


def python(**changes: Any) -> dict[str, Any]:
    return {"executable": "/p", "version": "3.11.2", "jupyterhub": HUB, "jupyterlab": "4.4", **changes}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (python(version="3.9.18"), "is Python 3.9.18; servers need 3.10"),
        (python(jupyterhub="4.1.0"), "jupyterhub 4.1.0, which does not fit"),
        (python(jupyterlab=None), "has no JupyterLab"),
        (python(problem="/p: ModuleNotFoundError: No module named 'jupyterhub'"), "No module named 'jupyterhub'"),
    ],
)
def test_unfit_server_python_fails_and_says_what_to_install(
    tmp_path: Path, told: Mapping[str, Any], words: str
) -> None:
    b = bench(tmp_path)
    findings.pythons(b.subject, Choice("main"), {"node": "n1", "python": told})
    line = b.page.step("server's Python")
    assert line.state == "FAIL"
    assert words in line.found
    assert f"jupyterhub=={HUB}" in line.below[0]
    assert "clusters.main.server.python" in line.below[1]


def test_each_environment_is_a_step_of_its_own(tmp_path: Path) -> None:
    b = bench(tmp_path)
    result = {
        "node": "n1",
        "python": python(),
        "kernels": {"good": "7.0", "bad": None},
        "environments": {"good": "", "bad": "/opt/bad/bin/python does not run: no such file"},
    }
    findings.pythons(b.subject, Choice("main"), result)
    assert b.page.step("server's Python").state == "ok"
    assert b.page.step("environment good").state == "ok"
    assert "does not run" in b.page.step("environment bad").found
    assert "environments.bad.setup" in b.page.advice("environment bad")
    assert b.page.step("environment served").state == "skip"


# Between hub and node --------------------------------------------------------------------------------------------


async def test_the_port_of_the_job_answers_or_says_why_not(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nX-Clock: {time.time() + 60:.3f}\r\n\r\n{TAG}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        b = bench(tmp_path)
        reply = await crossing.hub_to_node(b.subject, {"host": "127.0.0.1", "port": port}, TAG)
        assert b.page.step("hub to node").state == "ok"
        assert reply.skew is not None
        assert 50 < reply.skew < 61
        other = bench(tmp_path)
        await crossing.hub_to_node(other.subject, {"host": "127.0.0.1", "port": port}, TAG + "x")
        assert "something else" in other.page.step("hub to node").found
    closed = bench(tmp_path)
    await crossing.hub_to_node(closed.subject, {"host": "127.0.0.1", "port": port}, TAG)
    assert closed.page.step("hub to node").state == "FAIL"
    assert "ports 9000-9099" in closed.page.advice("hub to node")


async def test_a_job_that_could_not_listen_tells_why(tmp_path: Path) -> None:
    b = bench(tmp_path)
    result = {"host": "n1", "port": None, "problems": ["ports: no port from 9000 to 9099 is free on n1"]}
    await crossing.hub_to_node(b.subject, result, TAG)
    assert "no port from 9000 to 9099" in b.page.step("hub to node").found


@pytest.mark.parametrize(
    ("cluster", "host", "state", "words"),
    [
        ("", "n1", "ok", "n1"),
        ("", "n2", "FAIL", "is no node of the job"),
        ("", "127.0.0.1", "FAIL", "no address of a node"),
        ("node_networks: [10.9.0.0/16]", "10.8.0.1", "FAIL", "outside of node_networks"),
        ("node_networks: [10.9.0.0/16]", "10.9.0.1", "ok", "10.9.0.1"),
    ],
)
def test_the_address_is_judged_as_a_servers_report_would_be(
    tmp_path: Path, cluster: str, host: str, state: str, words: str
) -> None:
    b = bench(tmp_path, cluster)
    crossing.address(b.subject, {"host": host, "port": 9001, "job_id": "7", "run": 0}, TAG, "7", ("n1",))
    line = b.page.step("address")
    assert line.state == state
    assert words in line.found


def answered(url: str, status: int = 200, **more: Any) -> dict[str, Any]:
    return {"url": url, "status": status, "version": "6.1", "text": "", "sent": time.time(), **more}


async def test_the_hubs_url_counts_where_there_is_one(tmp_path: Path) -> None:
    b = bench(tmp_path, "hub_url: http://hub.example.org:8081/hub/api")
    listener = Listener(b.subject.cluster, "10.0.0.1", local=False)
    assert not crossing.node_to_hub(
        b.subject, {"hubs": [answered(listener.url), answered(listener.hub_url, 0, text="refused")]}, listener
    )
    line = b.page.step("node to hub")
    assert "refused (http://10.0.0.1" in line.found
    assert "is the hub running?" in line.below[0]
    good = bench(tmp_path, "hub_url: http://hub.example.org:8081/hub/api")
    assert crossing.node_to_hub(good.subject, {"hubs": [answered(listener.hub_url)]}, listener)
    assert "hub 6.1 answers" in good.page.step("node to hub").found


async def test_listener_takes_the_hubs_own_port_if_no_hub_does(tmp_path: Path) -> None:
    async with Listener(site().clusters["main"], "127.0.0.1", local=False) as first:
        where = site(f"hub_url: http://hub.example.org:{first.port}/hub/api").clusters["main"]
        async with Listener(where, "", local=False) as second:
            assert second.port != first.port
            assert not second.stands_in
            assert second.urls == [second.url + "/batchspawner", second.hub_url + "/batchspawner"]
    async with Listener(where, "", local=False) as third:
        assert third.port == first.port
        assert third.stands_in
        assert third.urls == [third.hub_url + "/batchspawner"]


@pytest.mark.parametrize(("skew", "scheduler", "state"), [(0.2, 0.0, "ok"), (90.0, 0.0, "FAIL"), (0.0, -30.0, "FAIL")])
def test_clocks_that_differ_fail(tmp_path: Path, skew: float, scheduler: float, state: str) -> None:
    b = bench(tmp_path)
    listener = Listener(b.subject.cluster, "127.0.0.1", local=False)
    crossing.clocks(b.subject, {"node": "n1"}, listener, Reply(skew=skew), scheduler)
    assert b.page.step("clocks").state == state


def test_without_any_clock_the_step_is_skipped(tmp_path: Path) -> None:
    b = bench(tmp_path)
    listener = Listener(b.subject.cluster, "127.0.0.1", local=False)
    crossing.clocks(b.subject, {"node": "n1"}, listener, Reply("refused"), None)
    assert b.page.step("clocks").state == "skip"
