"""A runnable Dask Gateway for a cluster: dask-gateway-server -f dask_gateway_config.py

It reads the same site as the hub: HPCSPAWNER_SITE=/etc/hpcspawner/site.yaml, or the name of a preset. The 'dask'
section of a cluster there says what a user may have and how workers run (docs/reference-site.md).
"""

import os

from hpcspawner.gateway import gatewayconfig

c = get_config()  # noqa: F821

# Where users' notebooks and the Dask schedulers on the nodes reach the gateway: an address that nodes can reach.
address = os.environ.get("HPCSPAWNER_GATEWAY_ADDRESS", "127.0.0.1:8786")
site = gatewayconfig.choose_site(address)
state = gatewayconfig.state_directory()

# Clusters are jobs ------------------------------------------------------------------------------------------------
c.DaskGateway.backend_class = gatewayconfig.BACKEND
c.HPCBackend.site = site.source
c.HPCBackend.state_directory = str(state)

# State on disk: a restart loses no cluster and no worker.
c.HPCBackend.db_url = f"sqlite:///{state / 'gateway.sqlite'}"
c.HPCBackend.db_encrypt_keys = [gatewayconfig.encryption_key(state)]
c.HPCBackend.stop_clusters_on_shutdown = False
c.HPCBackend.check_timeouts_period = 10

# Addresses --------------------------------------------------------------------------------------------------------
c.Proxy.address = address
c.Proxy.tcp_address = os.environ.get("HPCSPAWNER_GATEWAY_TCP", address)
c.DaskGateway.address = os.environ.get("HPCSPAWNER_GATEWAY_PRIVATE", "127.0.0.1:8787")

# Users of the hub where this is a service of it; else one printed password, on 127.0.0.1 only.
gatewayconfig.login(c, state, address)
