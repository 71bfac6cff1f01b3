#!/bin/bash
#BSUB -J "triton-0a1b2c-abcdefghij"
#BSUB -q "interactive"
#BSUB -P "datascience"
#BSUB -n 4
#BSUB -R "span[hosts=1] rusage[mem=16384]"
#BSUB -M 16384
#BSUB -W 360
#BSUB -o "/dev/null"
exec >> /home/alice/.hpcspawner/logs/triton-0a1b2c-abcdefghij.log 2>&1
unset LSB_NTRIES XDG_RUNTIME_DIR
export HPCSPAWNER_JOB_END=$(( $(date +%s) + 21600 ))
cd -- /home/alice || exit 1
exec /opt/hpcspawner/server/bin/python -I /home/alice/.hpcspawner/lib/0/server.py /home/alice/.hpcspawner/jobs/triton-0a1b2c-abcdefghij/plan.json
