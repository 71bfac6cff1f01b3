"""Sites that used batchspawner: their configurations on a real hub and a real Slurm, with one line changed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from . import manyservers
from .conftest import Hubs, job_facts
from .hub import PREFIX, Hub, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

DEFAULT_SCRIPT = """
c.SlurmSpawner.req_partition = "short"
c.SlurmSpawner.req_runtime = "00:19:00"
c.SlurmSpawner.req_memory = "700M"
c.SlurmSpawner.req_nprocs = "2"
c.BatchSpawnerBase.exec_prefix = "sudo -E -u {username}"
c.SlurmSpawner.batch_query_cmd = "squeue -j {job_id}"
"""

OWN_SCRIPT = '''
c.SlurmSpawner.req_partition = "main"
c.SlurmSpawner.req_runtime = "00:32:00"
c.SlurmSpawner.req_memory = "600M"
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.req_options = "--comment='made by the site'"
c.SlurmSpawner.req_prologue = "export SITE_PROLOGUE=$((6*7))"
c.SlurmSpawner.options_form = "<label>Module <input name='module'></label> <input name='nprocs' value='1'>"
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --output={{homedir}}/jupyterhub_slurmspawner_%j.log
#SBATCH --job-name=spawner-jupyterhub
#SBATCH --export={{keepvars}}
#SBATCH --get-user-env=L
#SBATCH --partition={{partition}}
{% if runtime    %}#SBATCH --time={{runtime}}
{% endif %}{% if memory     %}#SBATCH --mem={{memory}}
{% endif %}{% if nprocs     %}#SBATCH --cpus-per-task={{nprocs}}
{% endif %}#SBATCH {{options}}

set -euo pipefail
trap 'echo SIGTERM received' TERM
{{prologue}}
echo "module={{module}} prologue=$SITE_PROLOGUE user={{username}}"
{{cmd}}
echo "jupyterhub-singleuser ended gracefully"
"""
'''


def migrated(hubs: Hubs, extra: str, site: str = "") -> Hub:
    """A hub on a site without profiles, whose servers are stubs; site: lines on top of its file."""
    stub = hubs.base / "stub.py"
    stub.write_text(manyservers.STUB)
    stub.chmod(0o644)
    apps = f'apps: {{stub: {{command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}}}\n'

    def edit(text: str) -> str:
        return site + re.sub(r"(?ms)^(fields|profiles):.*?(?=^\S|\Z)", "", text) + apps

    return hubs.slurm(edit=edit, extra=extra)


def test_req_traits_are_the_defaults_where_the_site_has_no_profiles(hubs: Hubs) -> None:
    hub = migrated(hubs, DEFAULT_SCRIPT).start()
    answer = hub.ask("alice")
    assert answer.status_code in (201, 202), answer.text
    hub.ready("alice")
    facts = job_facts(hub.job("alice"))
    assert (facts["Partition"], facts["TimeLimit"], facts["NumCPUs"]) == ("short", "00:19:00", "2")
    assert facts["MinMemoryNode"] == "700M"
    until(lambda: "exec_prefix has no effect; use the cluster's 'way'" in hub.log(), "what has no effect is told")
    assert "batch_query_cmd has no effect" in hub.log()
    # What a user asks for counts more than the site's default.
    hub.ask("bob", {"queue": "main", "memory": "400M"})
    hub.ready("bob")
    facts = job_facts(hub.job("bob"))
    assert (facts["Partition"], facts["MinMemoryNode"], facts["TimeLimit"]) == ("main", "400M", "00:19:00")
    hub.close()


def comment(job: str) -> str:
    """The comment of the job in the queue."""
    out = subprocess.run(["squeue", "-h", "-j", job, "-o", "%k"], check=True, capture_output=True, text=True).stdout
    return out.strip()


@pytest.fixture(scope="module")
def own(hubs: Hubs) -> Hub:
    return migrated(hubs, OWN_SCRIPT, "allow_scripts: true\nlegacy_options: [module, nprocs]\n").start()


def log_of(hub: Hub, tag: str) -> str:
    (log,) = Path(hub.jobs).rglob(f"{tag}.log")  # type: ignore[attr-defined]
    return log.read_text()


def state(hub: Hub, user: str) -> dict[str, Any]:
    found: dict[str, Any] = hub.server(user)["state"]
    return found


def test_a_sites_own_script_runs_with_the_users_values(own: Hub) -> None:
    own.ask("alice", {"module": "lang/Python-3.12", "nprocs": "2"})
    own.ready("alice")
    facts = job_facts(own.job("alice"))
    assert (facts["NumCPUs"], facts["TimeLimit"], facts["MinMemoryNode"]) == ("2", "00:32:00", "600M")
    assert facts["JobName"] == state(own, "alice")["tag"]
    assert comment(own.job("alice")) == "made by the site"
    assert "module=lang/Python-3.12 prologue=42 user=alice" in log_of(own, facts["JobName"])
    assert own.visit("alice", path="").status_code == 200
    script = subprocess.run(
        ["scontrol", "write", "batch_script", own.job("alice"), "-"], capture_output=True, text=True
    )
    secret = next(Path(own.jobs).glob("alice/jobs/*/secret.json"))  # type: ignore[attr-defined]
    assert json.loads(secret.read_text())["JUPYTERHUB_API_TOKEN"] not in script.stdout
    own.delete("alice")
    own.stopped("alice")
    # The values of the last start are those of the next one.
    own.ask("alice")
    own.ready("alice")
    assert job_facts(own.job("alice"))["NumCPUs"] == "2"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"module": "x; touch /tmp/owned"}, "module: "),
        ({"module": "$(id)"}, "module: "),
        ({"module": "{{cmd}}"}, "module: "),
        ({"module": "x\n#SBATCH --uid=0"}, "module: "),
        ({"nprocs": "--wrap=id"}, "nprocs: "),
        ({"prologue": "id"}, "prologue: is no option"),
        ({"cmd": "id"}, "cmd: is no option"),
        ({"homedir": "/root"}, "homedir: is no option"),
        ({"username": "root"}, "username: is no option"),
        ({"options": "--uid=0"}, "options: is no option"),
    ],
)
def test_no_text_of_a_user_reaches_the_script(own: Hub, options: dict[str, str], words: str) -> None:
    answer = own.ask("bob", options)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


def test_the_sites_own_form_still_works(own: Hub) -> None:
    session = requests.Session()
    session.get(f"{own.url}/hub/login", timeout=30)
    data = {"username": "bob", "password": "x", "_xsrf": session.cookies["_xsrf"]}
    session.post(f"{own.url}/hub/login", data=data, timeout=30, allow_redirects=False)
    page = session.get(f"{own.url}/hub/spawn/bob", timeout=30).text
    assert "<label>Module <input name='module'></label>" in page
    form = {"module": "fromform", "nprocs": "1", "_xsrf": session.cookies["_xsrf"]}
    session.post(f"{own.url}/hub/spawn/bob", data=form, timeout=60)
    own.ready("bob")
    assert "module=fromform" in log_of(own, state(own, "bob")["tag"])


SINGLEUSER = (
    OWN_SCRIPT
    + """
c.SlurmSpawner.batchspawner_singleuser_cmd = "{prefix}/hub/bin/batchspawner-singleuser"
c.Spawner.cmd = ["{program}"]
"""
)

PROGRAM = """#!/usr/bin/python3
import os, socket
from urllib.parse import urlparse
assert os.environ["JUPYTERHUB_API_TOKEN"]
listener = socket.create_server(("", urlparse(os.environ["JUPYTERHUB_SERVICE_URL"]).port))
while True:
    caller, _ = listener.accept()
    caller.recv(65536)
    caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    caller.close()
"""


def test_batchspawner_singleuser_starts_a_server_and_reports_it(hubs: Hubs) -> None:
    program = hubs.base / "own-singleuser"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    extra = SINGLEUSER.replace("{prefix}", str(PREFIX)).replace("{program}", str(program))
    hub = migrated(hubs, extra, "allow_scripts: true\nlegacy_options: [module, nprocs]\n").start()
    hub.ask("alice")
    hub.ready("alice")
    assert state(hub, "alice")["plain"] is True
    assert hub.visit("alice", path="").text == "ok"
    hub.delete("alice")
    hub.stopped("alice")
    hub.close()


def test_without_the_sites_word_the_script_is_told_to_have_no_effect(hubs: Hubs) -> None:
    hub = migrated(hubs, OWN_SCRIPT).start()
    hub.ask("alice")
    hub.ready("alice")
    assert "batch_script has no effect" in hub.log()
    assert comment(hub.job("alice")) == "(null)"
    hub.close()
