"""discover, check, presets and the form where the scheduler is LSF or Cobalt: run against the fakes."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import check, discovery, form, menu, schedulers, sitefile
from hpcspawner.access import Person
from hpcspawner.job import Inventory
from hpcspawner.sitemodel import Site

from . import schedkit
from .check.kit import Page, folder_for_all
from .injobkit import USER_PYTHON
from .real.hub import REPOSITORY
from .schedkit import COBALT, LSF, Fake, fakebatch

ALICE = Person("alice", frozenset(), frozenset({"datascience"}))
CONFIG: dict[str, dict[str, Any]] = {"lsf": LSF, "cobalt": COBALT}
ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "alice"
"""Root acts for others only."""

# discover ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The admin's shell on a login node: the fake's commands are on PATH, and nothing else of a scheduler."""

    def enter(kind: str) -> Any:
        state = fakebatch.create(str(tmp_path / "state"), {**CONFIG[kind], "root": True})
        commands = tmp_path / "bin"
        commands.mkdir()
        for path in Path(schedkit.bin_of(kind)).iterdir():
            # The helper's environment is clean, so each command has to know its own batch system.
            text = f'#!/bin/sh\n{fakebatch.VARIABLE}={state.folder} PYTHONDONTWRITEBYTECODE=1 exec {path} "$@"\n'
            (commands / path.name).write_text(text)
            (commands / path.name).chmod(0o755)
        monkeypatch.setenv("PATH", str(commands))
        return state

    return enter


@pytest.mark.parametrize(
    ("kind", "queues", "limit"),
    [
        ("lsf", ["normal", "interactive", "gpu", "restricted"], ("interactive", "walltime", 28800)),
        ("cobalt", ["default", "full-node", "single-gpu"], ("full-node", "walltime", 43200)),
    ],
)
def test_discover_prints_a_site_that_starts_unedited(
    shell: Any, capsys: pytest.CaptureFixture[str], kind: str, queues: list[str], limit: tuple[str, str, int]
) -> None:
    shell(kind)
    assert asyncio.run(discovery.run(None, "/opt/jupyter/bin/python", "")) == 0
    site = sitefile.read_text(capsys.readouterr().out)
    cluster = site.clusters["main"]
    assert cluster.cluster.scheduler == kind
    assert cluster.cluster.commands, "the commands are not in a usual place"
    assert list(cluster.partitions) == queues
    queue, field, most = limit
    assert cluster.partitions[queue].fields[field].max == most
    assert set(site.profiles) == set(queues)
    for partition in cluster.partitions.values():
        assert set(partition.fields) <= set(schedulers.load(kind).FIELDS)
        assert partition.exclusive == (kind == "cobalt")


def test_variables_of_the_scheduler_are_taken_over_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSF_ENVDIR", "/opt/lsf/conf")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    assert discovery.described("lsf").environment == {"LSF_ENVDIR": "/opt/lsf/conf"}


def test_discover_while_the_scheduler_is_away_says_so(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell("cobalt").set("down", "all")
    assert asyncio.run(discovery.run(None, "", "")) == 1
    assert "cobalt does not answer" in capsys.readouterr().err


# check -------------------------------------------------------------------------------------------------------------

SITE = """
name: there
state_dir: {folder}/{{user}}
clusters:
  main:
    scheduler: {kind}
    commands: {folder}/batch/{kind}/bin
    environment: {{FAKE_BATCH_STATE: {folder}/state}}
    server: {python}
    queues: {queues}
profiles:
  small: {{fields: {{partition: {queue}, {fields}}}}}
"""
PLACES = {
    "lsf": ("{normal: {}, restricted: {}}", "normal", 'cores: 1, memory: 200M, walltime: "00:20:00"'),
    "cobalt": ("{single-gpu: {}, full-node: {}}", "single-gpu", 'nodes: 1, walltime: "00:20:00"'),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    if ACCOUNT == "alice":
        try:
            pwd.getpwnam(ACCOUNT)
        except KeyError:
            pytest.skip("root acts for others only, and there is no account alice")
    with folder_for_all() as path:
        yield path


def checked(kind: str, folder: Path, capsys: pytest.CaptureFixture[str], **switches: str) -> tuple[int, Page]:
    batch = folder / "batch"
    code = REPOSITORY / "tests/schedulers"
    shutil.copytree(code / kind, batch / kind, ignore=shutil.ignore_patterns("*.jsonl", "__pycache__"))
    shutil.copy(code / "fakebatch.py", batch)
    subprocess.run(["chmod", "-R", "a+rX", batch], check=True)
    host = os.uname().nodename.split(".")[0]
    nodes = {f"{host}-gpu{number}": ["single-gpu", "full-node"] for number in range(2)}
    config = {**CONFIG[kind], "hosts": {host: 8}, "master": host, "nodes": nodes}
    state = fakebatch.create(str(folder / "state"), config)
    for name, text in switches.items():
        state.set(name, text)
    queues, queue, fields = PLACES[kind]
    site = folder / "site.yaml"
    site.write_text(
        SITE.format(folder=folder, kind=kind, python=USER_PYTHON, queues=queues, queue=queue, fields=fields)
    )
    ended = check.run(str(site), user=ACCOUNT if os.geteuid() == 0 else None)
    return ended, Page(capsys.readouterr().out)


@pytest.mark.parametrize("kind", sorted(CONFIG))
def test_check_passes_every_step_and_leaves_nothing(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, page = checked(kind, folder, capsys)
    assert (code, page.failed()) == (0, []), page.text
    assert schedulers.load(kind).TITLE in page.step("scheduler").found
    assert page.step("small job").state == "ok"
    assert page.step("hub to node").state == "ok"
    assert not list(folder.glob(f"{ACCOUNT}/jobs/*"))


@pytest.mark.parametrize(("kind", "switch", "text"), [("lsf", "mbatchd", "down"), ("cobalt", "down", "all")])
def test_check_tells_that_the_scheduler_is_away(
    kind: str, switch: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, page = checked(kind, folder, capsys, **{switch: text})
    assert (code, page.failed()) == (1, ["scheduler"]), page.text
    assert "does not answer" in page.step("scheduler").found
    variable = schedulers.load(kind).CONFIG_VARIABLES[0]
    assert variable in page.advice("scheduler")


def test_check_tells_the_schedulers_own_refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, page = checked("cobalt", folder, capsys, filter="project")
    assert (code, page.failed()) == (1, ["small job"]), page.text
    assert "No project specified. Use -A <project>" in page.text


# Presets -----------------------------------------------------------------------------------------------------------


def inventory(preset: str, folder: Path) -> tuple[Site, Inventory]:
    """The preset, and what the fake says of a site of its shape."""
    site = sitefile.read(preset)
    (name,) = site.clusters
    cluster = site.clusters[name].cluster
    dialect = schedulers.load(cluster.scheduler)
    fake = Fake(cluster.scheduler, folder, CONFIG[cluster.scheduler])
    return site, dialect.inventoried(cluster, {key: fake.run(one) for key, one in dialect.inventory(cluster).items()})


def test_the_form_of_thetagpu_asks_nodes_and_walltime_and_shows_the_rest_as_facts(tmp_path: Path) -> None:
    site, found = inventory("thetagpu", tmp_path)
    shown = menu.describe(site, ALICE, {"thetagpu": found})
    card = shown.card("nodes")
    assert card is not None
    sizes = {"nodes", "cores", "memory", "gpus", "walltime"}
    assert [field.option for field in card.fields if field.option in sizes] == ["nodes", "walltime"]
    assert {"2 nodes", "128 cores a node", "8 GPUs a node", "whole nodes"} <= set(card.facts)
    one = shown.card("gpu")
    assert one is not None
    assert {"16 cores a node", "1 GPU a node"} <= set(one.facts)
    assert "8 GPUs a node" in form.render(shown)
    for scheduled in shown.cards:
        assert not scheduled.problem


def test_triton_has_the_queues_and_nodes_of_the_site() -> None:
    site = sitefile.read("triton")
    queues = site.clusters["triton"].partitions
    assert {"interactive", "normal"} <= set(queues)
    assert queues["interactive"].fields["walltime"].default == 6 * 3600
    assert all(queue.fields["cores"].max == 40 for queue in queues.values())
    assert "conda" in " ".join(site.environments["conda"].setup)
    shown = menu.describe(site, ALICE)
    assert {card.profile for card in shown.cards} == set(site.profiles)


def test_thetagpu_has_the_queues_project_and_proxy_of_the_site() -> None:
    site = sitefile.read("thetagpu")
    cluster = site.clusters["thetagpu"]
    assert {"full-node", "single-gpu"} <= set(cluster.partitions)
    assert all("account" in profile.fields for profile in site.profiles.values())
    assert "http_proxy" in cluster.proxies
    assert cluster.partitions["single-gpu"].fields["walltime"].min == 300
