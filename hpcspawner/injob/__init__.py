"""What runs inside jobs. The helper copies these files, as they are, side by side to storage that the nodes see.

Standard library only, Python 3.8 or newer. `server.py PLAN` starts the server that plan.json describes, `probe.py
PLAN` is the small job of `hpcspawner check`; the files named hpcspawner_* are their parts, so named because some are
loaded into a user's own Python, where a short name could hide a module of the user's.

plan.json, written by the helper (0600, no secrets; keys marked * may be missing):

    tag                 name of the job, its key everywhere
    kind                "server", "check", "dask-scheduler" or "dask-workers"
    state               the job's own folder
    secret              path of secret.json: {name: value} of the environment that nobody else may read
    jupyter             true: the Jupyter server; "command" then only adds arguments to it
    command             argv, with {port}, {base_url} and {host} replaced; null: the Jupyter server as it is
    python              Python that holds jupyterhub and JupyterLab ("~" and names on PATH are fine)
    wrap *              words before the command ([apptainer, exec, image.sif])
    environment_setup * shell lines (the admin's) that run before the command, besides those of the batch script
    environment *       {name: value}, not secret
    address             hostname | fqdn | interface:NAME | template with {node} and {fqdn}
    ports               [first, last]; [0, 0]: any
    report              {"urls": [URL to POST to, ...], "proxy": URL or ""}
    idle, unclaimed     minutes; 0: never
    job_id_variables    names of variables, the first one that is set holds the job id
    run_variable        name of the variable that counts restarts of the job; empty: there is none
    end_variables       names of variables that hold the end of the walltime, in seconds since the epoch
    kernels *           [{"name", "title", "argv", "setup"}]: kernels of the users' environments
    servers *           [{"name", "python", "setup"}]: environments that run the server (kind "check" only)
    default_kernel *    name of the kernel that new notebooks get
    dask *              kinds "dask-scheduler" and "dask-workers" only: {"cluster": the gateway's name of it, "python",
                        "listen": rule for the address, "ports"} and for a scheduler {"api_url", "heartbeat",
                        "adaptive", "idle": seconds}, for workers {"scheduler": its address, "names": [[name, ...]
                        for each job of the array], "index_variable", "threads", "memory": bytes, "gpus", "scratch",
                        "spill"}. secret.json then holds HPCSPAWNER_DASK_CERT, _KEY, and for a scheduler _TOKEN
    workdir *           directory in which the server starts; empty: home
    local *             true: hub and node are one machine, loopback addresses are fine
    grace *             seconds between TERM and KILL when the job ends (default 10)
    log *               path of the job's log
    end                 path of end.json, which is written when the server has ended:
                        {"tag", "job_id", "run", "exit_code", "signal", "started", "ended", "reason", "cause",
                        "lines"}; cause: "walltime", "memory" or ""

The job reports {"protocol", "tag", "job_id", "run", "host", "port", "url_scheme"} to the hub, see report.py there.

Other programs in the job tell that they work (so that it does not count as idle) by touching a file of their own in
the directory that the variable HPCSPAWNER_BUSY names, at least every two minutes.
"""
