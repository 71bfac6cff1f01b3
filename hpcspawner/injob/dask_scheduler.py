"""Runs the scheduler of a Dask cluster: dask_scheduler.py PLAN. See __init__.py beside this file for the plan."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, List

if TYPE_CHECKING or __package__:
    from . import hpcspawner_dask as dask
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import hpcspawner_dask as dask


def children(job: dask.DaskJob) -> List[dask.Child]:
    """The scheduler, with the gateway's own part loaded into it."""
    told = job.dask
    host = job.host(told["api_url"])
    ports = told.get("ports")
    # The gateway's client takes the path of a file in place of the token.
    job.environ["DASK_GATEWAY_API_TOKEN"] = job.file("HPCSPAWNER_DASK_TOKEN")
    job.environ["DASK_GATEWAY_API_URL"] = told["api_url"]
    argv = [job.python, "-m", "distributed.cli.dask_scheduler", "--protocol", "tls", "--host", host]
    argv += ["--port", str(dask.free_port(ports, host))]
    argv += ["--dashboard-address", "{}:{}".format(host, dask.free_port(ports, host))]
    argv += ["--preload", "dask_gateway.scheduler_preload"]
    argv += ["--dg-api-address", "{}:{}".format(host, dask.free_port(ports, host))]
    for option, name in (("heartbeat-period", "heartbeat"), ("adaptive-period", "adaptive"), ("idle-timeout", "idle")):
        argv += ["--dg-" + option, str(told[name])]
    return [dask.Child("the scheduler", tuple(argv))]


if __name__ == "__main__":
    sys.exit(dask.run(sys.argv, children))
