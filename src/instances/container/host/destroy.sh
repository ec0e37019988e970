#!/bin/busybox sh
# destroy.sh DIRECTORY CRUN_ROOT SERVER_ID [TAP…]: ends the container at once and takes its taps away. What is not there
# is no error. The lock waits for a create.sh whose caller was killed.
set -eu
cd "$1"; crun_root=$2; server_id=$3
shift 3
exec 9> lock
flock -w 20 9
crun --cgroup-manager=disabled --root "$crun_root" delete --force "$server_id" 9>&- || true
for tap; do ip link delete "$tap" 2> /dev/null || true; done
