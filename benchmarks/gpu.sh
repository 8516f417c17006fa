#!/bin/sh
# On a machine with an NVIDIA GPU: the GPU half of the tests, the bench, ten minutes of the preset small, and one report.
# Usage, in a clone with get3d and its test dependencies installed:  sh benchmarks/gpu.sh [report.txt] [scratch folder]
set -u
report=${1:-gpu-report.txt}
scratch=${2:-$(mktemp -d)}
python=${PYTHON:-python3}
mkdir -p "$scratch"

"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || {
    echo "error: PyTorch finds no NVIDIA GPU here; install a CUDA build of PyTorch and the driver" >&2
    exit 2
}

part() {
    # A headline, the output of a command, and its exit status; the report goes on whatever it is.
    title=$1
    shift
    printf '\n== %s\n$ %s\n' "$title" "$*" | tee -a "$report"
    { "$@" 2>&1; echo "(exit status $?)"; } | tail -n 200 | tee -a "$report"
}

: > "$report"
part "Machine" nvidia-smi
part "Versions" "$python" -c 'import get3d, torch, warp, platform
print("get3d", get3d.__version__, "torch", torch.__version__, "CUDA", torch.version.cuda, "warp", warp.__version__, "Python", platform.python_version())
print(torch.cuda.get_device_name(), torch.cuda.get_device_capability())'
part "Tests on the GPU" "$python" -m pytest tests -k cuda -q -rfE
part "Tests of what is proven without a GPU" "$python" -m pytest -q tests/test_second_device.py tests/test_ptx.py tests/test_compile.py
part "Bench" "$python" -m get3d bench --full --preset small --json "$scratch/rows.json"
part "Dataset" "$python" -m get3d synth chair --out "$scratch/data" --shapes 200 --resolution 128
part "Ten minutes of the preset small" timeout --signal=TERM 600 "$python" -m get3d train small --data "$scratch/data" --out "$scratch/run"
part "What the run wrote" tail -n 3 "$scratch/run/stats.jsonl"
part "Objects of the run" "$python" -m get3d generate "$scratch/run" --num 2 --out "$scratch/objects"

echo
echo "$report: written; send it together with the version of get3d. Scratch files: $scratch"
