"""hpcspawner: Jupyter and Dask as batch jobs of a cluster, behind a JupyterHub."""

__version__ = "0.1.0.dev0"

HELPER_PROTOCOL = 1
"""Version of the requests and answers between the hub and the helper that acts as a user."""

REPORT_PROTOCOL = 1
"""Version of the report with which a job says where its server listens."""

STATE_SCHEMA = 1
"""Version of what a spawner keeps in the hub's database, and of the journal."""
