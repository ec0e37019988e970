#!/bin/busybox sh
# plug.sh [TAP MTU]…: makes taps that stay when nobody holds them. What is there already of that name goes first.
set -eu
. "$(dirname "$0")/../../quiet-tap.sh"
while [ $# -gt 0 ]; do
  # The path keeps busybox's applet away: it knows no tuntap.
  /sbin/ip link delete "$1" 2> /dev/null || true
  /sbin/ip tuntap add dev "$1" mode tap
  quiet_tap "$1"
  /sbin/ip link set "$1" mtu "$2" up
  shift 2
done
