#!/bin/busybox sh
# start.sh DIRECTORY CGROUP_COUNT [CGROUP…] QEMU ARGUMENT…: starts qemu within its limits. Returns when it runs in the
# background, or says why it does not. The lock tells who comes after a killed caller that a start is under way.
set -eu
cd "$1"; cgroups=$2
shift 2
exec 9> lock
flock -w 20 9
while [ "$cgroups" -gt 0 ]; do
  echo $$ > "$1/cgroup.procs"
  shift; cgroups=$((cgroups - 1))
done
setpriv --no-new-privs "$@" 9>&-
