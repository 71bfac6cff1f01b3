"""The Slurm dialect on a real Slurm, as real users."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.job import Accepted, Cluster, Command, Job, JobState, JobStatus, Outcome, Refused, Resources, Result
from hpcspawner.schedulers import slurm

pytestmark = [pytest.mark.slurm, pytest.mark.other_user]

SMALL = Resources(cores=1, memory=100, walltime=600)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    limit = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


class Desk:
    """Runs the dialect's commands as this or that user, and keeps the jobs to end them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster("main", "slurm", environment={"SLURM_CONF": os.environ["SLURM_CONF"]})
        self.jobs: list[str] = []

    def run(self, command: Command, user: str = "") -> Result:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **self.cluster.environment}
        more: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        done = subprocess.run(
            command.argv,
            input=command.stdin,
            capture_output=True,
            text=True,
            env={**environment, **command.environment},
            cwd="/",
            timeout=60,
            **more,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def submit(self, *words: str, name: str = "tag", user: str = "alice", **more: Any) -> str:
        more = {"resources": SMALL, "partition": "main", "output": str(self.folder / "log"), "workdir": "/tmp", **more}
        job = Job(name, user, words, **more)
        command = slurm.submit(self.cluster, job, slurm.script(self.cluster, job), "")
        answer = slurm.submitted(self.cluster, self.run(command, user))
        assert isinstance(answer, Accepted), answer
        self.jobs.append(answer.id)
        return answer.id

    def status(self, id: str) -> JobStatus | None:
        return slurm.queried(self.cluster, self.run(slurm.query(self.cluster, [id], []))).get(id)

    def wait(self, id: str, state: JobState) -> JobStatus:
        return until(lambda: s if (s := self.status(id)) and s.state is state else None)

    def detail(self, id: str) -> JobStatus | None:
        commands = slurm.detail(self.cluster, id)
        return slurm.detailed(self.cluster, id, [self.run(command) for command in commands])

    def cancel(self, *ids: str, user: str = "alice") -> dict[str, bool | None]:
        return slurm.cancelled(self.cluster, ids, self.run(slurm.cancel(self.cluster, ids), user))

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def desk() -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="hpcspawner-test-"))
    folder.chmod(0o1777)
    desk = Desk(folder)
    yield desk
    if desk.jobs:
        desk.cancel(*desk.jobs, user="")
    shutil.rmtree(folder)


def test_every_odd_character_arrives_as_it_was_given(desk: Desk) -> None:
    odd = desk.folder / "we ird %j #'d\"ir é"
    odd.mkdir(mode=0o777)
    odd.chmod(0o777)
    words = ["a b'c", "$(id) `id`", "\n#SBATCH -p gpu\n", "é\\n", ""]
    id = desk.submit("printf", "[%s]", *words, workdir=str(odd), output=str(odd / "lo g%A %%"), setup=("pwd",))
    status = desk.wait(id, JobState.ENDED)
    assert status.outcome is Outcome.COMPLETED
    assert (odd / "lo g%A %%").read_text() == f"{odd}\n" + "".join(f"[{word}]" for word in words)


def test_srun_and_sbatch_work_inside_a_job_whose_environment_is_clean(desk: Desk) -> None:
    line = "echo RUN=$XDG_RUNTIME_DIR; srun hostname | sort; sbatch --parsable -t 1 -o /dev/null --wrap true"
    id = desk.submit("sh", "-c", line, resources=Resources(nodes=2, cores=1, memory=100, walltime=600))
    status = desk.wait(id, JobState.ENDED)
    log = desk.log().split()
    assert len(status.nodes) == 2
    assert log[0] == "RUN="
    assert tuple(log[1:3]) == status.nodes
    assert log[3].isdigit()
    desk.jobs.append(log[3])


def test_workers_are_spread_over_nodes_and_know_their_number(desk: Desk) -> None:
    resources = Resources(nodes=2, cores=2, memory=100, walltime=600)
    id = desk.submit("sh", "-c", "echo $(hostname) $SLURM_PROCID", resources=resources, tasks_per_node=2)
    status = desk.wait(id, JobState.ENDED)
    first, second = status.nodes
    assert sorted(desk.log().splitlines()) == sorted([f"{first} 0", f"{first} 1", f"{second} 2", f"{second} 3"])


def test_an_array_is_one_submit_and_its_elements_are_seen_one_by_one(desk: Desk) -> None:
    id = desk.submit("sh", "-c", "exit $SLURM_ARRAY_TASK_ID", array=(0, 2))
    elements = [f"{id}_{index}" for index in range(3)]

    def ended() -> bool:
        seen = slurm.queried(desk.cluster, desk.run(slurm.query(desk.cluster, [id], ["alice"])))
        return set(seen) == set(elements) and all(job.state is JobState.ENDED for job in seen.values())

    until(ended)
    details = [desk.detail(element) for element in elements]
    assert [job.exit_code for job in details if job] == [0, 1, 2]


def test_the_job_knows_when_its_time_is_over(desk: Desk) -> None:
    """Also where Slurm is too old to tell it."""
    id = desk.submit("sh", "-c", "echo $HPCSPAWNER_JOB_END; sleep 300")
    status = desk.wait(id, JobState.RUNNING)
    told = int(until(desk.log))
    assert status.ends is not None
    assert abs(told - status.ends) <= 5


def test_a_gpu_job_gets_its_gpus(desk: Desk) -> None:
    resources = Resources(cores=1, memory=100, gpus=2, gpu_request="a100", walltime=600)
    id = desk.submit("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", resources=resources, partition="gpu")
    desk.wait(id, JobState.ENDED)
    assert desk.log() == "0,1\n"


def test_a_job_is_found_by_name_and_owner_and_only_the_owner_ends_it(desk: Desk) -> None:
    tag = "jupyter-abcdef-aaaaaaaaaa"
    id = desk.submit("sleep", "300", name=tag)
    stranger = desk.submit("sleep", "300", name=tag, user="bob")
    result = desk.run(slurm.find(desk.cluster, tag, "alice"), "alice")
    found = [job.id for job in slurm.found(desk.cluster, tag, "alice", result) if job.state.lives]
    assert found == [id]
    assert desk.cancel(id, stranger) == {id: True, stranger: False}
    assert desk.wait(id, JobState.ENDED).word == "CANCELLED"
    still = desk.status(stranger)
    assert still is not None
    assert still.state.lives


def test_a_name_cannot_speak_for_another_job(desk: Desk) -> None:
    """Even one that copies a record as it looks, but for the mark that its writer can't know."""
    victim = desk.submit("sleep", "300", user="bob")
    fake = f"x<0123456789abcdef01>\n<0123456789abcdef01:{victim}|bob|COMPLETED|main|1|1|1|1:00|n1|n1"
    id = desk.submit("sleep", "300")
    rename = Command(("scontrol", "update", f"jobid={id}", f"jobname={fake}"))
    assert desk.run(rename, "alice").code == 0
    seen = slurm.queried(desk.cluster, desk.run(slurm.query(desk.cluster, [id, victim], ["alice", "bob"])))
    assert seen[victim].state.lives
    assert seen[id].name == fake


def test_a_refusal_leaves_no_job_and_says_why(desk: Desk) -> None:
    job = Job("tag", "alice", ("true",), SMALL, partition="nosuch")
    command = slurm.submit(desk.cluster, job, slurm.script(desk.cluster, job), "")
    answer = slurm.submitted(desk.cluster, desk.run(command, "alice"))
    assert isinstance(answer, Refused)
    assert "nosuch" in answer.text


def test_inventory_and_version(desk: Desk) -> None:
    commands = slurm.inventory(desk.cluster)
    inventory = slurm.inventoried(desk.cluster, {key: desk.run(command) for key, command in commands.items()})
    found = {partition.name: partition for partition in inventory.partitions}
    assert {"main", "short", "gpu"} <= set(found)
    assert found["gpu"].gpus == {"a100": 4}
    assert inventory.problems == ()
    assert slurm.probed(desk.cluster, desk.run(slurm.probe(desk.cluster))).version
