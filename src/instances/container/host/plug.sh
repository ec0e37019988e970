#!/bin/sh
# plug.sh PID [TAP,MAC,MTU,DEVICE…]: makes veth pairs between this network namespace (TAP) and that of PID (DEVICE).
set -eu
pid=$1
shift
[ $# -gt 0 ] || exit 0

for nic; do
  IFS=, read -r tap mac mtu device <<X
$nic
X
  echo "link add $tap mtu $mtu type veth peer name $device netns $pid address $mac mtu $mtu"
done | ip -batch -

# Trap 1: with checksum offload on, TCP through a userspace switch does not even connect.
nsenter --target "$pid" --net sh -c 'for nic; do ethtool -K "${nic##*,}" tx off > /dev/null; done' sh "$@" &
offload=$!

# A switch in user space reads the tap beside the kernel's own stack. That stack must not answer the guest: no IPv6, and
# with no route back through the tap strict reverse path filtering drops all IPv4.
for nic; do
  tap=${nic%%,*}
  [ ! -e "/proc/sys/net/ipv6/conf/$tap" ] || echo 1 > "/proc/sys/net/ipv6/conf/$tap/disable_ipv6"
  echo 1 > "/proc/sys/net/ipv4/conf/$tap/rp_filter"
  echo 8 > "/proc/sys/net/ipv4/conf/$tap/arp_ignore"
done
for nic; do echo "link set ${nic%%,*} up"; done | ip -batch -
wait $offload
