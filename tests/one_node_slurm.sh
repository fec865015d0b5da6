#!/usr/bin/env bash
# A Slurm of one node and one fake GPU for tests, on Debian or Ubuntu: root, no systemd, loopback only, no accounting.
# one_node_slurm.sh FOLDER starts it, installing slurm-wlm and munge if need be; one_node_slurm.sh FOLDER stop ends it.
set -euo pipefail
if [ $# = 0 ] || [ "$1" = stop ] || { [ $# -gt 1 ] && [ "$*" != "$1 stop" ]; }; then
  echo "usage: $0 FOLDER [stop]" >&2
  exit 2
fi
folder=$(realpath -m "$1")
host=$(hostname -s)

if [ "${2:-}" = stop ]; then
  scancel --user=root || true
  sleep 1
  scontrol shutdown || true
  for _ in $(seq 50); do
    [ -e "$folder/slurmctld.pid" ] || [ -e "$folder/slurmd.pid" ] || break
    sleep 0.1
  done
  [ -e "$folder/munge/munged.pid" ] && kill "$(cat "$folder/munge/munged.pid")"
  for name in slurm.conf gres.conf; do
    if [ "$(readlink "/etc/slurm/$name")" = "$folder/$name" ]; then rm "/etc/slurm/$name"; fi
  done
  exit 0
fi

if [ -e /etc/slurm/slurm.conf ]; then
  echo "/etc/slurm/slurm.conf exists: this machine has a Slurm of its own, or one left over from a test" >&2
  exit 1
fi
if ! command -v slurmctld >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
fi

mkdir -p /etc/slurm "$folder"/{state,spool,log,munge}
chmod 755 "$folder/munge"
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 8 / 10))
# MinJobAge: without accounting, squeue has to remember ended jobs until Snakemake, and the test, have asked for them.
# KillWait: seconds between SIGTERM and SIGKILL of a cancelled job; TaskPlugin and ProctrackType do without cgroups.
cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/munge.socket
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=36000
KillWait=30
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES State=UP
CONF
echo "NodeName=$host Name=gpu File=/dev/null" >"$folder/gres.conf"
# at its compiled-in place, since Snakemake's plugin deletes SLURM_CONF from the environment of its jobs
ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
ln -sfn "$folder/gres.conf" /etc/slurm/gres.conf

if [ ! -s "$folder/munge/munge.key" ]; then
  head -c 1024 /dev/urandom >"$folder/munge/munge.key"
  chmod 400 "$folder/munge/munge.key"
fi
munged --key-file="$folder/munge/munge.key" --socket="$folder/munge/munge.socket" --pid-file="$folder/munge/munged.pid" \
  --log-file="$folder/munge/munged.log" --seed-file="$folder/munge/munged.seed"
slurmctld
slurmd -N "$host"
for _ in $(seq 60); do
  if sinfo --noheader --format %T 2>/dev/null | grep -q idle; then exit 0; fi
  sleep 0.5
done
echo "Slurm did not come up" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
