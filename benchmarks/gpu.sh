#!/bin/sh
# On a machine with an NVIDIA GPU: the tests on it, the bench, and ten minutes of training `small`, in one report file.
#
#     sh benchmarks/gpu.sh [REPORT]
#
# It needs the package with its development tools: `make .venv/.ready`. The report holds versions, the GPU's name and
# what was measured; send it with an issue. Scratch files go to a temporary folder.
set -u

report=$(realpath "${1:-gpu-report.txt}")
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
minutes=${MINUTES:-10}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$root" || exit 1

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "error: PyTorch finds no NVIDIA GPU here ($python); install its build for CUDA" >&2
    exit 2
fi

failed=0

# section TITLE COMMAND...: runs a command, shows its output and keeps it; the report goes on if it fails.
section() {
    title=$1
    shift
    printf '\n== %s ==\n$ %s\n' "$title" "$*" | tee -a "$report"
    begin=$(date +%s)
    { "$@" 2>&1; echo $? >"$scratch/status"; } | tee -a "$report"
    status=$(cat "$scratch/status")
    printf '== exit status %s after %s s ==\n' "$status" "$(($(date +%s) - begin))" | tee -a "$report"
    [ "$status" = 0 ] || failed=1
}

# shellcheck disable=SC2329  # called through section
train() {
    # SIGTERM ends a run well, with a checkpoint; the exit status is then 0.
    timeout --signal=TERM --kill-after=120 "$((minutes * 60))" "$python" -m get3d train small --data "$scratch/data" \
        --out "$scratch/run" --device cuda --log-kimg 1 --snapshot-kimg 20
    ended=$?
    # 124: the time was up.
    [ "$ended" = 124 ] || [ "$ended" = 0 ]
}

: >"$report"
section "machine" nvidia-smi
section "versions" "$python" -c 'import sys, get3d, torch, warp
print("get3d", get3d.__version__, "Python", sys.version.split()[0], "PyTorch", torch.__version__,
      "CUDA", torch.version.cuda, "Warp", warp.__version__)
print(torch.cuda.get_device_name(), torch.cuda.get_device_capability(), torch.cuda.device_count(), "GPUs")'
section "commit" git log -1 --format='%H %cs'
section "tests on the GPU" "$python" -m pytest -k cuda -rs
section "tests of kernels" "$python" -m pytest tests/test_ptx.py tests/test_rasterize.py tests/test_point_clouds.py
section "bench" "$python" -m get3d bench --device cuda --full --json "$scratch/bench.json"
section "dataset" "$python" -m get3d synth chair --out "$scratch/data" --shapes 100 --views 16 --resolution 128 \
    --texture 256
section "dry run of small" "$python" -m get3d train small --data "$scratch/data" --out "$scratch/dry" --device cuda \
    --dry-run
section "$minutes minutes of small" train
section "speed and metrics" tail -n 3 "$scratch/run/stats.jsonl"
section "objects" "$python" -m get3d generate "$scratch/run" --num 2 --out "$scratch/objects" --device cuda
printf '\n%s: written; %s\n' "$report" "$([ "$failed" = 0 ] && echo 'all went well' || echo 'some parts failed')"
exit "$failed"
