#!/bin/bash
# Trains on all GPUs of some nodes. When it is pre-empted, or its time is up, it writes a checkpoint, is put into the queue
# again and goes on:
#   DATA=/data/chair RUN=/runs/chair PRESET=paper sbatch --nodes=2 --gpus-per-node=8 deploy/slurm.sh
# DATA: folder of the dataset. RUN: folder of the run. PRESET: see `get3d train --help`. All nodes must see both folders,
# and have get3d on their PATH.
#SBATCH --job-name=get3d
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
set -euo pipefail
: "${DATA:?folder of the dataset}" "${RUN:?folder of the run}" "${PRESET:?name of a preset}"

read -r first < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# With a store that torchrun keeps, processes that are started again would wait for those before them.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
srun --kill-on-bad-exit=1 torchrun \
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node=gpu --max-restarts=3 \
    --rdzv-backend=c10d --rdzv-endpoint="$first:29400" --rdzv-id="$SLURM_JOB_ID" \
    -m get3d train "$PRESET" --data "$DATA" --out "$RUN" &
training=$!

stopped=no
stop() {
    stopped=yes
    kill -TERM "$training" # srun passes it on to all nodes
}
trap stop TERM

# A signal ends the first wait, the end of the training the second.
status=0
wait "$training" || status=$?
if [ "$stopped" = yes ]; then
    wait "$training" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"
