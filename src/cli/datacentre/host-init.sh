#!/bin/sh
# pid 1 of a simulated host: makes the host's own view of the file system, says "ready PID STARTTIME", and reaps for ever.
# host-init.sh NAME DIR: DIR keeps what survives a reboot of the host. Runs in a cgroup namespace: what it mounts is the host's own.
set -e
name=$1 dir=$2 controllers=
# /proc is still the machine's: this is our pid as everybody outside knows it.
read -r pid _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ </proc/self/stat

mount -t proc proc /proc
mount -t tmpfs -o mode=755,size=256m tmpfs /run
mkdir -p /run/netns /run/openvswitch /run/lock /run/patchbay
# With all below it: whoever reads the mount table must not find cgroup mounts that nobody can reach any more.
umount -l /sys
mount -t sysfs sysfs /sys
# Not over /sys/fs/cgroup: the container driver mounts it there for crun, and the kernel refuses a second one on one spot.
mkdir -p /run/cgroup/unified
if mount -t cgroup2 cgroup2 /run/cgroup/unified; then
  # A version 2 group that hands out controllers may hold no process itself.
  mkdir -p /run/cgroup/unified/system
  echo 1 >/run/cgroup/unified/system/cgroup.procs
  read -r controllers </run/cgroup/unified/cgroup.controllers || true
fi
# Where version 2 has not got them, limits of instances need those of version 1.
for controller in memory pids; do
  case " $controllers " in *" $controller "*) continue ;; esac
  mkdir -p "/run/cgroup/$controller"
  mount -t cgroup -o "$controller" cgroup "/run/cgroup/$controller" 2>/dev/null || true
done
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
