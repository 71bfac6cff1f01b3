"""Jobs of Dask: a scheduler of the site's own size, workers as one array, names and addresses in the right shape."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.sitemodel import Dask, Environment, FieldRule, Partition, Site
from tests.helper.kit import ACTOR, FakeSlurm, ask, error, make_site, new_tag, request, result

CHOICE = {"partition": "main", "cores": 4, "memory": "4G", "walltime": "01:00:00"}
SECRETS = {"HPCSPAWNER_DASK_CERT": "c3rt", "HPCSPAWNER_DASK_KEY": "k3y"}
WORKERS = {"cluster": "abc", "address": "tls://10.0.0.1:8786", "names": [["w1", "w2"], ["w3"]]}
SCHEDULER = {"cluster": "abc", "api_url": "http://gate:8000/api", "heartbeat": 15, "adaptive": 3, "idle": 600}


@pytest.fixture
def slurm(shared: Path) -> FakeSlurm:
    return FakeSlurm(shared / "bin")


@pytest.fixture
def site(shared: Path, slurm: FakeSlurm) -> Site:
    small = Partition("small", directives=("--constraint=small",))
    return make_site(
        shared,
        commands=str(slurm.folder),
        partitions={"main": Partition("main", directives=("--constraint=big",)), "small": small},
        dask=Dask(python="/opt/dask/bin/python", setup=("module load dask",), scheduler_partition="small", headroom=10),
        environments={"own": Environment("own", python="~/venv/bin/python", setup=("module load own",))},
        fields={"gpus": FieldRule(max=4)},
    )


def submit(program: Path, site: Site, kind: str, dask: Any, **fields: Any) -> dict[str, Any]:
    given = {"choice": {**CHOICE, "environment": ""}, "environment": SECRETS, "dask": dask, "kind": kind, **fields}
    return ask(program, request("submit", ACTOR, site, tag=new_tag(), **given))


def made(answer: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The script's lines, and the plan."""
    folder = Path(result(answer)["folder"])
    return (folder / "script").read_text().splitlines(), json.loads((folder / "plan.json").read_text())


def test_workers_are_one_array_whose_jobs_know_their_names(program: Path, site: Site, slurm: FakeSlurm) -> None:
    script, plan = made(submit(program, site, "dask-workers", WORKERS, array=2))
    assert "#SBATCH --array=1-2" in script
    assert "#SBATCH --cpus-per-task=4" in script
    assert "#SBATCH --no-requeue" in script
    assert len(slurm.called("sbatch")) == 1
    dask = plan["dask"]
    assert dask["names"] == [["w1", "w2"], ["w3"]]
    assert dask["scheduler"] == "tls://10.0.0.1:8786"
    assert dask["threads"] == 2
    assert dask["memory"] == 4 * 1024**3 * 90 // 100 // 2
    assert dask["index_variable"] == "SLURM_ARRAY_TASK_ID"
    assert "c3rt" not in json.dumps([script, plan])


def test_a_scheduler_is_small_and_where_the_site_wants_it(program: Path, site: Site) -> None:
    script, plan = made(submit(program, site, "dask-scheduler", SCHEDULER))
    assert "#SBATCH --partition=small" in script
    assert "#SBATCH --constraint=small" in script
    assert "#SBATCH --constraint=big" not in script
    assert "#SBATCH --cpus-per-task=1" in script
    assert "#SBATCH --mem=2048M" in script
    assert "#SBATCH --time=60" in script
    assert not [line for line in script if "array" in line]
    assert plan["dask"]["api_url"] == "http://gate:8000/api"
    assert plan["dask"]["idle"] == 600


def test_the_software_is_the_chosen_environment_else_the_sites(program: Path, site: Site) -> None:
    own = {**CHOICE, "environment": "own"}
    script, plan = made(submit(program, site, "dask-workers", WORKERS, array=2, choice=own))
    assert "module load own" in script
    assert plan["dask"]["python"].endswith("/venv/bin/python")
    script, plan = made(submit(program, dataclasses.replace(site, environments={}), "dask-workers", WORKERS, array=2))
    assert "module load dask" in script
    assert plan["dask"]["python"] == "/opt/dask/bin/python"
    assert script[-1].startswith("exec /opt/dask/bin/python -I ")


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("dask-workers", {"names": []}, "dask.names"),
        ("dask-workers", {"names": [["w1"]]}, "array"),
        ("dask-workers", {"names": [["--preload=x"], ["w3"]]}, "dask.names"),
        ("dask-workers", {"address": "--preload=x"}, "dask.address"),
        ("dask-workers", {"address": "tcp://10.0.0.1:1"}, "dask.address"),
        ("dask-scheduler", {"api_url": "file:///etc/passwd"}, "dask.api_url"),
        ("dask-scheduler", {"idle": "long"}, "dask.idle"),
        ("dask-scheduler", {"cluster": "../x"}, "dask.cluster"),
    ],
)
def test_what_has_no_right_shape_is_refused(program: Path, site: Site, kind: str, change: Any, field: str) -> None:
    base = WORKERS if kind == "dask-workers" else SCHEDULER
    fault, text = error(submit(program, site, kind, {**base, **change}, array=2))
    assert (fault, text.split(":")[0]) == ("protocol", field)


def test_more_workers_than_cores_are_refused(program: Path, site: Site) -> None:
    names = [[f"w{at}" for at in range(5)]]
    fault, text = error(submit(program, site, "dask-workers", {**WORKERS, "names": names}, array=1))
    assert (fault, text) == ("refused", "workers: 5 is more than 4, the cores of a job")


def test_without_arrays_each_node_is_a_job(program: Path, shared: Path) -> None:
    from hpcspawner.helper import daskplan
    from hpcspawner.job import Job, Resources
    from hpcspawner.schedulers import load

    assert load("cobalt").ARRAY_ID == ""
    job = Job("jupyter-abcdef-aaaaaaaaaa", "alice", ("python3", "x"), Resources(nodes=1, walltime=3600))
    order: Any = type("O", (), {"environment": Environment("e"), "cluster": None, "who": None})()
    order.cluster = type("C", (), {"dask": Dask()})()
    wanted = daskplan.Wanted("dask-workers", "abc", (("a",), ("b",), ("c",)), "tls://h:1")
    many = daskplan.job(job, order, load("cobalt"), wanted)
    assert (many.array, many.resources.nodes, many.tasks_per_node) == (None, 3, 1)
