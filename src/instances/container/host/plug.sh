#!/bin/busybox sh
# plug.sh PID [TAP,MAC,MTU,DEVICE…]: makes veth pairs between this network namespace (TAP) and that of PID (DEVICE).
# create.sh reads it in.
set -eu
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

# A switch in user space reads the tap beside the kernel's own stack. That stack must not answer the guest: no IPv6, and
# with no route back through the tap strict reverse path filtering drops all IPv4.
for nic; do
  tap=${nic%%,*}
  [ ! -e "/proc/sys/net/ipv6/conf/$tap" ] || echo 1 > "/proc/sys/net/ipv6/conf/$tap/disable_ipv6"
  echo 1 > "/proc/sys/net/ipv4/conf/$tap/rp_filter"
  echo 8 > "/proc/sys/net/ipv4/conf/$tap/arp_ignore"
  ip link set "$tap" up
done
for each in $offload; do wait "$each"; done
