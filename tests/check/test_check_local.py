"""The whole check on the embedded queue, with real jobs."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import check
from tests.injobkit import USER_PYTHON

from .kit import Page, folder_for_all

USER = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "alice"
"""Root acts for others only."""

SITE = """
name: here
prefix: here
state_dir: {folder}/{{user}}
clusters:
  here:
    scheduler: local
    environment: {{HPCSPAWNER_LOCALQUEUE: {folder}/queue}}
    server: {python}
environments:
  science: {{python: {kernel}}}
free_choice: true
fields: {{walltime: {{default: "00:20:00", max: "01:00:00"}}}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    if USER == "alice":
        try:
            pwd.getpwnam(USER)
        except KeyError:
            pytest.skip("root acts for others only, and there is no account alice")
    with folder_for_all() as path:
        yield path


def run(folder: Path, capsys: pytest.CaptureFixture[str], **given: Any) -> tuple[int, Page]:
    values = {"python": USER_PYTHON, "kernel": USER_PYTHON, **given}
    site = folder / "site.yaml"
    site.write_text(SITE.format(folder=folder, **values))
    code = check.run(str(site), user=USER if os.geteuid() == 0 else None)
    return code, Page(capsys.readouterr().out)


def jobs_left(folder: Path) -> list[str]:
    return [path.name for path in (folder / USER / "jobs").glob("*")]


def test_all_steps_are_ok_and_nothing_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, page = run(folder, capsys)
    assert (code, page.failed()) == (0, []), page.text
    titles = {line.title for line in page.lines if line.state == "ok"}
    assert titles >= {
        "site file",
        "helper",
        "scheduler",
        f"account {USER}",
        f"acting as {USER}",
        "directories",
        "small job",
        "shared storage",
        "server's Python",
        "environment science",
        "node to hub",
        "hub to node",
        "address",
        "clocks",
        "sight of jobs",
    }
    assert jobs_left(folder) == []


def test_missing_server_python_is_told_with_the_log_and_the_field(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, page = run(folder, capsys, python="/nonexistent/python")
    assert (code, page.failed()) == (1, ["small job"])
    below = page.advice("small job")
    assert "/nonexistent/python" in below.split("->")[0]
    assert "clusters.here.server.python is /nonexistent/python" in below
    assert jobs_left(folder) == []


def test_an_environment_without_a_kernel_fails_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, page = run(folder, capsys, kernel="/usr/bin/false")
    assert (code, page.failed()) == (1, ["environment science"])
    assert "environments.science.setup" in page.advice("environment science")


def test_a_state_directory_that_others_can_change_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = folder / USER
    mine.mkdir()
    os.chown(mine, pwd.getpwnam(USER).pw_uid, -1)
    mine.chmod(0o777)
    code, page = run(folder, capsys)
    assert (code, page.failed()) == (1, ["directories"])
    assert f"{mine} can be changed by other users" in page.step("directories").found
    assert page.step("small job").state == "skip"


def test_without_a_user_root_is_told_to_name_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid():
        pytest.skip("one's own account is the user")
    site = folder / "site.yaml"
    site.write_text(SITE.format(folder=folder, python=USER_PYTHON, kernel=USER_PYTHON))
    assert check.run(str(site)) == 0
    assert "--user" in Page(capsys.readouterr().out).step("account, directories, small job").found


def test_an_account_that_does_not_exist_stops_the_users_steps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = folder / "site.yaml"
    site.write_text(SITE.format(folder=folder, python=USER_PYTHON, kernel=USER_PYTHON))
    assert check.run(str(site), user="no-such-person") == 1
    page = Page(capsys.readouterr().out)
    assert page.failed() == ["account no-such-person"]
    assert page.step("small job").state == "skip"
