#!/bin/bash -l
#COBALT --jobname tgpu-0a1b2c-abcdefghij
#COBALT -n 1
#COBALT -t 60
#COBALT -q full-node
#COBALT -A datascience
#COBALT --attrs filesystems=home,theta-fs0
#COBALT --cwd /home/alice/.hpcspawner/logs
#COBALT -o /home/alice/.hpcspawner/logs/tgpu-0a1b2c-abcdefghij.log
#COBALT -e /home/alice/.hpcspawner/logs/tgpu-0a1b2c-abcdefghij.log
#COBALT --debuglog /home/alice/.hpcspawner/logs/tgpu-0a1b2c-abcdefghij.log.cobaltlog
unset XDG_RUNTIME_DIR
export HPCSPAWNER_JOB_END=$(( $(date +%s) + 3600 ))
cd -- /home/alice || exit 1
exec /opt/hpcspawner/server/bin/python -I /home/alice/.hpcspawner/lib/0/server.py /home/alice/.hpcspawner/jobs/tgpu-0a1b2c-abcdefghij/plan.json
