#!/bin/busybox sh
# exec.sh CRUN_ROOT SERVER_ID CGROUP_COUNT [CGROUP…] CRUN_EXEC_OPTION… -- ARGV…: runs a program in the guest, within its
# limits. Runs in a mount namespace of its own, for crun's sake (see create.sh).
set -eu
crun_root=$1; server_id=$2; cgroups=$3
shift 3
while [ "$cgroups" -gt 0 ]; do
  echo $$ > "$1/cgroup.procs"
  shift; cgroups=$((cgroups - 1))
done
options=
while [ "$1" != -- ]; do options="$options $1"; shift; done
shift
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup
# The guest's shell gives the exit codes that people know: 127 for a program that is not there. crun's exec does not take
# no_new_privs from the container.
exec crun --cgroup-manager=disabled --root "$crun_root" exec --no-new-privs $options "$server_id" \
  /bin/sh -c 'exec "$@"' sh "$@"
