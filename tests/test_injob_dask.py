"""The programs of Dask's jobs, run as a batch script would run them; the software of Dask is played by a script."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.injob import hpcspawner_dask
from hpcspawner.injob.hpcspawner_place import PlaceError

from .injobkit import INJOB, TAG, until

SECRETS = {"HPCSPAWNER_DASK_CERT": "c3rt", "HPCSPAWNER_DASK_KEY": "k3y", "https_proxy": "http://proxy"}

# Notes what it was started with, and waits; 'stubborn' in its name lets it ignore TERM.
PLAYER = """#!{python}
import json, os, signal, sys, time
name = sys.argv[sys.argv.index("--name") + 1] if "--name" in sys.argv else "scheduler"
if "stubborn" in name:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("{folder}/" + name + ".tmp", "w") as file:
    json.dump({{"argv": sys.argv[1:], "environ": dict(os.environ), "pid": os.getpid(), "cert":
        open(os.environ["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"]).read()}}, file)
os.rename("{folder}/" + name + ".tmp", "{folder}/" + name + ".json")
sys.exit(3) if "bad" in name else time.sleep(0 if "short" in name else 1000)
"""


class DaskRun:
    """One job, in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.scratch = folder / "scratch"
        for each in (self.notes, self.scratch, folder / "state"):
            each.mkdir()
        self.python = folder / "python"
        self.python.write_text(PLAYER.format(python=sys.executable, folder=self.notes))
        self.python.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, program: str, index: int = 1, secrets: dict[str, str] = SECRETS, **dask: Any) -> None:
        state = self.folder / "state"
        (state / "secret.json").write_text(json.dumps(secrets))
        told = {"cluster": "abc", "python": str(self.python), "listen": "", "ports": [0, 0], **dask}
        plan = {
            "tag": TAG,
            "kind": "dask",
            "state": str(state),
            "secret": str(state / "secret.json"),
            "end": str(state / "end.json"),
            "log": str(self.folder / "log"),
            "workdir": str(self.folder),
            "job_id_variables": ["JOB"],
            "dask": told,
        }
        (state / "plan.json").write_text(json.dumps(plan))
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "TMPDIR": str(self.scratch), "JOB": "17_2"}
        environment["INDEX"] = str(index)
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(INJOB / program), str(state / "plan.json")],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    def workers(self, names: list[list[str]], index: int = 1, **dask: Any) -> None:
        values = {
            "scheduler": "tls://127.0.0.1:5",
            "threads": 2,
            "memory": 1000,
            "gpus": 0,
            "scratch": "",
            "spill": True,
        }
        self.start("dask_workers.py", index, names=names, index_variable="INDEX", **{**values, **dask})

    def noted(self, name: str) -> dict[str, Any]:
        path = self.notes / f"{name}.json"
        until(path.exists, f"{name} has started: {(self.folder / 'log').read_text()}")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def ended(self) -> int:
        assert self.process is not None
        return self.process.wait(30)

    def record(self, name: str = "end-1.json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state" / name).read_text())
        return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[DaskRun]:
    made = DaskRun(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(30)


def test_a_job_starts_the_workers_that_are_its_own(run: DaskRun) -> None:
    run.workers([["a", "b"], ["c", "d"]], index=2)
    first, second = run.noted("c"), run.noted("d")
    assert first["argv"][:3] == ["-m", "distributed.cli.dask_worker", "tls://127.0.0.1:5"]
    options = dict(zip(first["argv"][3::2], first["argv"][4::2], strict=False))
    assert (options["--nthreads"], options["--memory-limit"], options["--host"]) == ("2", "1000", "127.0.0.1")
    assert "--no-dashboard" in first["argv"]
    assert first["argv"] != second["argv"]
    assert not list(run.notes.glob("[ab].json"))


def test_secrets_are_files_and_never_in_the_environment(run: DaskRun) -> None:
    run.workers([["a"]])
    noted = run.noted("a")
    assert noted["cert"] == "c3rt"
    assert noted["environ"]["https_proxy"] == "http://proxy"
    assert not {"c3rt", "k3y"} & set(noted["environ"].values())
    key = Path(noted["environ"]["DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY"])
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert "DASK_GATEWAY_API_TOKEN" not in noted["environ"]


def test_a_scheduler_gets_the_token_as_a_file(run: DaskRun) -> None:
    times = {"heartbeat": 15.0, "adaptive": 3.0, "idle": 60.0}
    secrets = {**SECRETS, "HPCSPAWNER_DASK_TOKEN": "t0ken"}
    run.start("dask_scheduler.py", secrets=secrets, api_url="http://127.0.0.1:9/api", **times)
    noted = run.noted("scheduler")
    assert Path(noted["environ"]["DASK_GATEWAY_API_TOKEN"]).read_text() == "t0ken"
    assert "dask_gateway.scheduler_preload" in noted["argv"]
    assert "t0ken" not in noted["environ"].values()


def test_term_ends_all_at_once_and_nothing_is_left(run: DaskRun) -> None:
    run.workers([["a", "stubborn"]])
    pids = [run.noted(name)["pid"] for name in ("a", "stubborn")]
    assert list(run.scratch.iterdir())
    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 128 + signal.SIGTERM
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert not list(run.scratch.iterdir())
    assert run.record()["reason"] == "ended from outside"


def test_the_job_goes_on_until_its_last_worker_has_ended(run: DaskRun) -> None:
    run.workers([["short", "long"]])
    run.noted("short")
    pid = run.noted("long")["pid"]
    assert run.process is not None
    assert run.process.poll() is None
    os.kill(pid, signal.SIGTERM)
    assert run.ended() == 128 + signal.SIGTERM
    assert run.record()["failed"] == ["worker long"]


def test_a_worker_that_fails_is_in_the_record(run: DaskRun) -> None:
    run.workers([["bad", "short"]])
    assert run.ended() == 3
    assert run.record()["failed"] == ["worker bad"]
    assert run.record()["reason"] == "it failed with exit code 3"
    assert run.record()["node"] == socket.gethostname()


def test_an_environment_that_is_not_there_is_told(run: DaskRun) -> None:
    run.workers([["a"]], python="/nowhere/python")
    assert run.ended() == 1
    assert "/nowhere/python cannot be started" in run.record()["reason"]
    assert not list(run.scratch.iterdir())


def test_without_local_disk_nothing_is_spilled(run: DaskRun) -> None:
    run.workers([["a"]], spill=False)
    environ = run.noted("a")["environ"]
    assert environ["DASK_DISTRIBUTED__WORKER__MEMORY__SPILL"] == "False"
    assert environ["OMP_NUM_THREADS"] == "1"


def test_each_worker_gets_its_own_gpus(run: DaskRun) -> None:
    run.workers([["a", "b"]], gpus=4)
    assert run.noted("a")["environ"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert run.noted("b")["environ"]["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_ports_of_a_range_are_given_to_worker_and_nanny(run: DaskRun) -> None:
    run.workers([["a"]], ports=[9000, 9100])
    argv = run.noted("a")["argv"]
    assert argv[argv.index("--worker-port") + 1] == "9000:9100"
    assert argv[argv.index("--nanny-port") + 1] == "9000:9100"


def test_addresses_are_those_that_lead_there_or_lie_in_the_network() -> None:
    assert hpcspawner_dask.address_towards("http://127.0.0.1:8000/api") == "127.0.0.1"
    assert hpcspawner_dask.address_towards("tls://127.0.0.1:8786") == "127.0.0.1"
    assert hpcspawner_dask.address_within("127.0.0.0/8") == "127.0.0.1"
    with pytest.raises(PlaceError, match=r"has none in 240\.0\.0\.0/8"):
        hpcspawner_dask.address_within("240.0.0.0/8")
