"""Rules of the small job that looks at a node before users do."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .injobkit import TAG, Hub, Running, until

MARK = "hpcspawner-check "


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def found(job: Running) -> dict[str, Any]:
    line = until(lambda: [line for line in job.text.splitlines() if line.startswith(MARK)], "finding")[0]
    value: dict[str, Any] = json.loads(line[len(MARK) :])
    return value


def probe(folder: Path, hub: Hub, **plan: Any) -> Running:
    return Running(folder, hub, "probe.py", **{"kind": "check", "python": sys.executable, "listen": 0.1, **plan})


def test_a_good_node_is_told_about_and_listens_until_somebody_connects(tmp_path: Path, hub: Hub) -> None:
    job = probe(tmp_path, hub, ports=[42000, 42999], listen=30).start(TEST_END="1800000000")
    told = found(job)
    assert (told["hub"]["url"], told["hub"]["status"], told["hub"]["version"]) == (hub.api, 200, "6.1.1")
    assert (told["job_id"], told["ends"], told["host"]) == ("77", 1800000000, "127.0.0.1")
    assert told["python"]["jupyterhub"].startswith("6.")
    assert 42000 <= told["port"] <= 42999
    with urllib.request.urlopen(f"http://127.0.0.1:{told['port']}/") as answer:
        assert answer.read().decode() == TAG
    assert job.wait()["check"]["connected"] is True


def test_each_problem_is_named(tmp_path: Path, hub: Hub) -> None:
    hub.down()
    job = probe(
        tmp_path,
        hub,
        python="/no/such/python",
        address="interface:ib7",
        kernels=[{"name": "torch", "title": "", "argv": ["/no/torch/python"], "setup": ["echo loaded"]}],
    ).start(TEST_JOB_ID="")
    end = job.wait()
    problems = "\n".join(end["check"]["problems"])
    for part in ("TEST_JOB_ID", "/no/such/python", "/no/torch/python", "hub cannot be reached", "ib7"):
        assert part in problems
    assert end["exit_code"] == 1
    assert end["check"]["port"] is None


def test_the_versions_are_those_after_the_setup_lines(tmp_path: Path, hub: Hub) -> None:
    fake = tmp_path / "bin" / "fancy-python"
    fake.parent.mkdir()
    fake.symlink_to(sys.executable)
    job = probe(tmp_path, hub, python="fancy-python", environment_setup=[f"export PATH={fake.parent}:$PATH"]).start()
    assert found(job)["python"]["version"] == sys.version.split()[0]
    job.wait()
