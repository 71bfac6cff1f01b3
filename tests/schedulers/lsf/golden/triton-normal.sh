#!/bin/bash
#BSUB -J "triton-0a1b2c-abcdefghij"
#BSUB -q "normal"
#BSUB -P "datascience"
#BSUB -n 4
#BSUB -R "span[hosts=1] rusage[mem=32768]"
#BSUB -M 32768
#BSUB -W 720
#BSUB -o "/dev/null"
exec >> /home/alice/.hpcspawner/logs/triton-0a1b2c-abcdefghij.log 2>&1
unset LSB_NTRIES XDG_RUNTIME_DIR
export HPCSPAWNER_JOB_END=$(( $(date +%s) + 43200 ))
cd -- /home/alice || exit 1
exec /opt/hpcspawner/server/bin/python -I /home/alice/.hpcspawner/lib/0/server.py /home/alice/.hpcspawner/jobs/triton-0a1b2c-abcdefghij/plan.json
