"""A whole script from the hub: taken only where the site that the helper obeys says so."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.sitemodel import Site
from tests.helper.kit import FakeSlurm, error, result

from .test_submit import files, site, slurm, submit

__all__ = ["site", "slurm"]

MARK = "HPCSPAWNER_0123456789abcdef"
TEXT = f"#!/bin/bash\n#SBATCH --job-name=own\n\nmodule load x\nsrun {MARK} --debug\n"


def script(**changes: Any) -> dict[str, Any]:
    return {"text": TEXT, "mark": MARK, "command": [], **changes}


@pytest.fixture
def open_site(site: Site) -> Site:
    return dataclasses.replace(site, allow_scripts=True)


def test_without_the_sites_word_it_is_refused_and_nothing_is_left(program: Path, site: Site, slurm: FakeSlurm) -> None:
    kind, text = error(submit(program, site, script=script()))
    assert kind == "refused"
    assert "allow_scripts: true" in text
    assert not [call for call in slurm.called("sbatch") if "--version" not in call]
    assert not list(Path(slurm.folder).parent.glob("*/jobs/*"))


def test_the_servers_command_takes_the_place_of_the_mark(program: Path, open_site: Site, slurm: FakeSlurm) -> None:
    answer = result(submit(program, open_site, script=script()))
    assert answer["outcome"] == "accepted"
    found = files(answer["folder"])
    assert MARK not in found["script"]
    line = next(line for line in found["script"].splitlines() if line.startswith("srun "))
    assert line.endswith(f"/server.py {answer['folder']}/plan.json --debug")
    (call,) = [call for call in slurm.called("sbatch") if "--version" not in call]
    assert f"--job-name={Path(answer['folder']).name}" in call
    assert found["plan.json"]["jupyter"] is True


def test_a_server_that_reports_by_itself_is_a_command(program: Path, open_site: Site) -> None:
    command = ["batchspawner-singleuser", "jupyterhub-singleuser"]
    plan = files(result(submit(program, open_site, script=script(command=command)))["folder"])["plan.json"]
    assert (plan["jupyter"], plan["command"]) == (False, command)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "echo\n" + MARK}, "must begin with #!"),
        ({"text": TEXT + "x" * 70_000}, "at most 65536 bytes"),
        ({"text": 1}, "script.text"),
        ({"text": "#!/bin/sh\n"}, "script.mark"),
        ({"mark": "short"}, "script.mark"),
        ({"mark": ".*" * 10}, "script.mark"),
        ({"command": "sh"}, "script.command"),
        ({"more": 1}, "must hold command, mark, text"),
    ],
)
def test_what_is_no_script_is_refused(program: Path, open_site: Site, changes: dict[str, Any], words: str) -> None:
    _, text = error(submit(program, open_site, script=script(**changes)))
    assert words in text


def test_the_small_job_of_check_never_runs_a_script(program: Path, site: Site) -> None:
    answer = result(submit(program, site, kind="check", script=script()))
    assert MARK not in json.dumps(files(answer["folder"])["script"])
