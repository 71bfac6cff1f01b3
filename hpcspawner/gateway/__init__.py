"""Dask clusters as batch jobs: HPCBackend, for Dask Gateway, over the dialects, helper and queue of the spawner.

backend.py    HPCBackend: what Dask Gateway calls
schedulerjobs.py  schedulers: submitted, watched, failed with a reason
workerjobs.py      workers: which one is in which job, and what the ends of jobs mean
batch.py      workers on their way: submitted as arrays, kept where a limit is reached, given back together
grouping.py   which workers share a job, which jobs an array (pure)
scaling.py    what a heartbeat of a Dask scheduler asks for (pure)
patience.py   bad starts: pauses, and the nodes they happened on
clusteroptions.py  what users may choose, from the site's own fields
limits.py     how much one user may have
records.py    many workers in one transaction of the gateway's database
answers.py    why a cluster failed, as the client's answer; what a cluster does now
gatewayconfig.py   for dask_gateway_config.py

Imports Dask Gateway's server, and neither JupyterHub nor Dask.
"""

from .backend import HPCBackend, HPCClusterConfig

__all__ = ["HPCBackend", "HPCClusterConfig"]
