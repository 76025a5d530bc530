#!/bin/sh
# The wheels that `python -m benchmarks.gpu` needs on a machine without a network that has torch for
# CUDA, transformers, accelerate, peft, pandas, pyarrow and rich, at constraints.txt's versions:
#
#     benchmarks/gpu_wheels.sh FOLDER [NAME[==VERSION]...]     further packages, without their needs
#     GPU_PYTHON=3.12 benchmarks/gpu_wheels.sh FOLDER          the other machine's Python (3.12)
#
# There, with the repository as the working folder:
#
#     python3 -m pip install -q --no-index --no-deps --target SITE/site-packages FOLDER/*.whl
#     PYTHONPATH=SITE/site-packages:. python3 -m benchmarks.gpu
#
# The folder has to be called site-packages: dill takes what lies elsewhere for the user's own code,
# pickles datasets whole to name its cache, and fails.
#
# Fails where the wheels are over GPU_WHEELS_MIB (64), which is what some machines take in one call.
set -eu
folder=${1:?usage: $0 FOLDER [NAME[==VERSION]...]}
shift
here=$(cd "$(dirname "$0")/.." && pwd)
python=${GPU_PYTHON:-3.12}
most=${GPU_WHEELS_MIB:-64}
pip="${PIP:-$here/.venv/bin/python -m pip} --disable-pip-version-check --quiet"

pinned() { # NAME -> NAME==VERSION of constraints.txt
    grep -i "^$1==" "$here/constraints.txt" || { echo "$0: constraints.txt has no $1" >&2; exit 1; }
}

# What it lacks: TRL and datasets with their needs, Hydra's, and the verifier's. MLflow's are many;
# without it the benchmark leaves the tracking out and says so.
names="trl datasets dill multiprocess hydra-core omegaconf math-verify latex2sympy2_extended"
wanted=""
for name in $names; do
    wanted="$wanted $(pinned "$name")"
done
platforms=""
for glibc in 2_39 2_34 2_31 2_28 2_27 2_24 2_17; do
    platforms="$platforms --platform manylinux_${glibc}_x86_64"
done
mkdir -p "$folder"
# shellcheck disable=SC2086 # lists of words
$pip download --no-deps --only-binary=:all: --python-version "$python" --implementation cp \
    $platforms --platform manylinux2014_x86_64 -d "$folder" \
    $wanted "liger-kernel==0.8.5" "$@"
# The index has it as source only; it is pure Python.
# shellcheck disable=SC2086
$pip wheel --no-deps -w "$folder" "$(pinned antlr4-python3-runtime)"

size=$(du -sm "$folder" | cut -f1)
echo "$folder: $(find "$folder" -name '*.whl' | wc -l) wheels, $size MiB"
[ "$size" -le "$most" ] || { echo "$0: over $most MiB" >&2; exit 1; }
