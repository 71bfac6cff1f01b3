"""The gateway works where neither JupyterHub nor batchspawner nor Dask is installed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jupyterhub", "batchspawner", "distributed", "dask", "dask_gateway", "tornado"):
            raise ImportError("imported: " + name)
sys.meta_path.insert(0, Nowhere())
import hpcspawner.gateway
import hpcspawner.gateway.gatewayconfig
print(hpcspawner.gateway.HPCBackend.__name__)
"""


def test_the_backend_imports_without_the_hub_and_without_dask() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "HPCBackend", ran.stderr
