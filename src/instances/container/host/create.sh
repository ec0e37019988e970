#!/bin/busybox sh
# create.sh DIRECTORY MOUNT_POINT CRUN_ROOT SERVER_ID CGROUP_COUNT [CGROUP…] [TAP,MAC,MTU,DEVICE…]
#
# Brings a container to crun's state "created", with its taps. Runs in a mount namespace of its own (unshare --mount):
# the overlay and the config drive are mounted here, and when this script ends only the container's namespace still
# holds them. Nothing is left to unmount, whatever is killed when. Busybox's shell runs its applets without an exec.
set -eu
here=$(dirname "$0")
cd "$1"; mount_point=$2; crun_root=$3; server_id=$4; cgroups=$5
shift 5
exec 9> lock
flock -w 20 9

# By entering before crun starts, all that ever runs in the container is in its cgroups. A move takes 12 ms, a grace period
# of the kernel: meanwhile the mounts are made.
moves=
while [ "$cgroups" -gt 0 ]; do
  echo $$ > "$1/cgroup.procs" &
  moves="$moves $!"
  shift; cgroups=$((cgroups - 1))
done

# Relative names: the guest reads its own mount table, and the state folder's place is not its business.
mount -t overlay overlay -o "lowerdir=tools:image,upperdir=upper,workdir=work" "$mount_point"
# A copy, for a bind mount would show the host's disk and path.
mount -t tmpfs config -o mode=755,size=4m "$mount_point/config"
cp -R config/. "$mount_point/config"
mount -o remount,ro,nosuid,nodev "$mount_point/config"

for move in $moves; do wait "$move"; done

# crun refuses every other cgroup layout (dataplane.md trap 16); the kernel refuses to mount the same twice on one spot.
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup
crun --cgroup-manager=disabled --root "$crun_root" --log=file:crun.log create --bundle . --pid-file pid "$server_id" \
  < /dev/null >> console.log 2>&1 9>&- || { cat crun.log >&2; exit 1; }
set -- "$(cat pid)" "$@"
. "$here/plug.sh"
