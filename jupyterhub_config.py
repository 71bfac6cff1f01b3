"""A runnable hub for a cluster: jupyterhub -f jupyterhub_config.py

The site decides nearly everything: clusters, profiles, limits, who may use what (docs/site-file.md). Choose it with
    HPCSPAWNER_SITE=/etc/hpcspawner/site.yaml      or the name of a preset: demo, rocket, iris, triton, thetagpu
Without it the scheduler found on this machine is asked for a first site file, kept in the state directory; without a
scheduler it is the demo site, on 127.0.0.1 only.
"""

import os

from hpcspawner import hubconfig

c = get_config()  # noqa: F821

site = hubconfig.choose_site()
state = hubconfig.state_directory()  # HPCSPAWNER_STATE

# Servers are jobs ------------------------------------------------------------------------------------------------
c.JupyterHub.spawner_class = "hpc"
c.HPCSpawner.site = site.source
c.HPCSpawner.state_directory = str(state)

# Addresses. Users reach bind_url. Jobs report to the hub itself, so hub_ip must be reachable from the nodes; where
# they know the hub by another name, set hub_connect_ip here or 'hub_url' of the cluster in the site file.
c.JupyterHub.bind_url = os.environ.get("HPCSPAWNER_BIND_URL", "http://127.0.0.1:8000")
c.JupyterHub.hub_ip = "127.0.0.1" if site.loopback_only else "0.0.0.0"  # noqa: S104
c.ConfigurableHTTPProxy.command = hubconfig.proxy_command()

# Jobs outlive the hub: a restart or an upgrade stops nobody's server.
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.should_start = True
hubconfig.begin_with_hub()
c.JupyterHub.init_spawners_timeout = 1  # a job that still waits in the queue keeps nobody else waiting

# A start that waits in the queue is no load: the limit of starts at one time must not count it. The rate of submits
# is limited in the site file (submits_per_second).
c.JupyterHub.concurrent_spawn_limit = 0
c.Spawner.consecutive_failure_limit = 0
c.Spawner.http_timeout = 60

# State on disk; keep it together in backups.
c.JupyterHub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "jupyterhub_cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(state / "jupyterhub-proxy.pid")

# Pages ----------------------------------------------------------------------------------------------------------
c.JupyterHub.template_paths = [hubconfig.TEMPLATES]
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 5

# Who may log in: PAM, the accounts of this machine, which needs a hub that runs as root (a printed password on the
# demo site). Any other authenticator of JupyterHub works too, if its user names are the accounts on the cluster.
hubconfig.login(c, site)

# Idle servers end by themselves, inside the job, by the profile's 'idle' and 'unclaimed': jupyterhub-idle-culler is
# not needed, and would count an open browser tab as work.
