#!/bin/busybox sh
# plug.sh PID [TAP,MAC,MTU,DEVICE…]: makes veth pairs between this network namespace (TAP) and that of PID (DEVICE).
# create.sh reads it in.
set -eu
. "$(dirname "$0")/../../quiet-tap.sh"
pid=$1
shift
[ $# -gt 0 ] || exit 0

# The path keeps busybox's applet away: it cannot make a peer in another namespace.
for nic; do
  IFS=, read -r tap mac mtu device <<X
$nic
X
  echo "link add $tap mtu $mtu type veth peer name $device netns $pid address $mac mtu $mtu"
done | /sbin/ip -batch -

# Trap 1: with checksum offload on, TCP through a userspace switch does not even connect.
offload=
for nic; do
  nsenter -t "$pid" -n ethtool -K "${nic##*,}" tx off > /dev/null &
  offload="$offload $!"
done

for nic; do
  quiet_tap "${nic%%,*}"
  ip link set "${nic%%,*}" up
done
for each in $offload; do wait "$each"; done
