#!/bin/sh
# pid 1 of a simulated host: makes the host's own view of the file system, says "ready PID STARTTIME", and reaps for ever.
# host-init.sh NAME DIR [CGROUP2 [MEMORY PIDS]]: DIR keeps what survives a reboot of the host; the others are the host's cgroup folders.
set -e
name=$1 dir=$2
# /proc is still the machine's: this is our pid as everybody outside knows it.
read -r pid _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ </proc/self/stat

mount -t proc proc /proc
mount -t tmpfs -o mode=755,size=256m tmpfs /run
mkdir -p /run/netns /run/openvswitch /run/lock /run/patchbay /run/cgroup/unified
[ -z "$3" ] || mount --bind "$3" /run/cgroup/unified
# Where cgroup v2 has no memory and pids controllers, the v1 ones are at /run/cgroup/memory and /run/cgroup/pids.
[ -z "$4" ] || { mkdir /run/cgroup/memory; mount --bind "$4" /run/cgroup/memory; }
[ -z "$5" ] || { mkdir /run/cgroup/pids; mount --bind "$5" /run/cgroup/pids; }
mount -t sysfs sysfs /sys
# crun asks for cgroup2 at this very path and refuses a hybrid layout.
[ -z "$3" ] || mount --move /run/cgroup/unified /sys/fs/cgroup
for own in /etc/openvswitch /var/lib/openvswitch /var/log/openvswitch; do
  mkdir -p "$own" "$dir$own"
  mount --bind "$dir$own" "$own"
done
hostname "$name"
ip link set lo up
# Links of a host carry no addresses of their own making: router solicitations on a wire would be somebody's first frame.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6

echo "ready $pid $start"
# With SIGCHLD ignored (which exec keeps) the kernel reaps every orphan by itself.
exec env --ignore-signal=CHLD sleep infinity <&- >/dev/null 2>&1
