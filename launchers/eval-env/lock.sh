#!/usr/bin/env bash
# Resolve requirements.in in a fresh environment and write requirements.lock from what pip chose.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${R1LAB_PYTHON:-python3.11}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/venv"
pip=("$scratch/venv/bin/python" -m pip --disable-pip-version-check)
# Alone and first: pip settles on this exact torch before anything asks for a range, and so takes a
# CPU build where one is offered.
"${pip[@]}" install -q "$(grep '^torch==' "$here/requirements.in")"
"${pip[@]}" install -q -r "$here/requirements.in"
"${pip[@]}" check

{
    cat <<END
# The lock of LightEval's environment: one set of versions that was installed together and passed
# 'pip check'. Made by launchers/eval-env/lock.sh ($("$python" --version), Linux). Do not edit by hand.
# torch carries no +cpu or +cu suffix: each machine takes the build that its index offers. The CUDA
# libraries are therefore not listed; torch's own metadata pins those exactly.
END
    "${pip[@]}" freeze | sed -E 's/^([A-Za-z0-9._-]+==[^+ ]+)\+[a-z0-9.]+$/\1/'
} >"$scratch/requirements.lock"
mv "$scratch/requirements.lock" "$here/requirements.lock"
echo "lock: wrote requirements.lock with $(grep -c == "$here/requirements.lock") packages"
