"""Drained clusters, figures and alerts: what needs no hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry

from hpcspawner import cli, fleet, health, hubcommands, metrics
from hpcspawner.drains import Drains
from hpcspawner.hubclient import Hub, HubError
from hpcspawner.job import JobState, JobStatus
from hpcspawner.jobqueue import Entry

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def test_a_drained_cluster_stays_so_over_a_restart(tmp_path: Path) -> None:
    drains = Drains(tmp_path)
    assert drains.text("main") == ""
    drains.drain("main", "  Maintenance\n until 17:00 ")
    assert Drains(tmp_path).text("main") == "Maintenance until 17:00"
    assert drains.resume("main")
    assert not drains.resume("main")
    assert Drains(tmp_path).text("main") == ""


@pytest.mark.parametrize("text", ["", " \n", "x" * 501, "a\x1b[31mb"])
def test_a_text_of_no_use_is_refused_and_changes_nothing(tmp_path: Path, text: str) -> None:
    drains = Drains(tmp_path)
    with pytest.raises(ValueError, match="one sentence for users"):
        drains.drain("main", text)
    assert drains.text("main") == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"main": 1}'])
def test_a_garbled_file_is_told_not_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "drained.json").write_text(text)
    with pytest.raises(ValueError, match=r"drained\.json.*remove it to resume all"):
        Drains(tmp_path)


def figures(**changes: Any) -> dict[str, Any]:
    quiet = {"query_age": 0.0, "journal_trouble": "", "orphans": 0, "inventory_trouble": "", "scheduler_trouble": ""}
    return {**quiet, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query_age": 301.0, "scheduler_trouble": "timed out"}, "for 301 s: timed out"),
        ({"journal_trouble": "disk full"}, "journal cannot be written: disk full"),
        ({"orphans": 2}, "2 jobs that no server of this hub knows"),
        ({"inventory_trouble": "sinfo failed"}, "sinfo failed"),
    ],
)
def test_what_counts_as_trouble(changes: dict[str, Any], words: str) -> None:
    (problem,) = health.problems(figures(**changes))
    assert words in problem
    assert health.problems(figures()) == []


# Metrics ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    site = tmp_path / "site.yaml"
    site.write_text("name: t\nclusters: {main: {scheduler: slurm}}\nfree_choice: true\n")
    monkeypatch.setattr(fleet, "_fleets", {})
    made = fleet.fleet(str(site), str(tmp_path / "state"))
    yield made
    made.journal.close()


def exported() -> str:
    registry = CollectorRegistry()
    registry.register(metrics.Figures())
    registry.register(metrics.QUEUE_WAIT)
    return generate_latest(registry).decode()


def test_every_metric_is_there_and_an_unknown_age_is_left_out(one_fleet: Any) -> None:
    text = exported()
    assert 'hpcspawner_query_age_seconds{cluster="main"} 0.0' in text
    assert 'hpcspawner_jobs{cluster="main",state="held"} 0.0' in text
    assert 'hpcspawner_inventory_age_seconds{cluster="main"}' not in text
    assert health.report(fleet.fleets())["status"] == "ok"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_alerts_ask_for_metrics_that_exist_and_are_explained(one_fleet: Any) -> None:
    known = set(re.findall(r"^# TYPE (\w+) ", exported(), re.MULTILINE))
    for rule in rules():
        asked = set(re.findall(r"hpcspawner_\w+", rule["expr"]))
        assert asked
        assert {name.removesuffix("_bucket") for name in asked} <= known, rule["alert"]
        assert f"| **{rule['alert']}** |" in OPERATIONS
    for name in known:
        assert name in OPERATIONS or name.endswith("_created"), name


def test_every_alert_of_the_page_is_a_rule() -> None:
    assert set(re.findall(r"^\| \*\*(\w+)\*\*", OPERATIONS, re.MULTILINE)) == {rule["alert"] for rule in rules()}


EARLIER = JobStatus("1", JobState.RUNNING, started=1030.0)


def entry(state: JobState, **fields: Any) -> Entry:
    return Entry("t", "main", "alice", submitted=1000.0, state=state, **fields)


@pytest.mark.parametrize(
    ("before", "after", "waited"),
    [
        (entry(JobState.PENDING), entry(JobState.RUNNING), True),
        (entry(JobState.UNKNOWN), entry(JobState.RUNNING, reported=True), True),
        (entry(JobState.RUNNING), entry(JobState.RUNNING, reported=True), False),
        (entry(JobState.SUSPENDED), entry(JobState.RUNNING), False),
        (entry(JobState.UNKNOWN, reported=True), entry(JobState.RUNNING, reported=True), False),
        (entry(JobState.PENDING), entry(JobState.RUNNING, run=1), False),
        (entry(JobState.PENDING), entry(JobState.ENDED), False),
        # It ran before this process began: the former one has counted it.
        (entry(JobState.UNKNOWN), entry(JobState.RUNNING, status=EARLIER), False),
    ],
)  # fmt: skip
def test_the_wait_of_a_job_is_counted_once(before: Entry, after: Entry, waited: bool) -> None:
    def count() -> float:
        samples = [s for metric in metrics.QUEUE_WAIT.collect() for s in metric.samples]
        return sum(s.value for s in samples if s.name.endswith("_count"))

    was = count()
    metrics.job_changed(before, after)
    assert count() - was == float(waited)


# Commands ---------------------------------------------------------------------------------------------------------


def test_every_command_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for command in sorted(set(re.findall(r"`hpcspawner (\w+)", OPERATIONS))):
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        assert end.value.code == 0
    capsys.readouterr()


def test_a_token_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    assert cli.main(["jobs"]) == 1
    assert "--token-file" in capsys.readouterr().err
    assert cli.main(["jobs", "--token-file", str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err
    with pytest.raises(HubError, match="must look like"):
        Hub("hub.example.org", "x")


def test_a_hub_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "x")
    assert cli.main(["jobs", "--hub", "http://127.0.0.1:1/hub/api"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_the_table_of_jobs_is_plain_text() -> None:
    job = {"tag": "a-b-c", "id": "", "cluster": "main", "server": "alice", "state": "pending", "submitted": 0.0}
    rows = hubcommands.table([{**job, "place": 3, "notes": ["x\x1b[31m", "y"]}], 90.0).splitlines()
    assert rows[0].split() == ["TAG", "JOB", "CLUSTER", "SERVER", "STATE", "AGE", "NOTES"]
    assert rows[1].split() == ["a-b-c", "-", "main", "alice", "in", "line", "3", "00:01:30", "x?[31m;", "y"]
    assert hubcommands.table([], 0.0) == "no jobs"
