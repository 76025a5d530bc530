#!/usr/bin/env bash
# Cancel the jobs of the Slurm in $SLURM_ROOT and end its daemons, by the pid files that they wrote.
set -uo pipefail
root=$(readlink -f "${SLURM_ROOT:?the folder of this Slurm}")
[ -d "$root/run" ] || exit 0
export SLURM_CONF=$root/slurm.conf PATH=$PATH:/usr/sbin

if kill -0 "$(cat "$root/run/slurmctld.pid" 2>/dev/null)" 2>/dev/null; then
    timeout 10 squeue -h -o %A 2>/dev/null | sort -u | xargs -r timeout 10 scancel 2>/dev/null
    for _ in $(seq 100); do
        [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break
        sleep 0.1
    done
fi

stop() { # FILE...: ask all of them at once, and end what is there after 15 s
    local file pid pids=()
    for file in "$@"; do
        pid=$(cat "$file" 2>/dev/null) && [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null && pids+=("$pid")
    done
    for pid in "${pids[@]+"${pids[@]}"}"; do
        for _ in $(seq 150); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null
    done
    rm -f "$@"
}
stop "$root"/run/slurmctld.pid "$root"/run/slurmd-*.pid
stop "$root/run/munged.pid"
# In place: in a container /etc/hosts is a mount, which cannot be replaced by another file.
forget_names() {
    local kept
    kept=$(grep -v " # r1lab-slurm $root\$" /etc/hosts)
    printf '%s\n' "$kept" >/etc/hosts
}
if [ -w /etc/hosts ]; then (flock 9 && forget_names) 9</etc/hosts; fi
exit 0
