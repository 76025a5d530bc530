#!/usr/bin/env bash
# Start a real Slurm on this machine, for tests: munged, slurmctld and emulated nodes, without
# systemd, on 127.0.0.1, with all its files in one folder. cluster_down.sh ends it.
#
#   SLURM_ROOT   the folder (needed)
#   SLURM_PORT   first of the TCP ports: one for the controller, one for each node (needed)
#   SLURM_NODES  emulated nodes n1, n2, ...        (2)
#   SLURM_CPUS   CPUs that each advertises         (4)
#   SLURM_GPUS   GPUs that each advertises; they are links to /dev/null   (2)
#
# Two partitions: jobs in `urgent` preempt those in `debug`, which get SIGCONT, SIGTERM and the
# signal they asked for (--signal), and SLURM_GRACE seconds (20) to save. Then
# `. $SLURM_ROOT/env.sh` makes Slurm's commands talk to it.
set -euo pipefail
root=${SLURM_ROOT:?the folder of this Slurm}
port=${SLURM_PORT:?the first of its ports}
nodes=${SLURM_NODES:-2} cpus=${SLURM_CPUS:-4} gpus=${SLURM_GPUS:-2} here=127.0.0.1
export PATH=$PATH:/usr/sbin

mkdir -p "$root"/{munge,state,log,run,dev,bin,spool}
root=$(readlink -f "$root")
chmod 755 "$root" "$root"/*/
give_up() {
    tail -n 20 "$root"/log/*.log >&2
    SLURM_ROOT=$root bash "$(dirname "${BASH_SOURCE[0]}")/cluster_down.sh"
}
trap '[ $? = 0 ] || give_up' EXIT

# torch.distributed connects to a node by its name: n1, n2, ... must resolve. The line carries
# this root, so that another session's end does not take it away.
names=$(seq -f 'n%g' -s ' ' "$nodes")
host=$(hostname -s)
getent hosts "$host" >/dev/null || names="$host $names"
if [ -w /etc/hosts ]; then
    flock /etc/hosts sh -c 'echo "$1" >>/etc/hosts' sh "$here $names # r1lab-slurm $root"
elif ! getent hosts "n$nodes" >/dev/null; then
    echo "$names must resolve to $here, and /etc/hosts cannot be written" >&2
    exit 1
fi

[ -s "$root/munge/key" ] || (umask 077; head -c 1024 /dev/urandom >"$root/munge/key")
for gpu in $(seq 0 $((gpus - 1))); do ln -sfn /dev/null "$root/dev/gpu$gpu"; done
for node in $(seq "$nodes"); do mkdir -p "$root/spool/n$node"; done
echo "NodeName=n[1-$nodes] Name=gpu File=$root/dev/gpu[0-$((gpus - 1))]" >"$root/gres.conf"

user=$(id -un)
cat >"$root/slurm.conf" <<CONF
ClusterName=r1lab
SlurmctldHost=$host($here)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$root/run/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd-%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd-%n.log
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=512
OverTimeLimit=0
KillWait=5
ReturnToService=2
MinJobAge=3600
GresTypes=gpu
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=$here Port=[$((port + 1))-$((port + nodes))] CPUs=$cpus RealMemory=16000 Gres=gpu:$gpus State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=${SLURM_GRACE:-20}
PartitionName=urgent Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=10 PreemptMode=OFF
CONF

# No accounting database: submitit's one question to sacct is answered from the controller's memory.
cat >"$root/bin/sacct" <<'SACCT'
#!/bin/sh
ids=
while [ $# -gt 0 ]; do
    [ "$1" = -j ] && { ids="$ids,$2"; shift; }
    shift
done
echo 'JobID|State|NodeList'
exec squeue -h -a -t all --array -j "${ids#,}" -o '%i|%T|%N'
SACCT
chmod 755 "$root/bin/sacct"
printf 'export SLURM_CONF=%q PATH="%s:$PATH:/usr/sbin"\n' "$root/slurm.conf" "$root/bin" >"$root/env.sh"
export SLURM_CONF=$root/slurm.conf

munged --force --num-threads=2 --key-file="$root/munge/key" --socket="$root/run/munge.socket" \
    --pid-file="$root/run/munged.pid" --log-file="$root/log/munged.log" --seed-file="$root/munge/seed"
slurmctld -f "$SLURM_CONF"
for node in $(seq "$nodes"); do slurmd -N "n$node" -f "$SLURM_CONF"; done

for _ in $(seq 300); do
    [ "$(sinfo -h -N -p debug -o '%t' 2>/dev/null | grep -cx idle)" = "$nodes" ] && break
    sleep 0.1
done
timeout 30 srun -N1 -n1 true
echo "up: $(sinfo -h -p debug -o '%D nodes x %c cpus, %G' | head -n 1)"
