#!/usr/bin/env bash
# Resolve every dependency anew in a fresh environment and write constraints.txt from what pip chose.
#   TORCH=2.13.0  the exact torch to lock (see the header that is written)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
torch=${TORCH:-2.13.0}
python=${R1LAB_PYTHON:-python3.11}
extras=deepspeed,dev,optuna,plots,slurm,smollm2,wandb,zh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/venv"
export DS_BUILD_OPS=0 # nothing is compiled for a lock
pip=("$scratch/venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install -q 'pip>=24.2,<27'
"${pip[@]}" install -q "torch==$torch"
"${pip[@]}" install -q hatchling
"${pip[@]}" install -q --no-build-isolation "torch==$torch" "$root[$extras]"
"${pip[@]}" check

{
    cat <<EOF
# The lock: one set of versions that was installed together and passed 'pip check'.
# Made by 'make lock' ($("$python" --version), Linux): a fresh environment, torch==$torch first, then
# r1lab[$extras], then 'pip freeze'. Do not edit by hand.
# Used as constraints, so it also holds back what is installed beside r1lab.
# torch carries no +cpu or +cu suffix: each machine takes the build that its index offers. The CUDA
# libraries are therefore not listed; torch's own metadata pins those exactly.
EOF
    "${pip[@]}" freeze --exclude r1lab | sed -E 's/^([A-Za-z0-9._-]+==[^+ ]+)\+[a-z0-9.]+$/\1/'
} >"$scratch/constraints.txt"
mv "$scratch/constraints.txt" "$root/constraints.txt"
echo "lock: wrote constraints.txt with $(grep -c == "$root/constraints.txt") packages"
