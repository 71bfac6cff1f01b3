"""Runs the workers of one job of a Dask cluster: dask_workers.py PLAN. See __init__.py beside it for the plan."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Dict, List, Mapping, Tuple

if TYPE_CHECKING or __package__:
    from . import hpcspawner_dask as dask
    from .server import Failure
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import hpcspawner_dask as dask
    from server import Failure

NO_SPILL: Mapping[str, str] = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "0.8",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "0.95",
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def children(job: dask.DaskJob) -> List[dask.Child]:
    """One process for each of the gateway's names that belong to this job."""
    groups = job.dask["names"]
    if not 1 <= job.index <= len(groups):
        raise Failure("this is job {} of {}".format(job.index, len(groups)))
    names = groups[job.index - 1]
    host, scratch = job.host(job.dask["scheduler"]), job.make_scratch()
    job.environ["DASK_TEMPORARY_DIRECTORY"] = scratch
    # Each worker runs as many tasks at a time as it has cores: more threads in libraries would only push each other.
    job.environ.update({name: "1" for name in THREADS if name not in job.environ})
    if not job.dask.get("spill", True):
        job.environ.update(NO_SPILL)
    made = []
    for number, name in enumerate(names):
        argv = command(job, name, host, os.path.join(scratch, str(number)))
        made.append(dask.Child("worker " + name, argv, devices(job, number, len(names))))
    return made


def command(job: dask.DaskJob, name: str, host: str, folder: str) -> Tuple[str, ...]:
    """argv of one worker."""
    told = job.dask
    os.mkdir(folder, 0o700)
    argv = [job.python, "-m", "distributed.cli.dask_worker", told["scheduler"], "--name", name]
    argv += ["--nthreads", str(told["threads"]), "--memory-limit", str(told["memory"] or "auto")]
    # A worker's own dashboard would be open to everybody on the cluster.
    argv += ["--host", host, "--local-directory", folder, "--no-dashboard", "--death-timeout", "120"]
    first, last = told.get("ports") or (0, 0)
    if last:
        argv += ["--worker-port", "{}:{}".format(first, last), "--nanny-port", "{}:{}".format(first, last)]
    return tuple(argv)


def devices(job: dask.DaskJob, number: int, workers: int) -> Dict[str, str]:
    """The GPUs of one worker: its part of those that the batch system gave to the job."""
    count = int(job.dask.get("gpus") or 0)
    if not count:
        return {}
    told = job.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(str(each) for each in range(count))
    given = told.split(",")
    share = max(1, len(given) // workers)
    mine = given[number * share : (number + 1) * share] or [given[number % len(given)]]
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine)}


if __name__ == "__main__":
    sys.exit(dask.run(sys.argv, children))
